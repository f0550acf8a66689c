# SPDX-License-Identifier: Apache-2.0
"""What the old service has beside what is here: by scope, metric and UTC month, to the last digit.

The old database is asked anew, on a way of its own, and what it says is added up here. Invariants:
sums are exact; a difference is either explained, by arithmetic that can be checked, or makes the
whole a failure.
"""

import enum
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from cloudkitty import money, period
from cloudkitty.importer import binary
from cloudkitty.importer.scopes import OldScope
from cloudkitty.importer.usage import Extent, Month, RatedUsage
from cloudkitty.storage.base import GROUP_TYPE, Query, Storage


class Verdict(enum.Enum):
    EQUAL = "="
    MERGED = "merged"
    DIFFERENT = "DIFFERENT"


@dataclass(slots=True)
class Sums:
    """Points, and exact sums of their quantities and prices."""

    points: int = 0
    qty: Decimal = money.ZERO
    price: Decimal = money.ZERO


@dataclass(slots=True)
class Line:
    """One metric of a scope in one month. ``reported`` is the price as the old service's own
    arithmetic adds it up, and ``explained`` whether binary fractions can have made it so."""

    scope: str
    of: Month
    there: Sums = field(default_factory=Sums)
    here: Sums = field(default_factory=Sums)
    absolute: Decimal = money.ZERO
    reported: Decimal = money.ZERO
    explained: bool = True
    verdict: Verdict = Verdict.DIFFERENT

    @property
    def metric(self) -> str:
        return self.of.metric

    @property
    def month(self) -> str:
        return f"{self.of.year:04}-{self.of.month:02}"


_LineOf = Callable[[Month], Line]


class Reconciler:
    """Compares the rated usage of scopes with the ledger."""

    def __init__(self, rated: RatedUsage, storage: Storage) -> None:
        self._rated = rated
        self._storage = storage

    def lines(self, connection: Any, old: OldScope) -> Sequence[Line]:
        """Return the lines of one scope, by month and metric; *connection* is to the source.

        :raises StorageError: the ledger cannot be read.
        """
        assert old.extent is not None
        found: dict[tuple[str, str], Line] = {}

        def line(month: Month) -> Line:
            key = (f"{month.year:04}-{month.month:02}", month.metric)
            return found.setdefault(key, Line(old.scope.identifier, month))

        self._read_there(connection, old.extent, line)
        self._read_here(old.extent, old.scope.identifier, line)
        for one in found.values():
            self._judge(connection, old.extent.tenant, one)
        return [found[key] for key in sorted(found)]

    def _read_there(self, connection: Any, extent: Extent, line: _LineOf) -> None:
        for alike in self._rated.alike(connection, extent):
            one = line(alike.month)
            qty, price = (money.times(amount, alike.rows) for amount in (alike.qty, alike.price))
            one.there.points += alike.rows
            one.there.qty = money.total((one.there.qty, qty))
            one.there.price = money.total((one.there.price, price))
            one.absolute = money.total((one.absolute, abs(price)))
        for month, reported in self._rated.reported(connection, extent):
            line(month).reported = reported

    def _read_here(self, extent: Extent, identifier: str, line: _LineOf) -> None:
        window = (period.from_epoch(extent.first), period.from_epoch(extent.last))
        query = Query(*window, [identifier])
        for row in self._storage.total(query, (GROUP_TYPE, "year", "month")).rows:
            metric, year, month = row.group
            one = line(Month(metric, int(year), int(month)))
            one.here = Sums(row.points, row.qty, row.price)

    def _judge(self, connection: Any, tenant: str | None, line: Line) -> None:
        there, here = line.there, line.here
        line.explained = binary.explains(
            line.reported, here.price, line.absolute, there.points, self._rated.single
        )
        if (there.qty, there.price) != (here.qty, here.price) or not line.explained:
            return
        if there.points == here.points:
            line.verdict = Verdict.EQUAL
        elif self._rated.distinct(connection, tenant, line.of) == here.points:
            line.verdict = Verdict.MERGED
