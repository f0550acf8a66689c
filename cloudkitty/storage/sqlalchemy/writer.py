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
from cloudkitty.storage.sqlalchemy import bulk, encoding, models, runs, statements
from cloudkitty.storage.sqlalchemy.cache import Amounts, OpenRuns, ScopeRuns
from cloudkitty.storage.sqlalchemy.keys import SeriesKeys
from cloudkitty.storage.sqlalchemy.statements import Locked

SPARE_SERIES = 10_000
"""Series without an open run that are kept before the dead ones are looked for."""

SERIES_AT_ONCE = 20_000
"""Most series whose rows are made before they are sent."""

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
    opened: dict[Series, runs.Open]


Held = Mapping[int, Mapping[Series, runs.Open]]
"""Open runs by scope and series."""


class Appender:
    """Moves scopes over the period that begins at their horizon."""

    def __init__(self, database: Database, registry: Registry, cached_series: int) -> None:
        self._database = database
        self._registry = registry
        self._open = OpenRuns(cached_series)
        self._amounts = Amounts()
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
        closing = [
            run.series_id for closed, _opened in differences.values() for _series, run in closed
        ]
        statements.close_runs(connection, closing, begin)
        wanted = {scope_id: opened for scope_id, (_closed, opened) in differences.items()}
        fresh = self._opened(connection, contents, held, wanted, begin, step)
        changes = []
        for scope_id, (closed, opened) in differences.items():
            version = locked[scope_id].version + bool(closed or opened)
            gone = [series for series, _run in closed]
            changes.append(_Change(scope_id, version, gone, fresh[scope_id]))
        statements.move_horizon(connection, list(contents), end)
        statements.move_version(
            connection, [c.scope_id for c in changes if c.version != locked[c.scope_id].version]
        )
        return changes

    def _opened(
        self,
        connection: Connection,
        contents: Mapping[int, Content],
        held: Held,
        wanted: Mapping[int, Sequence[Series]],
        begin: int,
        step: int,
    ) -> dict[int, dict[Series, runs.Open]]:
        """Write the runs that begin, and return them by scope.

        Piece by piece, so that the rows of a scope of a million series are never all there.
        """
        fresh: dict[int, dict[Series, runs.Open]] = {scope_id: {} for scope_id in wanted}
        one = self._amounts.one
        every = ((scope_id, series) for scope_id, opened in wanted.items() for series in opened)
        for piece in bulk.chunks(every, SERIES_AT_ONCE):
            keys = self._keys_of(connection, held, piece)
            rows = []
            for (scope_id, series), key in zip(piece, keys, strict=True):
                qty, price = contents[scope_id][series]
                qty, qty_text = one(qty)
                price, price_text = one(price)
                fresh[scope_id][series] = runs.Open(key, begin, step, qty, price)
                rows.append((key, begin, step, models.OPEN, qty_text, price_text))
            bulk.insert(connection, models.runs, statements.RUN_COLUMNS, rows)
        return fresh

    def _keys_of(
        self, connection: Connection, held: Held, wanted: Sequence[tuple[int, Series]]
    ) -> list[int]:
        """Return the keys of series, each given with its scope; new ones get a row."""
        known = [held[scope_id].get(series) for scope_id, series in wanted]
        unknown = [pair for pair, run in zip(wanted, known, strict=True) if run is None]
        made = iter(self._keys.each(connection, unknown, self._open.has_history))
        return [next(made) if run is None else run.series_id for run in known]

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
        instants: dict[int, int] = {}
        for row in statements.open_rows(connection, stale):
            series = encoding.series_of(row, self._registry)
            begin, step = (instants.setdefault(value, value) for value in (row.begin, row.step))
            (qty, _), (price, _) = self._amounts.one(row.qty), self._amounts.one(row.price)
            held[row.scope_id][series] = runs.Open(row.series_id, begin, step, qty, price)
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
            current = known.current
            if current:
                current.update(change.opened)
            else:
                current = change.opened
            self._open.put(change.scope_id, ScopeRuns(change.version, current))
        self._open.shrink()
        if len(self._registry) > 1.25 * len(self._open) + SPARE_SERIES:
            self._registry.retain(self._open.series())
