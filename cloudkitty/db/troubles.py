# SPDX-License-Identifier: Apache-2.0
"""What keeps scopes, and which of their metrics, from being rated, in the database.

Invariants: a scope that is well has no rows; a note that says what the last one said writes
nothing; rows are changed in a transaction that has locked their scopes by changing them.
"""

import datetime
from collections import defaultdict
from collections.abc import Collection, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from cloudkitty.coverage import WHOLE, State, Trouble
from cloudkitty.db.engine import Database
from cloudkitty.db.models import coverage_troubles
from cloudkitty.scope import ScopeState

_ERROR_LENGTH = 2000

_AT_ONCE = 10_000
"""Scopes asked for by one statement: databases have a limit of its arguments."""


def of(database: Database, scope_ids: Collection[int] | None = None) -> dict[int, list[Trouble]]:
    """Return what has been noted about scopes (``None``: all), by the key of the scope."""
    with database.reader() as connection:
        return _read(connection, scope_ids)


def note(
    connection: Connection,
    states: Collection[ScopeState],
    state: State,
    error: str,
    metrics: Collection[str],
    now: datetime.datetime,
) -> None:
    """Make this all that is noted about the scopes: of each as a whole, and of these metrics."""
    known = _read(connection, [one.id for one in states])
    gone: list[dict[str, Any]] = []
    changed: list[dict[str, Any]] = []
    fresh: list[dict[str, Any]] = []
    for scope in states:
        begin = scope.horizon or scope.starts_at
        before = {one.metric: one for one in known.get(scope.id, ())}
        wanted = dict.fromkeys((WHOLE, *metrics))
        for metric in wanted:
            old = before.pop(metric, None)
            same = old is not None and (old.state, old.begin) == (state, begin)
            since = old.since if same and old is not None else now
            new = Trouble(metric, state, begin, since, error[:_ERROR_LENGTH])
            if old is None:
                fresh.append(_row(scope, new))
            elif old != new:
                changed.append(_row(scope, new, prefix="new_"))
        gone += [{"key": scope.id, "name": metric} for metric in before]
    _write(connection, gone, changed, fresh)


def clear(database: Database, states: Sequence[ScopeState]) -> None:
    """Forget what has been noted about scopes."""
    for start in range(0, len(states), _AT_ONCE):
        piece = [state.id for state in states[start : start + _AT_ONCE]]
        with database.writer() as connection:
            connection.execute(
                coverage_troubles.delete().where(coverage_troubles.c.scope_id.in_(piece))
            )


def _read(connection: Connection, scope_ids: Collection[int] | None) -> dict[int, list[Trouble]]:
    table = coverage_troubles.c
    statement = sa.select(coverage_troubles).order_by(table.scope_id, table.metric)
    found: dict[int, list[Trouble]] = defaultdict(list)
    keys = [] if scope_ids is None else list(scope_ids)
    pieces = [keys[start : start + _AT_ONCE] for start in range(0, len(keys), _AT_ONCE)]
    for piece in [None] if scope_ids is None else pieces:
        chosen = statement if piece is None else statement.where(table.scope_id.in_(piece))
        for row in connection.execute(chosen):
            found[row.scope_id].append(
                Trouble(row.metric, State(row.state), row.begin, row.since, row.error)
            )
    return dict(found)


def _row(scope: ScopeState, trouble: Trouble, prefix: str = "") -> dict[str, Any]:
    return {
        "key" if prefix else "scope_id": scope.id,
        "name" if prefix else "metric": trouble.metric,
        f"{prefix}state": trouble.state.value,
        f"{prefix}begin": trouble.begin,
        f"{prefix}since": trouble.since,
        f"{prefix}error": trouble.error,
    }


def _write(
    connection: Connection,
    gone: Sequence[dict[str, Any]],
    changed: Sequence[dict[str, Any]],
    fresh: Sequence[dict[str, Any]],
) -> None:
    table = coverage_troubles
    here = (table.c.scope_id == sa.bindparam("key"), table.c.metric == sa.bindparam("name"))
    if gone:
        connection.execute(table.delete().where(*here), list(gone))
    if changed:
        names = ("state", "begin", "since", "error")
        values: dict[str, Any] = {name: sa.bindparam(f"new_{name}") for name in names}
        connection.execute(table.update().where(*here).values(values), list(changed))
    if fresh:
        connection.execute(table.insert(), list(fresh))
