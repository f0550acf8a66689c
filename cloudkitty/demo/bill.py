# SPDX-License-Identifier: Apache-2.0
"""The bill of the demo: sums of the ledger by project and metric, as a table for people.

Invariants: sums are exact; only what is printed is rounded.
"""

import decimal
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import NamedTuple

from cloudkitty import money
from cloudkitty.period import Period
from cloudkitty.storage.base import GROUP_TYPE, Query, Storage

CURRENCY = "EUR"

_CENT = Decimal("0.01")


class Line(NamedTuple):
    """What one project used of one metric, and its price."""

    project: str
    metric: str
    qty: Decimal
    unit: str
    price: Decimal


@dataclass(frozen=True)
class Bill:
    """All lines of a stretch of time, sorted by project and metric."""

    period: Period
    lines: Sequence[Line]

    @property
    def total(self) -> Decimal:
        return money.total(line.price for line in self.lines)

    def projects(self) -> dict[str, list[Line]]:
        """The lines of each project."""
        projects: dict[str, list[Line]] = {}
        for line in self.lines:
            projects.setdefault(line.project, []).append(line)
        return projects


def read(storage: Storage, period: Period, scope_key: str, units: Mapping[str, str]) -> Bill:
    """Return the bill of everybody for *period*; *units* are those of the metrics."""
    totals = storage.total(Query(period.begin, period.end), (scope_key, GROUP_TYPE))
    lines = [
        Line(row.group[0], row.group[1], row.qty, units.get(row.group[1], ""), row.price)
        for row in totals.rows
    ]
    return Bill(period, sorted(lines))


def rounded(price: Decimal) -> str:
    """Return *price* in whole cents, half to even, with thousands separators."""
    return f"{price.quantize(_CENT, decimal.ROUND_HALF_EVEN, money.EXACT):,}"


def quantity(qty: Decimal) -> str:
    """Return *qty* with three decimals and thousands separators."""
    return f"{qty.quantize(Decimal('0.001'), decimal.ROUND_HALF_EVEN, money.EXACT):,}"


def render(bill: Bill) -> str:
    """Return the bill as aligned text."""
    rows = [("project", "metric", "quantity", "unit", CURRENCY)]
    for project, lines in bill.projects().items():
        rows.append(("", "", "", "", ""))
        for index, line in enumerate(lines):
            rows.append(
                (
                    "" if index else project,
                    line.metric,
                    quantity(line.qty),
                    line.unit,
                    rounded(line.price),
                )
            )
        price = money.total(line.price for line in lines)
        rows.append(("", f"total of {project}", "", "", rounded(price)))
    rows += [("", "", "", "", ""), ("total", "", "", "", rounded(bill.total))]
    begin, end = bill.period.begin.date(), bill.period.end.date()
    title = f"Bill from {begin} up to {end}"
    exact = f"The total is exactly {money.text(bill.total)} {CURRENCY}; cents are rounded for show."
    return "\n".join([title, "", *_table(rows), "", exact])


def _table(rows: Iterable[tuple[str, ...]]) -> list[str]:
    """Align the columns; quantities and prices to the right."""
    rows = list(rows)
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    right = (2, 4)
    return [
        "  ".join(
            cell.rjust(width) if index in right else cell.ljust(width)
            for index, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]
