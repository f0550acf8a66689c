# SPDX-License-Identifier: Apache-2.0
"""Setting a scope back while a processor moves it: the scope is set back whole, or left alone."""

import dataclasses
import pathlib
from typing import Any

import pytest
from oslo_config import cfg

from cloudkitty.api.v2 import reset
from cloudkitty.db.engine import Database
from cloudkitty.db.scopes import ScopeStore
from cloudkitty.storage.base import Query
from cloudkitty.tests import api
from cloudkitty.tests.builders import NEW_YEAR, frame, hour, states
from cloudkitty.tests.functional.test_ledger import ledger

POINTS = [("instance", {"id": "i", "project_id": "p"}, 1, 1)]


class Race:
    """A scope that was rated for four hours, and a processor that gets in between the two steps of
    an API: where the scope is, and setting it back from there."""

    def __init__(self, conf: cfg.ConfigOpts, database: Database, directory: pathlib.Path) -> None:
        conf.set_override("auth_strategy", "noauth")
        self.database = database
        self._processor = ledger(conf, database)
        context = api.context(conf, database, directory)
        self._client = api.Client.of(context)
        self._rewind = context.storage.rewind
        context.storage.rewind = self._late  # type: ignore[method-assign]
        self.between: list[Any] = []
        self.tries = 0
        for _ in range(4):
            self.rate()

    def _late(self, *arguments: Any) -> bool:
        self.tries += 1
        if self.between:
            self.between.pop(0)()
        return self._rewind(*arguments)

    def rate(self) -> None:
        """Rate the next hour."""
        state = states(self.database, "p")["p"]
        number = 0 if state.horizon is None else (state.horizon - NEW_YEAR).seconds // 3600
        stretch = hour(number)
        assert not self._processor.replace(stretch, {state: frame(stretch, POINTS)})

    def rename(self) -> None:
        """Give the scope another collector."""
        state = states(self.database, "p")["p"]
        moved = dataclasses.replace(state.scope, collector="other")
        ScopeStore(self.database).change(state, scope=moved, active=True, now=NEW_YEAR)

    def put(self) -> Any:
        body = {"scope_id": "p", "last_processed_timestamp": "2026-01-01T01:00:00"}
        return self._client("PUT", "/v2/scope", body)

    def hours(self) -> list[int]:
        """The hours that are in the ledger."""
        page = self._processor.retrieve(Query(NEW_YEAR, hour(50).begin))
        return [(f.frame.period.begin - NEW_YEAR).seconds // 3600 for f in page.frames]


@pytest.fixture
def race(conf: cfg.ConfigOpts, database: Database, tmp_path: pathlib.Path) -> Race:
    return Race(conf, database, tmp_path)


def test_a_scope_that_has_moved_in_between_is_set_back_from_where_it_is(race: Race) -> None:
    race.between = [race.rate, race.rate]
    assert race.put().status_int == 202
    assert race.tries == 3
    assert race.hours() == [0, 1]
    # The processor that has moved it goes on from there.
    race.rate()
    assert race.hours() == [0, 1, 2]
    assert states(race.database, "p")["p"].horizon == hour(3).begin


def test_a_scope_that_moves_all_the_time_is_left_alone(race: Race) -> None:
    race.between = [race.rate] * reset.TRIES
    answer = race.put()
    assert answer.status_int == 409
    assert answer.json["message"] == "Scope p is being rated just now; try again."
    assert race.hours() == list(range(4 + reset.TRIES))
    assert race.put().status_int == 202
    assert race.hours() == [0, 1]


def test_a_scope_that_is_another_by_now_is_left_alone(race: Race) -> None:
    def change() -> None:
        race.rate()
        race.rename()

    race.between = [change]
    assert race.put().status_int == 409
    assert race.hours() == [0, 1, 2, 3, 4]
