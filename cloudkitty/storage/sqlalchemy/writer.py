# SPDX-License-Identifier: Apache-2.0
"""Writing to the ledger: replace what a period holds, remove what a window holds.

Every change happens in one transaction that first locks the scopes concerned and looks where
their horizons are. What a worker remembers of open runs is only believed while the scope's
version has not moved, so a process that was killed, paused or overtaken can write nothing wrong.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from cloudkitty import money, period
from cloudkitty.dataframe import DataFrame, Registry, Series
from cloudkitty.db.engine import Database
from cloudkitty.db.models import scopes
from cloudkitty.period import Period
from cloudkitty.scope import ScopeState
from cloudkitty.storage.base import StorageError
from cloudkitty.storage.sqlalchemy import bulk, encoding, models, runs
from cloudkitty.storage.sqlalchemy.cache import OpenRuns, ScopeRuns
from cloudkitty.storage.sqlalchemy.ids import SeriesIds

SPARE_SERIES = 10_000
"""Series without an open run that are kept before the dead ones are looked for."""

SERIES_COLUMNS = ("id", "scope_id", *encoding.StoredSeries._fields)
RUN_COLUMNS = ("series_id", "begin", "step", "end", "qty", "price")

Content = dict[Series, tuple[Decimal, Decimal]]


def content_of(frame: DataFrame) -> Content:
    """Return quantity and price by series; points of one series are added up."""
    content: Content = {}
    for points in frame.usage.values():
        pairs = zip(points.qty, points.price, strict=True)
        fresh = dict(zip(points.series, pairs, strict=True))
        if len(fresh) == len(points) and content.keys().isdisjoint(fresh):
            content.update(fresh)
            continue
        for series, qty, price in points:
            before = content.get(series, (money.ZERO, money.ZERO))
            content[series] = (money.total((before[0], qty)), money.total((before[1], price)))
    return content


class _Locked(NamedTuple):
    """Where a scope stands, read under its lock."""

    horizon: int | None
    version: int


class _Change(NamedTuple):
    """What one scope's part of a transaction will have done to its open runs."""

    scope_id: int
    version: int
    closed: Sequence[Series]
    opened: Mapping[Series, runs.Open]


