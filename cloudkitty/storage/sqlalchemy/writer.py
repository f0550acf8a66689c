# SPDX-License-Identifier: Apache-2.0
"""Writing the period at the horizon: most of what the ledger ever does.

Every change happens in one transaction that first locks the scopes concerned and looks where
their horizons are. What a worker remembers of open runs is only believed while the scope's
version has not moved, so a process that was killed, paused or overtaken can write nothing wrong.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from decimal import Decimal
from typing import NamedTuple

from sqlalchemy.engine import Connection

from cloudkitty import money
from cloudkitty.dataframe import DataFrame, Registry, Series
from cloudkitty.db.engine import Database
from cloudkitty.scope import ScopeState
from cloudkitty.storage.sqlalchemy import encoding, models, runs, statements
from cloudkitty.storage.sqlalchemy.cache import OpenRuns, ScopeRuns
from cloudkitty.storage.sqlalchemy.keys import SeriesKeys
from cloudkitty.storage.sqlalchemy.statements import Locked

SPARE_SERIES = 10_000
"""Series without an open run that are kept before the dead ones are looked for."""

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


class _Change(NamedTuple):
    """What one scope's part of a transaction will have done to its open runs."""

    scope_id: int
    version: int
    closed: Sequence[Series]
    opened: Mapping[Series, runs.Open]


class Appender:
    """Moves scopes over the period that begins at their horizon."""

    def __init__(self, database: Database, registry: Registry) -> None:
        self._database = database
        self._registry = registry
        self._open = OpenRuns()
        self._keys = SeriesKeys(database)

    def append(
        self, begin: int, end: int, contents: Mapping[ScopeState, Content], horizon: int | None
    ) -> Collection[ScopeState]:
        """Write the period of scopes whose horizon is *horizon*, and move it to *end*; return
        the scopes that were left untouched because theirs is another by now."""
        self._keys.reserve(sum(map(len, contents.values())))
        with self._database.writer() as connection:
            locked = statements.lock(connection, [state.id for state in contents])
            current = {
                state.id: content
                for state, content in contents.items()
                if state.id in locked and locked[state.id].horizon == horizon
            }
            changes = self._advance(connection, current, locked, begin, end)
        self._remember(changes)
        return [state for state in contents if state.id not in current]

    def _advance(
        self,
        connection: Connection,
        contents: Mapping[int, Content],
        locked: Mapping[int, Locked],
        begin: int,
        end: int,
    ) -> list[_Change]:
        if not contents:
            return []
        held = self._held(connection, contents, locked)
        step = end - begin
        differences = {
            scope_id: runs.advance(held[scope_id], content, step)
            for scope_id, content in contents.items()
        }
        keys = self._keys.of(
            connection,
            {
                scope_id: [series for series in opened if series not in held[scope_id]]
                for scope_id, (_closed, opened) in differences.items()
            },
            self._open.has_history,
        )
        closing: list[int] = []
        rows: list[tuple[int, runs.Run]] = []
        changes = []
        for scope_id, (closed, opened) in differences.items():
            current = held[scope_id]
            fresh: dict[Series, runs.Open] = {}
            for series in opened:
                qty, price = contents[scope_id][series]
                known = current.get(series)
                key = known.series_id if known is not None else keys[scope_id, series]
                fresh[series] = runs.Open(key, begin, step, qty, price)
                rows.append((key, runs.Run(begin, models.OPEN, step, qty, price)))
            closing += [run.series_id for _series, run in closed]
            version = locked[scope_id].version + bool(closed or opened)
            gone = [series for series, _run in closed]
            changes.append(_Change(scope_id, version, gone, fresh))
        statements.close_runs(connection, closing, begin)
        statements.insert_runs(connection, rows)
        statements.move_horizon(connection, list(contents), end)
        statements.move_version(
            connection, [c.scope_id for c in changes if c.version != locked[c.scope_id].version]
        )
        return changes

    def _held(
        self, connection: Connection, scope_ids: Collection[int], locked: Mapping[int, Locked]
    ) -> dict[int, dict[Series, runs.Open]]:
        """Return the open runs of each scope, from memory where that is up to date."""
        held: dict[int, dict[Series, runs.Open]] = {}
        stale = []
        for scope_id in scope_ids:
            version = locked[scope_id].version
            known = self._open.get(scope_id)
            if known is not None and known.version == version:
                held[scope_id] = known.current
                continue
            held[scope_id] = {}
            if version:
                stale.append(scope_id)
        for row in statements.open_rows(connection, stale):
            series = encoding.series_of(row, self._registry)
            held[row.scope_id][series] = runs.Open(
                row.series_id, row.begin, row.step, row.qty, row.price
            )
        for scope_id, current in held.items():
            self._open.put(scope_id, ScopeRuns(locked[scope_id].version, current))
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
