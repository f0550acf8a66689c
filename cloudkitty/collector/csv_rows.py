# SPDX-License-Identifier: Apache-2.0
"""A row of a CSV file, and what a metric definition makes of it.

Invariants: a row is parsed once, and its series and its quantity of a whole period are computed
once; all arithmetic is exact until the one rounding of ``MetricDefinition.quantity``.
"""

from collections.abc import Sequence
from decimal import Decimal
from fractions import Fraction
from typing import TypeVar

from cloudkitty import money
from cloudkitty.collector.metrics import MetricDefinition
from cloudkitty.dataframe import Registry, Series
from cloudkitty.usagefile import Table

LEVEL = "level"
AMOUNT = "amount"

_MOST_KEPT = 10_000

_Key = TypeVar("_Key")
_Value = TypeVar("_Value")


class Row:
    """One line of a file: a series held, or used, ``qty`` during ``[begin, end)``, in seconds
    since 1970. ``series`` and ``whole`` are what ``plan`` has made of it."""

    __slots__ = ("begin", "cells", "end", "line", "plan", "qty", "series", "table", "whole")

    def __init__(self, table: Table, cells: list[str], begin: int, end: int, qty: Decimal) -> None:
        self.table = table
        self.line = table.line
        self.cells = cells
        self.begin = begin
        self.end = end
        self.qty = qty
        self.plan: Plan | None = None
        self.series: Series | None = None
        self.whole: Decimal | None = None


class Plan:
    """How the rows of one metric definition become points of periods of one length."""

    def __init__(self, definition: MetricDefinition, seconds: int, registry: Registry) -> None:
        self.seconds = seconds
        self._definition = definition
        self._registry = registry
        self._shape = registry.shape(definition.shape)
        self._names = (*self._shape.groupby, *self._shape.metadata)
        self._is_level = definition.extra_args["kind"] == LEVEL
        self._converted: dict[Decimal, Decimal] = {}

    def series(self, row: Row) -> Series:
        """Return the series that the row is about."""
        if row.plan is not self or row.series is None:
            row.plan, row.series, row.whole = self, self._series(row), None
        return row.series

    def whole(self, row: Row) -> Decimal:
        """Return the quantity of any period that the row covers as a whole."""
        if row.plan is not self or row.whole is None:
            self.series(row)
            if self._is_level:
                row.whole = self._level(row)
            else:
                row.whole = self.quantity([row], row.begin)
        return row.whole

    def quantity(self, rows: Sequence[Row], begin: int) -> Decimal:
        """Return the quantity of the period from *begin* for rows of one series that overlap it.

        :raises UsageFileError: it is too large.
        """
        raw: Decimal | Fraction = rows[0].qty
        end = begin + self.seconds
        covered = [min(end, row.end) - max(begin, row.begin) for row in rows]
        if not self._is_level:
            raw = sum(
                (
                    Fraction(row.qty) * Fraction(seconds, row.end - row.begin)
                    for row, seconds in zip(rows, covered, strict=True)
                ),
                Fraction(0),
            )
        elif sum(covered) != self.seconds or any(row.qty != raw for row in rows):
            held = money.total(
                money.times(row.qty, seconds) for row, seconds in zip(rows, covered, strict=True)
            )
            raw = Fraction(held) / self.seconds
        return self._quantity(raw, rows[0])

    def _level(self, row: Row) -> Decimal:
        """The quantity of a level held all the time; few different ones are all there is."""
        known = self._converted.get(row.qty)
        if known is None:
            known = remember(self._converted, row.qty, self._quantity(row.qty, row))
        return known

    def _quantity(self, raw: Decimal | Fraction, row: Row) -> Decimal:
        try:
            return self._definition.quantity(raw)
        except money.NotAnAmount as error:
            row.table.fail(str(error), column="qty", line=row.line)

    def _series(self, row: Row) -> Series:
        columns = row.table.columns
        try:
            values = tuple(row.cells[columns[name]] for name in self._names)
        except KeyError as error:
            row.table.fail(
                f"the header lacks this column, which the metric {self._definition.name!r} has "
                "among its groupby or metadata",
                column=error.args[0],
                line=1,
            )
        return self._registry.of(self._shape, values)


def remember(cache: dict[_Key, _Value], key: _Key, value: _Value) -> _Value:
    """Keep what was made of a key; keys repeat, and the cache must not grow with the files."""
    if len(cache) >= _MOST_KEPT:
        cache.clear()
    cache[key] = value
    return value