class LedgerWriter:
    """The writing half of the ledger."""

    def __init__(self, database: Database, registry: Registry) -> None:
        self._database = database
        self._registry = registry
        self._open = OpenRuns()
        self._ids = SeriesIds(database)
        self._encoder = encoding.Encoder()

    def replace(
        self, stretch: Period, frames: Mapping[ScopeState, DataFrame]
    ) -> Collection[ScopeState]:
        """See ``Storage.replace``."""
        contents = {state: content_of(frame) for state, frame in frames.items()}
        self._ids.reserve(sum(map(len, contents.values())))
        begin, end = period.epoch(stretch.begin), period.epoch(stretch.end)
        changes: list[_Change] = []
        with self._database.writer() as connection:
            locked = _lock(connection, [state.id for state in frames])
            current = {
                state: content
                for state, content in contents.items()
                if state.id in locked and locked[state.id].horizon == _epoch(state)
            }
            ahead = {s: c for s, c in current.items() if _epoch(s) in (None, begin)}
            behind = {s: c for s, c in current.items() if s not in ahead}
            for state in behind:
                if end > (_epoch(state) or 0):
                    raise StorageError(
                        f"{state.scope}: {stretch} does not follow on the horizon {state.horizon}"
                    )
            changes = self._advance(connection, ahead, locked, begin, end)
            for state, content in behind.items():
                self._swap(connection, state, content, begin, end)
        self._remember(changes)
        return [state for state in frames if state not in current]

    # -- the period at the horizon ---------------------------------------------------------

    def _advance(
        self,
        connection: Connection,
        contents: Mapping[ScopeState, Content],
        locked: Mapping[int, _Locked],
        begin: int,
        end: int,
    ) -> list[_Change]:
        if not contents:
            return []
        held = self._held(connection, contents, locked)
        step = end - begin
        differences = {
            state: runs.advance(held[state.id].current, content, step)
            for state, content in contents.items()
        }
        keys = self._keys(
            connection,
            {
                state: [s for s in opened if s not in held[state.id].current]
                for state, (_closed, opened) in differences.items()
            },
        )
        closing: list[int] = []
        rows: list[bulk.Row] = []
        changes = []
        for state, (closed, opened) in differences.items():
            current = held[state.id].current
            fresh: dict[Series, runs.Open] = {}
            for series in opened:
                qty, price = contents[state][series]
                known = current.get(series)
                key = known.series_id if known is not None else keys[state.id, series]
                fresh[series] = runs.Open(key, begin, step, qty, price)
            closing += [run.series_id for _series, run in closed]
            rows += [_row(run.series_id, run, models.OPEN) for run in fresh.values()]
            moved = bool(closed or opened)
            changes.append(
                _Change(
                    state.id,
                    locked[state.id].version + moved,
                    [series for series, _run in closed],
                    fresh,
                )
            )
        _close(connection, closing, begin)
        bulk.insert(connection, models.runs, RUN_COLUMNS, rows)
        _move_horizon(connection, [state.id for state in contents], end)
        _move_version(
            connection, [c.scope_id for c in changes if c.version != locked[c.scope_id].version]
        )
        return changes

    def _held(
        self,
        connection: Connection,
        contents: Collection[ScopeState],
        locked: Mapping[int, _Locked],
    ) -> dict[int, ScopeRuns]:
        """Return the open runs of each scope, from memory where that is up to date."""
        held: dict[int, ScopeRuns] = {}
        stale = []
        for state in contents:
            version = locked[state.id].version
            known = self._open.get(state.id)
            if known is not None and known.version == version:
                held[state.id] = known
            elif version == 0:
                held[state.id] = ScopeRuns(0, {})
            else:
                stale.append(state.id)
                held[state.id] = ScopeRuns(version, {})
        for row in _open_rows(connection, stale):
            series = encoding.series_of(row, self._registry)
            held[row.scope_id].current[series] = runs.Open(
                row.series_id, row.begin, row.step, row.qty, row.price
            )
        for scope_id in held:
            self._open.put(scope_id, held[scope_id])
        return held

    def _remember(self, changes: Iterable[_Change]) -> None:
        """Bring memory to what has been committed."""
        for change in changes:
            known = self._open.get(change.scope_id)
            if known is None:
                continue
            for series in change.closed:
                known.current.pop(series, None)
            known.current.update(change.opened)
            self._open.put(change.scope_id, ScopeRuns(change.version, known.current))
        self._open.shrink()
        if len(self._registry) > 2 * len(self._open) + SPARE_SERIES:
            self._registry.retain(self._open.series())

    # -- series ------------------------------------------------------------------------------

    def _keys(
        self, connection: Connection, wanted: Mapping[ScopeState, Sequence[Series]]
    ) -> dict[tuple[int, Series], int]:
        """Return the key of each series, by scope; series that have no row get one."""
        forms = {
            (state.id, series): self._encoder.stored_form(series)
            for state, many in wanted.items()
            for series in many
        }
        # A scope that has never been written has no series.
        looked_up = {
            (scope_id, form.digest)
            for (scope_id, _series), form in forms.items()
            if self._open.has_history(scope_id)
        }
        known = _series_keys(connection, looked_up)
        keys: dict[tuple[int, Series], int] = {}
        rows = []
        for (scope_id, series), form in forms.items():
            key = known.get((scope_id, form.digest))
            if key is None:
                key = self._ids.take()
                rows.append((key, scope_id, *form))
            keys[scope_id, series] = key
        bulk.insert(connection, models.series, SERIES_COLUMNS, rows)
        return keys

    # -- a period in the past ----------------------------------------------------------------

    def _swap(
        self, connection: Connection, state: ScopeState, content: Content, begin: int, end: int
    ) -> None:
        keys = self._keys(connection, {state: list(content)})
        fresh = {
            keys[state.id, series]: runs.Run(begin, end, end - begin, qty, price)
            for series, (qty, price) in content.items()
        }
        horizon = _epoch(state) or 0
        before = _runs_near(connection, state.id, begin, end, horizon)
        changed = False
        for key in before.keys() | fresh.keys():
            point = [fresh[key]] if key in fresh else []
            after = runs.replace(before.get(key, []), begin, end, point)
            changed |= _rewrite(connection, key, before.get(key, []), after, horizon)
        if changed:
            _move_version(connection, [state.id])

    def delete(self, begin: int, end: int, chosen: Mapping[int, Collection[int] | None]) -> None:
        """Remove the points that start in the window: of each scope in *chosen* those of the
        given series (``None``: all)."""
        with self._database.writer() as connection:
            locked = _lock(connection, list(chosen))
            for scope_id, keys in chosen.items():
                horizon = locked[scope_id].horizon or 0
                changed = False
                for key, before in _runs_near(connection, scope_id, begin, end, horizon).items():
                    if keys is None or key in keys:
                        after = runs.replace(before, begin, end, [])
                        changed |= _rewrite(connection, key, before, after, horizon)
                if changed:
                    _move_version(connection, [scope_id])


