# SPDX-License-Identifier: Apache-2.0
"""The moving window of the CSV collector: the rows that overlap a period, by metric and scope.

Invariants: the files are read once from front to back; only rows that do not end before the
window are kept.
"""

import heapq
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from sys import intern

from cloudkitty import money, period
from cloudkitty.collector.csv_rows import Plan, Row, remember
from cloudkitty.dataframe import Points, Series
from cloudkitty.usagefile import Fingerprint, Table, UsageFileError, fingerprint


class Bucket:
    """The rows of one metric and scope in the window, and the points last made of them."""

    def __init__(self) -> None:
        self._rows: list[Row] = []
        self._by_series: dict[Plan, dict[Series, list[Row]]] = {}
        self._steady: dict[Plan, tuple[list[Series], list[Decimal]]] = {}
        self._last_begin = 0
        self._first_end = 0

    def add(self, row: Row) -> None:
        self._last_begin = max(self._last_begin, row.begin) if self._rows else row.begin
        self._first_end = min(self._first_end, row.end) if self._rows else row.end
        self._rows.append(row)
        self._steady.clear()
        for plan, by_series in self._by_series.items():
            by_series.setdefault(plan.series(row), []).append(row)

    def drop_before(self, instant: int) -> bool:
        """Drop the rows that have ended by *instant*; return whether any is left."""
        if self._first_end > instant:
            return True
        for row in self._rows:
            if row.end <= instant:
                self._ungroup(row)
        self._rows = [row for row in self._rows if row.end > instant]
        self._last_begin = max((row.begin for row in self._rows), default=0)
        self._first_end = min((row.end for row in self._rows), default=0)
        self._steady.clear()
        return bool(self._rows)

    def points(self, plan: Plan, begin: int) -> Points:
        """Return the points of the period from *begin*."""
        end = begin + plan.seconds
        steady = self._last_begin <= begin and end <= self._first_end
        if steady and plan in self._steady:
            series, qty = self._steady[plan]
        else:
            series, qty = self._columns(plan, begin, end)
            if steady:
                self._steady[plan] = (series, qty)
        # Copies: whoever rates the points may change them in place.
        return Points(series.copy(), qty.copy())

    def _columns(self, plan: Plan, begin: int, end: int) -> tuple[list[Series], list[Decimal]]:
        series: list[Series] = []
        qty: list[Decimal] = []
        for one, rows in self._grouped(plan).items():
            first = rows[0]
            if len(rows) == 1 and first.begin <= begin and end <= first.end:
                series.append(one)
                qty.append(plan.whole(first))
                continue
            inside = [row for row in rows if row.begin < end and begin < row.end]
            if inside:
                series.append(one)
                qty.append(plan.quantity(inside, begin))
        return series, qty

    def _grouped(self, plan: Plan) -> dict[Series, list[Row]]:
        grouped = self._by_series.get(plan)
        if grouped is None:
            grouped = self._by_series[plan] = {}
            for row in self._rows:
                grouped.setdefault(plan.series(row), []).append(row)
        return grouped

    def _ungroup(self, row: Row) -> None:
        for plan, by_series in self._by_series.items():
            series = plan.series(row)
            by_series[series].remove(row)
            if not by_series[series]:
                del by_series[series]


_Entry = tuple[Row, str, str]
"""A row, its metric and its scope."""


class Window:
    """The rows of all files that overlap the last period asked for; moves forward only."""

    def __init__(self, paths: Sequence[str], scope_key: str, begin: int) -> None:
        """Open the files; rows that end by *begin* are passed over.

        :raises UsageFileError: a file cannot be read, or its header is wrong.
        """
        self.begin = begin
        self.fingerprint: Fingerprint = fingerprint(paths)
        self._scope_key = scope_key
        self._buckets: dict[str, dict[str, Bucket]] = {}
        self._instants: dict[str, int] = {}
        self._amounts: dict[str, Decimal] = {}
        self._tables: list[Table] = []
        try:
            for path in paths:
                self._tables.append(Table(path, ("begin", "end", "metric", "qty", scope_key)))
        except UsageFileError:
            self.close()
            raise
        self._rows = heapq.merge(*map(self._read, self._tables), key=lambda entry: entry[0].begin)
        self._pending: _Entry | None = None
        self._is_started = False

    def move(self, begin: int, end: int) -> None:
        """Make the window hold every row that overlaps ``[begin, end)``; *begin* must not be
        before that of the last move.

        :raises UsageFileError: a row is wrong; the window is of no use any more.
        """
        if begin > self.begin:
            self.begin = begin
            self._drop_ended()
        if not self._is_started:
            self._is_started = True
            self._pending = next(self._rows, None)
        while self._pending is not None and self._pending[0].begin < end:
            row, metric, scope = self._pending
            if row.end > begin:
                buckets = self._buckets.setdefault(metric, {})
                if scope not in buckets:
                    buckets[scope] = Bucket()
                buckets[scope].add(row)
            self._pending = next(self._rows, None)

    def buckets(self, metric: str) -> Mapping[str, Bucket]:
        """Return the rows of one metric by scope."""
        return self._buckets.get(metric, {})

    def close(self) -> None:
        for table in self._tables:
            table.close()

    def _drop_ended(self) -> None:
        self._buckets = {
            metric: {
                scope: bucket for scope, bucket in buckets.items() if bucket.drop_before(self.begin)
            }
            for metric, buckets in self._buckets.items()
        }

    def _read(self, table: Table) -> Iterator[_Entry]:
        places = [table.columns[name] for name in ("begin", "end", "metric", "qty")]
        at_begin, at_end, at_metric, at_qty = places
        at_scope = table.columns[self._scope_key]
        last_begin: int | None = None
        for cells in table:
            begin = self._instant(table, "begin", cells[at_begin])
            end = self._instant(table, "end", cells[at_end])
            if last_begin is not None and begin < last_begin:
                table.fail("is before that of the line above; sort by begin", column="begin")
            last_begin = begin
            if end <= begin:
                table.fail(f"{cells[at_end]} is not after begin", column="end")
            qty = self._amount(table, cells[at_qty])
            metric, scope = cells[at_metric], cells[at_scope]
            if not metric or not scope:
                table.fail("is empty", column="metric" if not metric else self._scope_key)
            if end > self.begin:
                # Most texts repeat: one object each keeps a million rows small.
                yield Row(table, list(map(intern, cells)), begin, end, qty), metric, scope

    def _instant(self, table: Table, column: str, written: str) -> int:
        known = self._instants.get(written)
        if known is not None:
            return known
        try:
            seconds = period.epoch(period.parse(written))
        except period.NotAnInstant as error:
            table.fail(str(error), column=column)
        return remember(self._instants, written, seconds)

    def _amount(self, table: Table, written: str) -> Decimal:
        known = self._amounts.get(written)
        if known is not None:
            return known
        try:
            return remember(self._amounts, written, money.amount(written))
        except money.NotAnAmount as error:
            table.fail(str(error), column="qty")
