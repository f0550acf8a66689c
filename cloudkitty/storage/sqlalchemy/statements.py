# SPDX-License-Identifier: Apache-2.0
"""The SQL of the ledger's writing side, each over many rows at once."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from cloudkitty import money, period
from cloudkitty.db.models import scopes
from cloudkitty.storage.sqlalchemy import bulk, models, runs

RUN_COLUMNS = ("series_id", "begin", "step", "end", "qty", "price")

ROWS_AT_ONCE = 10_000
"""Rows that are fetched together where there may be very many."""

StoredRuns = dict[int, list[runs.Run]]
"""Runs as they are stored, by series: the ``end`` of one without an end is ``OPEN``."""


class Locked(NamedTuple):
    """Where a scope stands, read under its lock, in Unix seconds."""

    horizon: int | None
    version: int


def lock(connection: Connection, ids: Collection[int]) -> dict[int, Locked]:
    """Lock the rows of the scopes until the end of the transaction, always in the same order."""
    table = scopes.c
    locked = {}
    for piece in bulk.chunks(sorted(ids)):
        statement = (
            sa.select(table.id, sa.type_coerce(table.horizon, sa.BigInteger), table.version)
            .where(table.id.in_(piece))
            .order_by(table.id)
            .with_for_update()
        )
        for scope_id, horizon, version in connection.execute(statement):
            locked[scope_id] = Locked(horizon, version)
    return locked


def open_rows(connection: Connection, scope_ids: Collection[int]) -> Iterable[Any]:
    """Yield the open runs of the scopes, with the columns of their series."""
    table = models.runs.c
    for piece in bulk.chunks(scope_ids):
        yield from connection.execute(
            sa.select(models.series, models.runs)
            .join_from(models.runs, models.series, table.series_id == models.series.c.id)
            .where(table.end == models.OPEN, models.series.c.scope_id.in_(piece)),
            execution_options={"yield_per": ROWS_AT_ONCE},
        )


def series_keys(
    connection: Connection, wanted: Collection[tuple[int, bytes]]
) -> dict[tuple[int, bytes], int]:
    """Return the keys of those series that have a row, by scope and digest."""
    found: dict[tuple[int, bytes], int] = {}
    table = models.series.c
    for piece in bulk.chunks(sorted(wanted)):
        rows = connection.execute(
            sa.select(table.scope_id, table.digest, table.id).where(
                table.scope_id.in_({scope_id for scope_id, _digest in piece}),
                table.digest.in_({digest for _scope, digest in piece}),
            )
        )
        found |= {(scope_id, bytes(digest)): key for scope_id, digest, key in rows}
    return found


def runs_near(
    connection: Connection, scope_ids: Collection[int], begin: int, end: int
) -> dict[int, StoredRuns]:
    """Return, by scope, the runs that overlap or touch the window."""
    table = models.runs.c
    near: dict[int, StoredRuns] = {scope_id: defaultdict(list) for scope_id in scope_ids}
    for piece in bulk.chunks(scope_ids):
        rows = connection.execute(
            sa.select(
                models.series.c.scope_id,
                table.series_id,
                table.begin,
                table.end,
                table.step,
                table.qty,
                table.price,
            )
            .join_from(models.runs, models.series, table.series_id == models.series.c.id)
            .where(models.series.c.scope_id.in_(piece), table.end >= begin, table.begin <= end)
        )
        for scope_id, key, *run in rows:
            near[scope_id][key].append(runs.Run(*run))
    return near


def insert_runs(connection: Connection, rows: Sequence[tuple[int, runs.Run]]) -> None:
    """Insert runs as they are to be stored, each with the key of its series."""
    bulk.insert(
        connection,
        models.runs,
        RUN_COLUMNS,
        [
            (key, run.begin, run.step, run.end, money.text(run.qty), money.text(run.price))
            for key, run in rows
        ],
    )


def delete_runs(connection: Connection, rows: Sequence[tuple[int, runs.Run]]) -> None:
    """Delete runs, each given with the key of its series."""
    if not rows:
        return
    table = models.runs.c
    connection.execute(
        models.runs.delete().where(
            table.series_id == sa.bindparam("key"),
            table.begin == sa.bindparam("starts"),
            table.step == sa.bindparam("length"),
        ),
        [{"key": key, "starts": run.begin, "length": run.step} for key, run in rows],
    )


def close_runs(connection: Connection, keys: Sequence[int], end: int) -> None:
    """Give the open runs of these series an end."""
    table = models.runs.c
    for piece in bulk.chunks(keys):
        connection.execute(
            models.runs.update()
            .where(table.end == models.OPEN, table.series_id.in_(piece))
            .values(end=end)
        )


def move_horizon(connection: Connection, ids: Sequence[int], horizon: int) -> None:
    """Set the horizon of the scopes; what went wrong before it is forgotten."""
    instant = period.from_epoch(horizon)
    for piece in bulk.chunks(ids):
        connection.execute(
            scopes.update()
            .where(scopes.c.id.in_(piece))
            .values(horizon=instant, failures=0, retry_at=None, last_error=None)
        )


def move_version(connection: Connection, ids: Collection[int]) -> None:
    """Note that the content of the scopes has changed."""
    for piece in bulk.chunks(ids):
        connection.execute(
            scopes.update().where(scopes.c.id.in_(piece)).values(version=scopes.c.version + 1)
        )


def as_stored(run: runs.Run, horizon: int | None) -> runs.Run:
    """Return a run as it is stored: one that reaches the horizon has no end."""
    return run._replace(end=models.OPEN) if run.end == horizon else run


def with_end(run: runs.Run, horizon: int | None) -> runs.Run:
    """Return a stored run with its end."""
    return run._replace(end=horizon or 0) if run.end == models.OPEN else run


def rewrite(
    connection: Connection,
    before: Mapping[int, Sequence[runs.Run]],
    after: Mapping[int, Sequence[runs.Run]],
) -> bool:
    """Turn stored runs from *before* to *after* (both as stored, by series); return whether
    they differ."""
    gone = []
    fresh = []
    for key in before.keys() | after.keys():
        old, new = set(before.get(key, ())), set(after.get(key, ()))
        gone += [(key, run) for run in old - new]
        fresh += [(key, run) for run in new - old]
    delete_runs(connection, gone)
    insert_runs(connection, fresh)
    return bool(gone or fresh)
