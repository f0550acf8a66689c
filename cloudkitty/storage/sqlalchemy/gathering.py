# SPDX-License-Identifier: Apache-2.0
"""Sums of many runs: PostgreSQL adds up what the runs of a scope and metric say; SQLite and
MariaDB, which have no number that holds all amounts, bring it together as one text, to be added up
here.

Invariants: sums are exact whatever the digits, on every database; a text that a server has cut
short is noticed. One row is fetched for each scope and metric, not for each run: fetching a row
takes a pure Python driver longer than the server needs for all the rest.
"""

from collections.abc import Callable, Iterator, Sequence
from decimal import Decimal, localcontext
from operator import mul
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from cloudkitty import money
from cloudkitty.db.models import scopes
from cloudkitty.storage.sqlalchemy import bulk, models

FEW = 4
"""How many older runs may be read in the order of storage for one that is in the window."""

LONGEST = "@@max_allowed_packet"
"""Bytes of a text that MariaDB and MySQL are asked for; they send none that is longer."""

Restrict = Callable[[sa.Select[Any]], sa.Select[Any]]


class Cut(Exception):
    """A text has been cut short by the server."""


class Gathered(NamedTuple):
    """What the points of one scope and metric add up to."""

    scope_id: int
    metric: str
    points: int
    qty: Decimal
    price: Decimal


def read(
    connection: Connection, restrict: Restrict, begin: int, end: int, everyone: Sequence[int]
) -> Iterator[Gathered]:
    """Yield the sums over the points that start in the window, in no order.

    *restrict* limits a statement over series to those asked for; *everyone* is the scopes, when
    there is no limit to them.

    :raises Cut: the server does not give texts as long as these would be.
    """
    dialect = connection.dialect.name
    if dialect == "postgresql":
        for row in connection.execute(restrict(_statement(dialect, begin, end))).all():
            if row.points:
                yield Gathered._make(row)
        return
    statement = restrict(_statement(dialect, begin, end))
    pieces: Sequence[sa.Select[Any]] = [statement]
    if dialect in bulk.MYSQL:
        connection.exec_driver_sql(f"SET SESSION group_concat_max_len = {LONGEST}")
    # Series in the order of the groups, and then the runs of each, as they are stored: nothing has
    # to be sorted.
    if not everyone or _is_most(connection, begin, end):
        if dialect in bulk.MYSQL:
            pieces = [statement.prefix_with("STRAIGHT_JOIN")]
        elif everyone:
            owner = models.series.c.scope_id
            pieces = [statement.where(owner.in_(piece)) for piece in bulk.chunks(everyone)]
    numbers = Numbers()
    for piece in pieces:
        for scope_id, metric, number, text in connection.execute(piece):
            points, qty, price = added_up(text, number, numbers)
            if points:
                yield Gathered(scope_id, metric, points, qty, price)


class Numbers(dict[str, Decimal]):
    """Numbers of points by their texts: in a window there are few, and finding one is faster than
    making it."""

    def __missing__(self, text: str) -> Decimal:
        return self.setdefault(text, Decimal(text))


def added_up(text: str, number: int, numbers: Numbers) -> tuple[int, Decimal, Decimal]:
    """Return the number of points and the exact sums of quantities and prices of *number* runs,
    each given as points, quantity and price of a point, with a space after each.

    :raises Cut: the end is missing.
    """
    fields = text.split(" ")
    if len(fields) != 3 * number + 1 or fields.pop():
        raise Cut()
    with localcontext(money.EXACT):
        points = [*map(numbers.__getitem__, fields[::3])]
        total = sum(points, money.ZERO)
        qtys = fields[1::3]
        if len(set(qtys)) == 1:
            # As of what is counted by the hour.
            qty = Decimal(qtys[0]) * total
        else:
            qty = sum(map(mul, map(Decimal, qtys), points), money.ZERO)
        price = sum(map(mul, map(Decimal, fields[2::3]), points), money.ZERO)
        return int(total), qty, price


def _statement(dialect: str, begin: int, end: int) -> sa.Select[Any]:
    """Return the statement that gathers, or adds up, the runs that overlap a window."""
    table, owner = models.runs.c, models.series.c
    horizon = sa.type_coerce(scopes.c.horizon, sa.BigInteger)
    is_open = table.end == models.OPEN
    until = sa.case((table.end < end, table.end), (is_open & (horizon < end), horizon), else_=end)

    def starts_before(instant: Any) -> Any:
        # How many, when the run has begun by then: the quotient is rounded up.
        dividend = sa.type_coerce(instant - table.begin + table.step - 1, sa.BigInteger)
        if dialect in bulk.MYSQL:
            # Its "/" is a decimal of four places, which may be rounded up.
            return dividend.op("DIV", precedence=8, return_type=sa.BigInteger())(table.step)
        return dividend // table.step

    before = sa.case((table.begin < begin, starts_before(begin)), else_=0)
    points = starts_before(until) - before
    qty, price = sa.type_coerce(table.qty, sa.String), sa.type_coerce(table.price, sa.String)
    found: list[sa.ColumnElement[Any]]
    if dialect == "postgresql":
        # Products and sums of its numbers have all digits.
        found = [
            sa.cast(sa.func.sum(points), sa.BigInteger).label("points"),
            sa.func.sum(points * sa.cast(qty, sa.Numeric)),
            sa.func.sum(points * sa.cast(price, sa.Numeric)),
        ]
    else:
        space = sa.literal_column("' '", sa.String)
        run = sa.cast(points, sa.String) + space + qty + space + price + space
        found = [sa.func.count(), sa.func.aggregate_strings(run, "")]
    return (
        sa.select(owner.scope_id, owner.metric, *found)
        .select_from(models.series)
        .join(models.runs, table.series_id == owner.id)
        .join(scopes, owner.scope_id == scopes.c.id)
        .where(table.end > begin, table.begin < end, ~is_open | (horizon > begin))
        .group_by(owner.scope_id, owner.metric)
    )


def _is_most(connection: Connection, begin: int, end: int) -> bool:
    """Whether the window has a good part of the runs so far; they are counted in the index."""
    table = models.runs.c
    within = sa.select(sa.func.count()).where(table.end > begin, table.begin < end)
    most = FEW * connection.execute(within).scalar_one()
    older = sa.select(table.end).where(table.end <= begin).limit(most + 1).subquery()
    return bool(
        connection.execute(sa.select(sa.func.count()).select_from(older)).scalar_one() <= most
    )
