# SPDX-License-Identifier: Apache-2.0
"""What is written behind the horizon in bulk is the ledger that rating it in its time would have
made, however it is cut into transactions, and however far rating is."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cloudkitty import period
from cloudkitty.dataframe import Registry
from cloudkitty.db.models import scopes
from cloudkitty.db.scopes import ScopeStore
from cloudkitty.storage.base import StorageError
from cloudkitty.storage.sqlalchemy.backfill import Backfill, Window
from cloudkitty.storage.sqlalchemy.driver import SqlAlchemyStorage
from cloudkitty.storage.sqlalchemy.writer import content_of
from cloudkitty.tests.builders import frame, hour, states
from cloudkitty.tests.stored import ledger, wipe

NAMES = [("instance", {"id": "a"}), ("instance", {"id": "a", "n": 1}), ("volume", {"id": "a"})]

amounts = st.sampled_from(["0", "1", "0.3333333333333333333333333333"])
contents = st.dictionaries(st.integers(0, 2), st.tuples(amounts, amounts), max_size=3)
endings = st.sampled_from(["nothing", "nothing", "commit", "again"])
histories = st.lists(st.tuples(contents, endings), min_size=1, max_size=8)


def points(content) -> list:
    return [(*NAMES[number], qty, price) for number, (qty, price) in content.items()]


def begin(number: int) -> int:
    return period.epoch(hour(number).begin)


def rate(conf, database, number: int, content) -> None:
    storage = SqlAlchemyStorage(conf, database, Registry())
    [state] = states(database, "alpha").values()
    assert not storage.replace(hour(number), {state: frame(hour(number), points(content))})


def stand_at(database, number: int) -> int:
    """Let the scope's horizon be there, and return its key."""
    [state] = states(database, "alpha").values()
    with database.writer() as connection:
        connection.execute(scopes.update().values(horizon=hour(number).begin))
    return state.id


@settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
    derandomize=True,
)
@given(histories, st.lists(contents, max_size=2))
def test_it_is_what_rating_in_time_would_have_made(conf, sqlite_database, history, later) -> None:
    wipe(sqlite_database)
    everything = [*(content for content, _ending in history), *later]
    for number, content in enumerate(everything):
        rate(conf, sqlite_database, number, content)
    rated = ledger(sqlite_database)
    wipe(sqlite_database)

    end = len(history)
    scope_id = stand_at(sqlite_database, end)
    for number, content in enumerate(later, start=end):
        rate(conf, sqlite_database, number, content)
    written = Backfill(sqlite_database, scope_id, Registry(), Window(begin(0), begin(end)))
    since = 0
    for number, (content, ending) in enumerate(history):
        wanted = content_of(frame(hour(number), points(content)))
        written.append(begin(number), begin(number + 1), wanted)
        if ending != "nothing":
            written.commit(begin(number + 1))
            if ending == "again":
                # A process that was killed before it noted that does the last of it once more.
                window = Window(begin(since), begin(end))
                written = Backfill(sqlite_database, scope_id, Registry(), window)
                for known in range(since, number + 1):
                    again = content_of(frame(hour(known), points(history[known][0])))
                    written.append(begin(known), begin(known + 1), again)
            else:
                since = number + 1
    written.commit(begin(end) + 3600)
    assert ledger(sqlite_database) == rated


def test_a_horizon_that_moves_meanwhile_is_no_hindrance(conf, database, monkeypatch) -> None:
    scope_id = stand_at(database, 1)
    same = {0: ("1", "2")}
    known = ScopeStore.get
    late: list[int] = [1, 2]

    def rated_after(self, key):
        state = known(self, key)
        if late:
            rate(conf, database, late.pop(0), same)
        return state

    monkeypatch.setattr(ScopeStore, "get", rated_after)
    written = Backfill(database, scope_id, Registry(), Window(begin(0), begin(1)))
    written.append(begin(0), begin(1), content_of(frame(hour(0), points(same))))
    written.commit(begin(1))
    assert not late
    [run] = ledger(database)
    assert run[6] == str(begin(0))
    [state] = ScopeStore(database).find({})
    assert state.horizon == hour(3).begin


def test_a_horizon_that_never_stands_still_is_an_error(sqlite_database, monkeypatch) -> None:
    scope_id = stand_at(sqlite_database, 1)
    [stale] = states(sqlite_database, "alpha").values()
    stand_at(sqlite_database, 2)
    monkeypatch.setattr(ScopeStore, "get", lambda _store, _key: stale)
    written = Backfill(sqlite_database, scope_id, Registry(), Window(begin(0), begin(1)))
    with pytest.raises(StorageError, match="does not stand still"):
        written.commit(begin(1))
    assert ledger(sqlite_database) == []
