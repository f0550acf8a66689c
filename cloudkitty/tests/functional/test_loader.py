# SPDX-License-Identifier: Apache-2.0
"""History that is loaded in bulk is the ledger that storing it period by period makes, wherever
transactions and processes end on the way."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cloudkitty import period
from cloudkitty.dataframe import Registry
from cloudkitty.db.models import scopes
from cloudkitty.db.scopes import ScopeStore
from cloudkitty.storage.base import Query, StorageError
from cloudkitty.storage.sqlalchemy import models
from cloudkitty.storage.sqlalchemy.driver import SqlAlchemyStorage
from cloudkitty.storage.sqlalchemy.loader import Loader
from cloudkitty.storage.sqlalchemy.writer import content_of
from cloudkitty.tests.builders import frame, hour, scope, states
from cloudkitty.tests.stored import ledger

NAMES = [("instance", {"id": "a"}), ("instance", {"id": "a", "n": 1}), ("volume", {"id": "a"})]

amounts = st.sampled_from(["0", "1", "0.3333333333333333333333333333"])
contents = st.dictionaries(st.integers(0, 2), st.tuples(amounts, amounts), max_size=3)
endings = st.sampled_from(["nothing", "nothing", "commit", "death"])
histories = st.lists(st.tuples(contents, endings), min_size=1, max_size=8)


def points(content) -> list:
    return [(*NAMES[number], qty, price) for number, (qty, price) in content.items()]


def begin(number: int) -> int:
    return period.epoch(hour(number).begin)


def wipe(database) -> None:
    with database.writer() as connection:
        connection.execute(models.runs.delete())
        connection.execute(models.series.delete())
        connection.execute(scopes.delete())


@settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
    derandomize=True,
)
@given(histories)
def test_loading_is_rating(conf, database, history) -> None:
    wipe(database)
    storage = SqlAlchemyStorage(conf, database, Registry())
    for number, (content, _ending) in enumerate(history):
        [state] = states(database, "alpha").values()
        assert not storage.replace(hour(number), {state: frame(hour(number), points(content))})
    rated = ledger(database)
    wipe(database)

    [state] = states(database, "alpha").values()
    loaded = Loader(database).open(state.id, Registry())
    number = committed = 0
    while number < len(history):
        content, ending = history[number]
        wanted = content_of(frame(hour(number), points(content)))
        loaded.append(begin(number), begin(number + 1), wanted)
        number += 1
        if ending == "commit":
            loaded.commit(begin(number))
            committed = number
        elif ending == "death":
            # A new process finds what was committed, and goes on there.
            history[number - 1] = (content, "nothing")
            loaded = Loader(database).open(state.id, Registry())
            assert loaded.horizon == (begin(committed) if committed else None)
            number = committed
    loaded.commit(begin(number))
    assert ledger(database) == rated


def test_rating_goes_on_from_what_was_loaded(conf, database) -> None:
    [state] = states(database, "alpha").values()
    loaded = Loader(database).open(state.id, Registry())
    same = [("instance", {"id": "a"}, 1, 2)]
    loaded.append(begin(0), begin(1), content_of(frame(hour(0), same)))
    loaded.commit(begin(1))
    [state] = ScopeStore(database).find({})
    assert state.scope == scope("alpha")
    storage = SqlAlchemyStorage(conf, database, Registry())
    assert not storage.replace(hour(1), {state: frame(hour(1), same)})
    [run] = ledger(database)
    assert run[6:8] == (str(begin(0)), str(models.OPEN))


def test_a_period_of_another_length_outlasts_a_commit(database) -> None:
    """A day's point among hours goes on behind the horizon, and is extended there."""
    [state] = states(database, "alpha").values()
    day, volume = 24, [("volume", {"id": "v"}, 1, 2)]
    loaded = Loader(database).open(state.id, Registry())
    loaded.append(begin(0), begin(day), content_of(frame(hour(0), volume)))
    loaded.commit(begin(1))
    loaded = Loader(database).open(state.id, Registry())
    loaded.append(begin(day), begin(2 * day), content_of(frame(hour(0), volume)))
    loaded.commit(begin(2 * day))
    [run] = ledger(database)
    assert run[6:9] == (str(begin(0)), str(models.OPEN), str(day * 3600))


@pytest.mark.parametrize("every", [1, 5, 24, 48])
def test_hours_and_days_of_one_series_add_up(every: int, conf, database) -> None:
    """Whenever the process ends on the way: 48 hours at 2 and two days at 7."""
    [state] = states(database, "alpha").values()
    hourly = content_of(frame(hour(0), [("volume", {"id": "v"}, 1, 2)]))
    daily = content_of(frame(hour(0), [("volume", {"id": "v"}, 5, 7)]))
    for number in range(48):
        if number % every == 0:
            loaded = Loader(database).open(state.id, Registry())
        loaded.append(begin(number), begin(number + 1), hourly)
        if number % 24 == 0:
            loaded.append(begin(number), begin(number + 24), daily)
        if number % every == every - 1 or number == 47:
            loaded.commit(begin(number + 1))
    storage = SqlAlchemyStorage(conf, database, Registry())
    [row] = storage.total(Query(hour(0).begin, hour(48).begin)).rows
    assert (row.points, row.qty, row.price) == (50, 58, 110)


def test_two_loaders_of_one_scope_do_not_write_over_each_other(database) -> None:
    [state] = states(database, "alpha").values()
    one, other = (Loader(database).open(state.id, Registry()) for _ in range(2))
    for loaded in (one, other):
        loaded.append(begin(0), begin(1), content_of(frame(hour(0), [("volume", {}, 1, 2)])))
    one.commit(begin(1))
    with pytest.raises(StorageError, match="somebody else"):
        other.commit(begin(1))
    assert len(ledger(database)) == 1


def test_a_loader_notices_that_what_it_goes_on_with_has_been_purged(conf, database) -> None:
    [state] = states(database, "alpha").values()
    same = content_of(frame(hour(0), [("volume", {}, 1, 2)]))
    loaded = Loader(database).open(state.id, Registry())
    loaded.append(begin(0), begin(1), same)
    loaded.commit(begin(1))
    storage = SqlAlchemyStorage(conf, database, Registry())
    list(storage.purge(hour(1).begin, period.UTC))
    loaded.append(begin(1), begin(2), same)
    with pytest.raises(StorageError, match="somebody else"):
        loaded.commit(begin(2))
    loaded = Loader(database).open(state.id, Registry())
    loaded.append(begin(1), begin(2), same)
    loaded.commit(begin(2))
    [row] = storage.total(Query(hour(0).begin, hour(2).begin)).rows
    assert (row.points, row.qty, row.price) == (2, 2, 4)
