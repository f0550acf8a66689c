# SPDX-License-Identifier: Apache-2.0
"""The SQL of the ledger's writing side, each over many rows at once."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from cloudkitty import money, period
from cloudkitty.db.models import scopes
from cloudkitty.storage.sqlalchemy import bulk, models, runs

RUN_COLUMNS = ("series_id", "begin", "step", "end", "qty", "price")

SCOPES_AT_ONCE = 50
DIGESTS_AT_ONCE = 200
"""Scopes, and series of each, that are looked for together: SQLite takes statements of up to a
million characters."""

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
    connection: Connection, wanted: Mapping[int, Sequence[bytes]]
) -> dict[tuple[int, bytes], int]:
    """Return the keys of those series, given by scope with their digests, that have a row.

    The statement is written here, since SQLAlchemy takes longer to bind a digest than a database to
    find it; and it is about pairs: all of the scopes with all of the digests would be far more.
    """
    found: dict[tuple[int, bytes], int] = {}
    conditions = (
        f"scope_id = {scope_id} AND digest IN ({bulk.literals(connection, piece)})"
        for scope_id, digests in wanted.items()
        for piece in bulk.chunks(digests, DIGESTS_AT_ONCE)
    )
    for some in bulk.chunks(conditions, SCOPES_AT_ONCE):
        rows = connection.exec_driver_sql(
            f"SELECT scope_id, digest, id FROM {models.series.name} WHERE {' OR '.join(some)}",
            execution_options={"no_parameters": True},
        )
        found |= {(scope_id, bytes(digest)): key for scope_id, digest, key in rows.all()}
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


def runs_around(connection: Connection, points: Mapping[int, Sequence[runs.Run]]) -> StoredRuns:
    """Return, by series, the stored runs that these runs of points (by series too) overlap or touch
    on the same grid: with their step, and periods that begin where theirs do.

    Each series is entered by its key, so that what it has of other times does not count.
    """
    grids: dict[tuple[int, int], dict[int, list[runs.Run]]] = defaultdict(dict)
    for key, many in points.items():
        for run in many:
            grids[run.step, run.begin % run.step].setdefault(key, []).append(run)
    found: StoredRuns = defaultdict(list)
    for (step, phase), of in grids.items():
        first = min(run.begin for many in of.values() for run in many)
        last = max(run.end for many in of.values() for run in many)
        for piece in bulk.chunks(of):
            rows = connection.exec_driver_sql(
                _runs_around(connection, piece, step, phase, first, last),
                execution_options={"no_parameters": True},
            )
            for key, begin, end, qty, price in rows.all():
                found[key].append(runs.Run(begin, end, step, Decimal(qty), Decimal(price)))
    return found


def _runs_around(
    connection: Connection, keys: Sequence[int], step: int, phase: int, first: int, last: int
) -> str:
    """Return the statement for the runs of one grid that may overlap or touch a window: those that
    begin in it, and the last one before. On one grid runs of a series do not overlap."""
    quote = connection.dialect.identifier_preparer.quote
    names = ("series_id", "begin", "end", "qty", "price")
    columns = ", ".join(f"run.{quote(name)}" for name in names)
    begin, end = quote("begin"), quote("end")
    on_grid = f"{quote('step')} = {step} AND ({begin} - {phase}) % {step} = 0"
    chosen = ",".join(map(str, keys))
    latest = (
        f"FROM ledger_runs WHERE series_id = owner.id AND {begin} < {first} AND {on_grid}"
        f" ORDER BY {begin} DESC LIMIT 1"
    )
    # Each for itself: PostgreSQL would join all runs of the ledger, MariaDB all of the series.
    if connection.dialect.name == "postgresql":
        join = f"CROSS JOIN LATERAL (SELECT * {latest}) run"
    else:
        join = "STRAIGHT_JOIN" if connection.dialect.name in bulk.MYSQL else "CROSS JOIN"
        join += f" ledger_runs run ON run.series_id = owner.id AND run.{quote('step')} = {step}"
        join += f" AND run.{begin} = (SELECT {begin} {latest})"
    return (
        f"SELECT {columns} FROM ledger_runs run WHERE series_id IN ({chosen})"
        f" AND {on_grid} AND {begin} >= {first} AND {begin} <= {last}"
        f" UNION ALL SELECT {columns} FROM ledger_series owner {join}"
        f" WHERE owner.id IN ({chosen}) AND run.{end} >= {first}"
    )


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
    """Delete runs, each given with the key of its series; those that begin together go together."""
    gone: dict[tuple[int, int], list[int]] = defaultdict(list)
    for key, run in rows:
        gone[run.begin, run.step].append(key)
    table = models.runs.c
    for (begin, step), keys in gone.items():
        for piece in bulk.chunks(keys):
            connection.execute(
                models.runs.delete().where(
                    table.series_id.in_(piece), table.begin == begin, table.step == step
                )
            )


def _move_ends(connection: Connection, moved: Mapping[tuple[int, int, int], Sequence[int]]) -> None:
    """Give runs another end, by series: those of one step that end at an instant (the first) end at
    another one. A series has no two of them, for both would have the last point."""
    table = models.runs.c
    for (step, before, after), keys in moved.items():
        for piece in bulk.chunks(keys):
            connection.execute(
                models.runs.update()
                .where(table.series_id.in_(piece), table.step == step, table.end == before)
                .values(end=after)
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
    moved: dict[tuple[int, int, int], list[int]] = defaultdict(list)
    for key in before.keys() | after.keys():
        old = {(run.begin, run.step): run for run in before.get(key, ())}
        for run in after.get(key, ()):
            known = old.pop((run.begin, run.step), None)
            if known == run:
                continue
            if known is not None and known.qty == run.qty and known.price == run.price:
                moved[run.step, known.end, run.end].append(key)
                continue
            if known is not None:
                gone.append((key, known))
            fresh.append((key, run))
        gone += [(key, run) for run in old.values()]
    delete_runs(connection, gone)
    _move_ends(connection, moved)
    insert_runs(connection, fresh)
    return bool(gone or moved or fresh)
