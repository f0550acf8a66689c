# SPDX-License-Identifier: Apache-2.0
"""The totals that are left of purged points: which of them a window takes.

Invariants: a total is in a window, and in a group, as a whole or not at all; where that is not so,
there is no answer. It is told by the first and the last of its points, so neither another time zone
nor a period across midnight makes an answer wrong. The days of a month add up to the month's row.
"""

from collections.abc import Callable, Collection, Hashable, Iterable, Iterator
from decimal import Decimal
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from cloudkitty import money, period
from cloudkitty.storage.base import Extremes
from cloudkitty.storage.sqlalchemy import bulk, models

Restrict = Callable[[sa.Select[Any], sa.Table], sa.Select[Any]]
"""Limits a statement over a table with scopes and metrics to those asked for."""

LabelOf = Callable[[int], Hashable]
"""Gives the label of the stretch of time that a point is in, by its start."""

DAY = 86_400
LONGEST_MONTH = 32 * DAY

SUMS = (
    "first",
    "last",
    "points",
    "qty",
    "price",
    "min_qty",
    "max_qty",
    "min_price",
    "max_price",
)
"""The columns of a total, after its keys."""


class Kept(NamedTuple):
    """What points of one scope and metric add up to, and the start of the first and the last."""

    scope_id: int
    metric: str
    first: int
    last: int
    points: int
    qty: Decimal
    price: Decimal
    min_qty: Decimal
    max_qty: Decimal
    min_price: Decimal
    max_price: Decimal

    @property
    def extremes(self) -> Extremes:
        return Extremes(self.min_qty, self.max_qty, self.min_price, self.max_price)

    def later(self, seconds: int) -> "Kept":
        """Return the total of points that are the same, so much later."""
        if not seconds:
            return self
        return self._replace(first=self.first + seconds, last=self.last + seconds)

    def within(self, begin: int, end: int) -> bool:
        """Whether all points start in the window."""
        return begin <= self.first and self.last < end

    def touches(self, begin: int, end: int) -> bool:
        """Whether a point may start in the window."""
        return self.first < end and self.last >= begin


class Alike(NamedTuple):
    """Consecutive days of 24 hours: the begin of the first, how many, and the total of the first,
    which the others have too, each at its own time."""

    day: int
    days: int
    total: Kept

    def each(self) -> Iterator[tuple[int, Kept]]:
        """Yield the begin and the total of each day."""
        for number in range(self.days):
            yield self.day + number * DAY, self.total.later(number * DAY)

    def whole(self) -> Kept:
        """Return what all of them add up to."""
        one = self.total
        return one._replace(
            last=one.last + (self.days - 1) * DAY,
            points=one.points * self.days,
            qty=money.times(one.qty, self.days),
            price=money.times(one.price, self.days),
        )

    def is_followed_by(self, day: int, total: Kept) -> bool:
        """Whether that day is one more of these."""
        shift = self.days * DAY
        return day == self.day + shift and total == self.total.later(shift)


def alike(days: Iterable[tuple[int, Kept]]) -> Iterator[Alike]:
    """Yield days, given in order with their totals, together with those that are alike."""
    before: Alike | None = None
    for day, total in days:
        if before is not None and before.is_followed_by(day, total):
            before = before._replace(days=before.days + 1)
            continue
        if before is not None:
            yield before
        before = Alike(day, 1, total)
    if before is not None:
        yield before


class Divided(Exception):
    """A total is in the window, or in a group, in part."""

    def __init__(self, row: Kept) -> None:
        super().__init__()
        self.row = row


def read(
    connection: Connection, restrict: Restrict, begin: int, end: int, label_of: LabelOf
) -> Iterator[tuple[Hashable, Kept]]:
    """Yield the totals that make up the purged points of the window, each with its label.

    :raises Divided: one cannot be told apart into what is in the window, or has the label, and
        what does not.
    """
    parted: set[tuple[int, int, str]] = set()
    for month, row in _months(connection, restrict, begin, end):
        label = label_of(row.first)
        if row.within(begin, end) and label_of(row.last) == label:
            yield label, row
        else:
            parted.add((month, row.scope_id, row.metric))
    for month, many in _days(connection, restrict, {month for month, *_ in parted}):
        if (month, many.total.scope_id, many.total.metric) not in parted:
            continue
        whole = many.whole()
        if whole.within(begin, end) and label_of(whole.first) == label_of(whole.last):
            yield label_of(whole.first), whole
            continue
        for _day, row in many.each():
            if row.touches(begin, end):
                label = label_of(row.first)
                if not row.within(begin, end) or label_of(row.last) != label:
                    raise Divided(row)
                yield label, row


