# SPDX-License-Identifier: Apache-2.0
"""Which rating modules are enabled, in which order, and at which revision their rules stand.

Invariants: a module without a row is disabled with priority 1; a revision moves with every
change of a module's rules, in the transaction that changes them; who has moved a revision
holds off every other writer of that module's rules until its own transaction ends.
"""

import functools
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import mysql, postgresql, sqlite
from sqlalchemy.engine import Connection

from cloudkitty.db.engine import Database
from cloudkitty.db.models import modules_state

DEFAULT_PRIORITY = 1


@dataclass(frozen=True, slots=True)
class ModuleState:
    """A rating module as it stands in the database; the highest priority rates first."""

    name: str
    enabled: bool = False
    priority: int = DEFAULT_PRIORITY
    revision: int = 0


class ModuleStates:
    """The states of all rating modules."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def read(self, names: Iterable[str] = ()) -> dict[str, ModuleState]:
        """Return the state of every module that has one and the default for the rest of
        *names*, in one query."""
        states = {name: ModuleState(name) for name in names}
        with self._database.reader() as connection:
            for row in connection.execute(sa.select(modules_state)):
                priority = row.priority or DEFAULT_PRIORITY
                states[row.name] = ModuleState(row.name, row.state, priority, row.revision)
        return states

    def get(self, name: str) -> ModuleState:
        """Return the state of one module."""
        return self.read([name])[name]

    def set(self, name: str, *, enabled: bool | None = None, priority: int | None = None) -> None:
        """Change what is not ``None``; nothing is written when it is so already."""
        state = self.get(name)
        values: dict[str, Any] = {}
        if enabled is not None and enabled != state.enabled:
            values["state"] = enabled
        if priority is not None and (priority or DEFAULT_PRIORITY) != state.priority:
            values["priority"] = priority
        if not values:
            return
        with self._database.writer() as connection:
            connection.execute(_upsert(connection.dialect.name, name, values, values))


def move_revision(connection: Connection, name: str) -> None:
    """Move the revision of a module's rules, as the first statement of a writer's transaction.

    The row stays locked until the transaction ends, so that all changes of the rules of one
    module happen one after the other.
    """
    connection.execute(_mover(connection.dialect.name), {"module": name})


@functools.cache
def _mover(dialect: str) -> sa.Insert:
    moved = {"revision": modules_state.c.revision + 1}
    return _upsert(dialect, sa.bindparam("module", type_=sa.String), {"revision": 1}, moved)


def _upsert(
    dialect: str, name: Any, inserted: dict[str, Any], updated: dict[str, Any]
) -> sa.Insert:
    """One statement that inserts the row or updates it, whoever else does so meanwhile."""
    row = {"name": name, "state": False, "revision": 0, **inserted}
    statement: Any
    if dialect in ("mysql", "mariadb"):
        # Takes the exclusive lock at once, where INSERT IGNORE would share it and deadlock.
        statement = mysql.insert(modules_state).values(row).on_duplicate_key_update(updated)
    else:
        kind = sqlite if dialect == "sqlite" else postgresql
        statement = kind.insert(modules_state).values(row)
        statement = statement.on_conflict_do_update(index_elements=["name"], set_=updated)
    upsert: sa.Insert = statement
    return upsert
