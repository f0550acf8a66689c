# SPDX-License-Identifier: Apache-2.0
"""The rated rows of the old service become runs of the ledger, scope by scope.

Invariants: memory grows with the series of one scope that are alive at one time; what has been
committed stands behind the scope's horizon, or before its window, and an import that was killed
goes on there; rows with equal attributes in one period are one point, whose quantity and price are
their sums.
"""

from collections import Counter
from collections.abc import Callable, Hashable, Iterator
from decimal import Decimal
from typing import NamedTuple

from cloudkitty import money, period
from cloudkitty.dataframe import Registry, Series
from cloudkitty.importer.scopes import OldScope
from cloudkitty.importer.usage import RatedUsage
from cloudkitty.importer.windows import Remainder, Windows
from cloudkitty.storage.sqlalchemy.loader import History, Loader
from cloudkitty.storage.sqlalchemy.writer import Content

Progress = Callable[[int], object]
"""Is told how many more rows have been read."""

_SPARE = 10_000
"""Descriptions that are remembered besides twice those of the last period."""

_Point = tuple[Series, tuple[Decimal, Decimal]]


class _Chunk(NamedTuple):
    """The points of one period, and how many rows they were."""

    begin: int
    end: int
    content: Content
    rows: int


class Importer:
    """Brings the history of scopes over; ``batch`` is how many rows one transaction has, and
    ``unusable`` counts rows that stand for no point, by why."""

    def __init__(self, usage: RatedUsage, loader: Loader, windows: Windows, batch: int) -> None:
        self._usage = usage
        self._loader = loader
        self._windows = windows
        self._batch = batch
        self.unusable: Counter[str] = Counter()

    def bring(self, old: OldScope, scope_id: int, seconds: int, progress: Progress) -> None:
        """Bring over what is missing of one scope; *seconds* is the length of a period.

        :raises SourceError: the source has failed.
        :raises StorageError: the store has failed.
        """
        assert old.extent is not None
        registry = Registry()
        history, end = self._open(old, scope_id, seconds, registry)
        if history.horizon is not None and history.horizon >= end:
            progress(old.extent.rows)
            return
        read = 0
        if history.horizon is not None:
            with self._usage.reading() as connection:
                read = self._usage.count(connection, old.extent.tenant, history.horizon)
            progress(read)
        read += self._stream(old, history, registry, progress)
        history.commit(end)
        progress(old.extent.rows - read)

    def _open(
        self, old: OldScope, scope_id: int, seconds: int, registry: Registry
    ) -> tuple[History | Remainder, int]:
        """Return what takes the history of a scope, and the instant that it will have come to."""
        remainder = self._windows.open(scope_id, registry)
        if remainder is not None:
            return remainder, remainder.end
        moment = old.horizon(seconds)
        assert moment is not None
        return self._loader.open(scope_id, registry), period.epoch(moment)

    def _stream(
        self, old: OldScope, history: History | Remainder, registry: Registry, progress: Progress
    ) -> int:
        assert old.extent is not None
        points = _Points(self._usage, registry, old.scope.scope_key, old.scope.identifier)
        read = pending = 0
        before = None
        with self._usage.reading() as connection:
            rows = self._usage.stream(connection, old.extent, history.horizon)
            for chunk in points.chunks(rows, self.unusable):
                if pending >= self._batch and chunk.begin != before:
                    history.commit(chunk.begin)
                    pending = 0
                history.append(chunk.begin, chunk.end, chunk.content)
                before = chunk.begin
                pending += chunk.rows
                read += chunk.rows
                progress(chunk.rows)
        return read


class _Points:
    """Turns rows into the points of one period after the other.

    Rows of a period that were in the one before, text for text, need no decoding.
    """

    def __init__(
        self, usage: RatedUsage, registry: Registry, scope_key: str, scope_id: str
    ) -> None:
        self._usage = usage
        self._registry = registry
        self._own = {scope_key: scope_id}
        self._before: dict[Hashable, _Point] = {}
        self._known: dict[Hashable, Series] = {}

    def chunks(
        self, rows: Iterator[tuple[int, int, Hashable]], unusable: Counter[str]
    ) -> Iterator[_Chunk]:
        begin = end = number = 0
        content: Content = {}
        current: dict[Hashable, _Point] = {}
        for first, last, raw in rows:
            if first != begin or last != end:
                if number:
                    yield _Chunk(begin, end, content, number)
                self._before, current = current, {}
                if len(self._known) > 2 * len(self._before) + _SPARE:
                    self._known = {}
                begin, end, content, number = first, last, {}, 0
            number += 1
            point = self._before.get(raw) or current.get(raw)
            if point is None:
                try:
                    point = self._point(raw)
                except money.NotAnAmount as error:
                    unusable[str(error)] += 1
                    continue
            if end <= begin:
                unusable["the period ends before it begins"] += 1
                continue
            current[raw] = point
            series, amounts = point
            if series in content:
                qty, price = content[series]
                amounts = money.total((qty, amounts[0])), money.total((price, amounts[1]))
            content[series] = amounts
        if number:
            yield _Chunk(begin, end, content, number)

    def _point(self, raw: Hashable) -> _Point:
        row = self._usage.decode(raw)
        series = self._known.get(row.what)
        if series is None:
            what = self._usage.described(row.what)
            series = self._known[row.what] = self._registry.series(
                what.metric,
                unit=what.unit,
                groupby=self._own | what.groupby,
                metadata=what.metadata,
                description=what.description,
            )
        return series, (row.qty, row.price)
