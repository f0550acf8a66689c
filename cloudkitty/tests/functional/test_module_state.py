# SPDX-License-Identifier: Apache-2.0
"""States of rating modules on every database."""

import concurrent.futures
import threading
from collections.abc import Callable
from typing import Any

import pytest
import sqlalchemy as sa

from cloudkitty.db.engine import Database
from cloudkitty.db.models import modules_state
from cloudkitty.rating.state import ModuleState, ModuleStates, move_revision


def row(database: Database) -> Any:
    with database.reader() as connection:
        return connection.execute(sa.select(modules_state)).one_or_none()


def at_once(calls: list[Callable[[], object]]) -> None:
    barrier = threading.Barrier(len(calls))

    def run(call: Callable[[], object]) -> None:
        barrier.wait()
        call()

    with concurrent.futures.ThreadPoolExecutor(len(calls)) as pool:
        list(pool.map(run, calls))


def test_module_without_row_is_disabled(database: Database) -> None:
    states = ModuleStates(database)
    assert states.get("hashmap") == ModuleState("hashmap", False, 1, 0)
    assert states.read(["a", "b"]) == {"a": ModuleState("a"), "b": ModuleState("b")}


@pytest.mark.parametrize("priority", [None, 0])
def test_missing_priority_reads_as_one(database: Database, priority: int | None) -> None:
    with database.writer() as connection:
        values = {"name": "hashmap", "state": True, "priority": priority, "revision": 5}
        connection.execute(modules_state.insert().values(values))
    assert ModuleStates(database).get("hashmap") == ModuleState("hashmap", True, 1, 5)


def test_state_is_read_as_set(database: Database) -> None:
    states = ModuleStates(database)
    states.set("hashmap", enabled=True)
    states.set("hashmap", priority=100)
    states.set("pyscripts", priority=7)
    assert states.read(["noop"]) == {
        "noop": ModuleState("noop"),
        "hashmap": ModuleState("hashmap", True, 100),
        "pyscripts": ModuleState("pyscripts", False, 7),
    }
    states.set("hashmap", enabled=False)
    assert states.get("hashmap") == ModuleState("hashmap", False, 100)


def test_nothing_is_written_when_nothing_changes(database: Database) -> None:
    states = ModuleStates(database)
    states.set("hashmap", enabled=False, priority=1)
    states.set("hashmap")
    assert row(database) is None


def test_state_leaves_the_revision(database: Database) -> None:
    with database.writer() as connection:
        move_revision(connection, "hashmap")
    states = ModuleStates(database)
    states.set("hashmap", enabled=True, priority=3)
    assert states.get("hashmap") == ModuleState("hashmap", True, 3, 1)


def test_revision_leaves_the_state(database: Database) -> None:
    states = ModuleStates(database)
    states.set("hashmap", enabled=True, priority=3)
    with database.writer() as connection:
        move_revision(connection, "hashmap")
    assert states.get("hashmap") == ModuleState("hashmap", True, 3, 1)


def test_no_concurrent_writer_is_lost(database: Database) -> None:
    states = ModuleStates(database)

    def move() -> None:
        with database.writer() as connection:
            move_revision(connection, "hashmap")

    calls: list[Callable[[], object]] = [move] * 4
    calls.append(lambda: states.set("hashmap", enabled=True))
    calls.append(lambda: states.set("hashmap", priority=9))
    at_once(calls)
    assert states.get("hashmap") == ModuleState("hashmap", True, 9, 4)


def test_revision_of_a_failed_transaction_stays(database: Database) -> None:
    with pytest.raises(RuntimeError), database.writer() as connection:
        move_revision(connection, "hashmap")
        raise RuntimeError
    assert row(database) is None