def _epoch(state: ScopeState) -> int | None:
    return None if state.horizon is None else period.epoch(state.horizon)


def _lock(connection: Connection, ids: Collection[int]) -> dict[int, _Locked]:
    """Lock the rows of the scopes until the end of the transaction, always in the same order."""
    locked = {}
    for piece in bulk.chunks(sorted(ids)):
        statement = (
            sa.select(
                scopes.c.id, sa.type_coerce(scopes.c.horizon, sa.BigInteger), scopes.c.version
            )
            .where(scopes.c.id.in_(piece))
            .order_by(scopes.c.id)
            .with_for_update()
        )
        for scope_id, horizon, version in connection.execute(statement):
            locked[scope_id] = _Locked(horizon, version)
    return locked


def _open_rows(connection: Connection, scope_ids: Collection[int]) -> Iterable[Any]:
    for piece in bulk.chunks(scope_ids):
        yield from connection.execute(
            sa.select(models.series, models.runs)
            .join_from(models.runs, models.series, models.runs.c.series_id == models.series.c.id)
            .where(models.runs.c.end == models.OPEN, models.series.c.scope_id.in_(piece))
        )


def _series_keys(
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


def _runs_near(
    connection: Connection, scope_id: int, begin: int, end: int, horizon: int
) -> dict[int, list[runs.Run]]:
    """Return, by series, the runs of a scope that overlap or touch the window."""
    table = models.runs.c
    near: dict[int, list[runs.Run]] = defaultdict(list)
    rows = connection.execute(
        sa.select(table.series_id, table.begin, table.end, table.step, table.qty, table.price)
        .join_from(models.runs, models.series, models.runs.c.series_id == models.series.c.id)
        .where(models.series.c.scope_id == scope_id, table.end >= begin, table.begin <= end)
    )
    for key, first, last, *rest in rows:
        near[key].append(runs.Run(first, horizon if last == models.OPEN else last, *rest))
    return near


def _rewrite(
    connection: Connection,
    key: int,
    before: Sequence[runs.Run],
    after: Sequence[runs.Run],
    horizon: int,
) -> bool:
    """Turn the stored runs of one series from *before* to *after*; return whether they differ."""
    gone = set(before) - set(after)
    fresh = [run for run in after if run not in set(before)]
    table = models.runs.c
    for run in gone:
        connection.execute(
            models.runs.delete().where(
                table.series_id == key, table.begin == run.begin, table.step == run.step
            )
        )
    rows = [_row(key, run, models.OPEN if run.end == horizon else run.end) for run in fresh]
    bulk.insert(connection, models.runs, RUN_COLUMNS, rows)
    return bool(gone or fresh)


def _row(key: int, run: runs.Run | runs.Open, end: int) -> bulk.Row:
    return (key, run.begin, run.step, end, money.text(run.qty), money.text(run.price))


def _close(connection: Connection, keys: Sequence[int], end: int) -> None:
    table = models.runs.c
    for piece in bulk.chunks(keys):
        connection.execute(
            models.runs.update()
            .where(table.end == models.OPEN, table.series_id.in_(piece))
            .values(end=end)
        )


def _move_horizon(connection: Connection, ids: Sequence[int], horizon: int) -> None:
    for piece in bulk.chunks(ids):
        connection.execute(
            scopes.update()
            .where(scopes.c.id.in_(piece))
            .values(horizon=period.from_epoch(horizon), failures=0, retry_at=None, last_error=None)
        )


def _move_version(connection: Connection, ids: Sequence[int]) -> None:
    for piece in bulk.chunks(ids):
        connection.execute(
            scopes.update().where(scopes.c.id.in_(piece)).values(version=scopes.c.version + 1)
        )
