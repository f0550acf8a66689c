# SPDX-License-Identifier: Apache-2.0
"""Scopes are found, added and changed alike on every database."""

import dataclasses
import datetime

import pytest

from cloudkitty.db.engine import Database
from cloudkitty.db.scopes import ScopeStore, ScopeTaken
from cloudkitty.processor.schedule import Schedule
from cloudkitty.scope import Scope
from cloudkitty.tests.builders import HOUR, NEW_YEAR, hour, scope

LATER = NEW_YEAR + datetime.timedelta(days=7)


@pytest.fixture
def store(database: Database) -> ScopeStore:
    return ScopeStore(database)


def add(store: ScopeStore, identifier: str, *, active: bool = True, **identity: str) -> Scope:
    wanted = dataclasses.replace(scope(identifier), **identity)
    state = store.create(wanted, rated_up_to=hour(5).end, active=active, now=NEW_YEAR)
    assert state.scope == wanted
    return wanted


def test_a_new_scope_is_rated_from_where_it_was_said_to_be(store: ScopeStore) -> None:
    add(store, "a")
    [state] = store.find({"identifier": ["a"]})
    assert (state.horizon, state.active, state.toggled_at) == (hour(6).begin, True, NEW_YEAR)
    assert state.last_processed(3600) == hour(5).begin
    assert Schedule(seconds=3600, wait_periods=1).next_of(state) == hour(6)


def test_scopes_come_as_they_were_added_in_pages_that_hold(store: ScopeStore) -> None:
    for identifier in ("c", "d"):
        add(store, identifier)
    pages = [store.find({}, limit=2)]
    for identifier in ("a", "b", "e"):
        add(store, identifier)
    pages.append(store.find({}, offset=2, limit=2))
    pages.append(store.find({}, after=pages[-1][-1].id, limit=2))
    pages.append(store.find({}, after=pages[1][0].id, offset=1, limit=2))
    names = [[state.scope.identifier for state in page] for page in pages]
    assert names == [["c", "d"], ["a", "b"], ["e"], ["e"]]


def test_all_filters_must_match(store: ScopeStore) -> None:
    add(store, "a")
    add(store, "b", active=False)
    add(store, "c", collector="gnocchi")

    def found(**wanted: list[str]) -> list[str]:
        return [state.scope.identifier for state in store.find(wanted)]

    assert found(identifier=["a", "b", "x"]) == ["a", "b"]
    assert found(identifier=["A"]) == []
    assert found(collector=["csv"], fetcher=["source"]) == ["a", "b"]
    assert found(collector=["gnocchi"], identifier=["a"]) == []
    assert found(identifier=[]) == []
    assert [s.scope.identifier for s in store.find({}, active=[False])] == ["b"]
    assert len(store.find({}, active=[True, False])) == 3


def test_a_scope_is_added_once(store: ScopeStore) -> None:
    add(store, "a")
    with pytest.raises(ScopeTaken):
        add(store, "a")
    with pytest.raises(ScopeTaken):
        add(store, "a", collector="gnocchi")


def test_a_stopped_scope_makes_place_for_another_but_not_for_the_same(store: ScopeStore) -> None:
    add(store, "a", active=False)
    with pytest.raises(ScopeTaken):
        add(store, "a")
    add(store, "a", collector="gnocchi")
    assert len(store.find({"identifier": ["a"]})) == 2


def test_a_change_keeps_what_was_rated(store: ScopeStore) -> None:
    add(store, "a")
    [state] = store.find({})
    other = dataclasses.replace(state.scope, collector="gnocchi")
    changed = store.change(state, scope=other, active=True, now=LATER)
    assert changed == dataclasses.replace(state, scope=other)
    stopped = store.change(changed, scope=other, active=False, now=LATER)
    assert stopped == dataclasses.replace(changed, active=False, toggled_at=LATER)
    again = store.change(stopped, scope=other, active=False, now=LATER + HOUR)
    assert again == stopped


def test_two_scopes_do_not_become_one(store: ScopeStore) -> None:
    add(store, "a", active=False)
    add(store, "a", collector="gnocchi")
    first, second = store.find({})
    assert first.scope.collector == "csv"
    with pytest.raises(ScopeTaken):
        store.change(first, scope=second.scope, active=True, now=LATER)
    assert store.find({}) == [first, second]


IDENTITY = {"scope_key": "project_id", "fetcher": "source", "collector": "csv"}


def gone(store: ScopeStore) -> dict[str, datetime.datetime | None]:
    return {state.scope.identifier: state.gone_at for state in store.find({})}


def note(store: ScopeStore, *listed: str, now: datetime.datetime) -> list[str]:
    """Note what is listed, and return who has gone."""
    found = store.note_listed([scope(name) for name in listed], IDENTITY, now)
    return [state.scope.identifier for state in found]


def test_since_when_a_scope_is_gone_is_remembered_until_it_is_back(store: ScopeStore) -> None:
    for identifier in ("a", "b", "c"):
        add(store, identifier)
    add(store, "d", fetcher="keystone")
    assert note(store, "a", "b", "c", now=NEW_YEAR) == []
    assert note(store, "a", now=LATER) == ["b", "c"]
    assert note(store, "a", now=LATER + HOUR) == []
    assert gone(store) == {"a": None, "b": LATER, "c": LATER, "d": None}
    assert note(store, "a", "c", now=LATER + HOUR) == []
    assert gone(store) == {"a": None, "b": LATER, "c": None, "d": None}
    assert note(store, now=LATER + 2 * HOUR) == ["a", "c"]
    assert gone(store)["b"] == LATER


def test_a_list_that_has_not_changed_writes_nothing(store: ScopeStore, monkeypatch) -> None:
    for identifier in ("a", "b"):
        add(store, identifier)
    note(store, "a", now=LATER)
    monkeypatch.setattr(Database, "writer", None)
    assert note(store, "a", now=LATER + HOUR) == []


def test_thousands_go_at_once(store: ScopeStore) -> None:
    names = [f"s{number:05}" for number in range(12_000)]
    store.ensure([scope(name) for name in names], starts_at=NEW_YEAR, now=NEW_YEAR)
    assert len(note(store, *names[:5], now=LATER)) == 11_995
    assert sum(since == LATER for since in gone(store).values()) == 11_995
    note(store, *names, now=LATER)
    assert set(gone(store).values()) == {None}