def touching(connection: Connection, restrict: Restrict, begin: int, end: int) -> Iterator[Kept]:
    """Yield the totals, as fine as there are, of which a point may be in the window."""
    parted: set[tuple[int, int, str]] = set()
    for month, row in _months(connection, restrict, begin, end):
        if row.within(begin, end):
            yield row
        else:
            parted.add((month, row.scope_id, row.metric))
    for month, many in _days(connection, restrict, {month for month, *_ in parted}):
        if (month, many.total.scope_id, many.total.metric) in parted:
            yield from (row for _day, row in many.each() if row.touches(begin, end))


def cuts(connection: Connection, scope_ids: Collection[int]) -> dict[int, int]:
    """Return the instants before which points of these scopes have been purged."""
    table = models.cuts.c
    found: dict[int, int] = {}
    for piece in bulk.chunks(scope_ids):
        rows = connection.execute(
            sa.select(table.scope_id, table.instant).where(table.scope_id.in_(piece))
        )
        found |= {row.scope_id: row.instant for row in rows}
    return found


def _months(
    connection: Connection, restrict: Restrict, begin: int, end: int
) -> Iterator[tuple[int, Kept]]:
    known = _known_months(connection, begin, end)
    if known:
        table = models.months
        statement = sa.select(table.c.month, *_columns(table)).where(
            table.c.month.in_(known), table.c.last >= begin, table.c.first < end
        )
        for row in connection.execute(restrict(statement, table)):
            yield row.month, Kept._make(row[1:])


def _days(
    connection: Connection, restrict: Restrict, months: Collection[int]
) -> Iterator[tuple[int, Alike]]:
    if months:
        table = models.days
        columns = (table.c.month, table.c.day, table.c.days, *_columns(table))
        statement = sa.select(*columns).where(table.c.month.in_(months))
        for row in connection.execute(restrict(statement, table)):
            yield row.month, Alike(row.day, row.days, Kept._make(row[3:]))


def _columns(table: sa.Table) -> list[sa.Column[Any]]:
    return [table.c[name] for name in ("scope_id", "metric", *SUMS)]


def _known_months(connection: Connection, begin: int, end: int) -> list[int]:
    """Return the begins of the months that have totals and may have a point in the window.

    Looked up one after the other in the primary key, of which they are the first column: a scope's
    rows are then found by month and scope, however many scopes and months there are.
    """
    month = models.months.c.month
    lowest = sa.select(sa.func.min(month).label("month")).where(month > begin - LONGEST_MONTH)
    known = lowest.cte("known", recursive=True)
    other = models.months.alias()
    following = (
        sa.select(sa.func.min(other.c.month)).where(other.c.month > known.c.month).scalar_subquery()
    )
    known = known.union_all(
        sa.select(following).where(known.c.month.is_not(None), known.c.month < end)
    )
    statement = sa.select(known.c.month).where(known.c.month.is_not(None), known.c.month < end)
    return list(connection.execute(statement).scalars())


def told(instant: int) -> str:
    """Return an instant as refusals write it."""
    return period.from_epoch(instant).isoformat()


def refusal(cut: int, what: str) -> str:
    """Return the sentence that says what cannot be had of purged points."""
    return (
        f"The points before {told(cut)} have been purged, and only their sums by scope, type, day, "
        f"week, month and year are left: {what}. Ask for these, or for what begins at {told(cut)} "
        "or later."
    )


def refusal_to_change(scope: str, cut: int) -> str:
    """Return the sentence that says what cannot be changed any more."""
    return (
        f"{scope}: the points before {told(cut)} have been purged, and the sums that are left of "
        f"them stay as they are; only what begins at {told(cut)} or later can be changed."
    )
