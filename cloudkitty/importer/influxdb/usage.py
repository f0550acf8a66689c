# SPDX-License-Identifier: Apache-2.0
"""The points that an existing service keeps in InfluxDB: counted, and streamed scope by scope."""

import datetime
from collections import Counter, defaultdict
from collections.abc import Hashable, Iterator
from contextlib import contextmanager
from decimal import Decimal
from typing import Any

from cloudkitty import money, period
from cloudkitty.importer.influxdb import statements
from cloudkitty.importer.influxdb.client import Client
from cloudkitty.importer.influxdb.layout import Layout
from cloudkitty.importer.influxdb.statements import PERIOD, PRICE, QTY, TYPE
from cloudkitty.importer.usage import Alike, Described, Extent, Month, RatedUsage, Row


class InfluxUsage(RatedUsage):
    """See ``RatedUsage``. The tag *scope_key* says whose a point is; *seconds* is the length of the
    periods of points that do not say theirs, as older releases have written them."""

    single = False

    def __init__(self, client: Client, layout: Layout, scope_key: str, seconds: int) -> None:
        self._client = client
        self._layout = layout
        self._scope_key = scope_key
        self._seconds = seconds

    @contextmanager
    def reading(self) -> Iterator[Client]:
        yield self._client

    def extents(self, connection: Client) -> list[Extent]:
        period_of = statements.name(PERIOD)
        qty = statements.name(QTY)
        rows = {key: row[1] for key, row in self._by_scope(connection, f"COUNT({qty})")}
        first = {key: row[0] for key, row in self._by_scope(connection, f"FIRST({qty})")}
        last = {
            key: row[0] + self._length(row[2])
            for key, row in self._by_scope(connection, f"LAST({qty}), {period_of}")
        }
        return [Extent(key or None, rows[key], first[key], last[key]) for key in sorted(rows)]

    def _by_scope(self, connection: Client, columns: str) -> Iterator[tuple[str, list[Any]]]:
        for part in connection.ask(self._select([columns], groupby=self._scope_key)):
            for row in part.rows:
                yield part.tags[self._scope_key], row

    def period(self, connection: Client) -> int | None:
        newest = self._select([f"LAST({statements.name(PERIOD)})"])
        return next((int(row[1]) for row in connection.rows(newest)), None)

    def count(self, connection: Client, tenant: str | None, before: int) -> int:
        column = f"COUNT({statements.name(QTY)})"
        return self._number(connection, column, self._of(tenant), statements.before(before))

    def stream(
        self, connection: Client, tenant: str | None, since: int | None
    ) -> Iterator[tuple[int, int, Hashable]]:
        conditions = [self._of(tenant)]
        if since is not None:
            conditions.append(statements.since(since))
        for begin, qty, price, length, *what in connection.rows(
            self._select(self._layout.columns, *conditions)
        ):
            yield begin, begin + self._length(length), (qty, price, tuple(what))

    def decode(self, raw: Any) -> Row:
        qty, price, what = raw
        return Row(money.amount(qty), money.amount(price), what)

    def described(self, what: Any) -> Described:
        return self._layout.described(what)

    # -- comparing ----------------------------------------------------------------------------

    def alike(self, connection: Client, extent: Extent) -> Iterator[Alike]:
        columns = [statements.tag(TYPE), f"{statements.name(QTY)}::field"]
        columns.append(f"{statements.name(PRICE)}::field")
        known: Counter[tuple[str, object, object]] = Counter()
        bounds = (0, 0)
        for begin, metric, qty, price in connection.rows(
            self._select(columns, self._of(extent.tenant), statements.before(extent.last))
        ):
            if not bounds[0] <= begin < bounds[1]:
                yield from _counted(known, bounds[0])
                known.clear()
                bounds = _month_of(begin)
            known[metric or "", qty, price] += 1
        yield from _counted(known, bounds[0])

    def reported(self, connection: Client, extent: Extent) -> Iterator[tuple[Month, Decimal]]:
        begin, end = _month_of(extent.first)
        while begin < extent.last:
            statement = self._select(
                [f"SUM({statements.name(PRICE)})"],
                self._of(extent.tenant),
                statements.since(begin),
                statements.before(min(end, extent.last)),
                groupby=TYPE,
            )
            for part in connection.ask(statement):
                for _time, price in part.rows:
                    yield _month(part.tags[TYPE], begin), _amount(price)
            begin, end = _month_of(end)

    def distinct(self, connection: Client, tenant: str | None, month: Month) -> int:
        # A series has one point at a time, and equal attributes make one series.
        begin = datetime.datetime(month.year, month.month, 1, tzinfo=datetime.UTC)
        first, last = _month_of(period.epoch(begin))
        return self._number(
            connection,
            f"COUNT({statements.name(QTY)})",
            self._of(tenant),
            f"{statements.tag(TYPE)} = {statements.literal(month.metric)}",
            statements.since(first),
            statements.before(last),
        )

    # -- statements ---------------------------------------------------------------------------

    def _select(self, columns: list[str], *conditions: str, groupby: str = "") -> str:
        policy = self._client.retention_policy
        return statements.select(columns, policy, *conditions, groupby=groupby)

    def _of(self, tenant: str | None) -> str:
        return f"{statements.tag(self._scope_key)} = {statements.literal(tenant or '')}"

    def _number(self, connection: Client, column: str, *conditions: str) -> int:
        return sum(row[1] for row in connection.rows(self._select([column], *conditions)))

    def _length(self, seconds: Any) -> int:
        return self._seconds if seconds is None else int(seconds)


def layout_of(client: Client) -> Layout:
    """Return the columns that there are.

    :raises SourceError: the server has failed, or has no such place.
    """
    source = statements.source(client.retention_policy)
    tags = [name for (name,) in client.rows(f"SHOW TAG KEYS FROM {source}")]
    types: dict[str, list[str]] = defaultdict(list)
    for name, kind in client.rows(f"SHOW FIELD KEYS FROM {source}"):
        types[name].append(kind)
    return Layout(tags, types)


def _counted(known: Counter[tuple[str, object, object]], begin: int) -> Iterator[Alike]:
    for (metric, qty, price), rows in known.items():
        yield Alike(_month(metric, begin), rows, _amount(qty), _amount(price))


def _amount(value: object) -> Decimal:
    """Return an amount; what is none has been counted while history was read."""
    try:
        return money.amount(value)
    except money.NotAnAmount:
        return money.ZERO


def _month(metric: str, begin: int) -> Month:
    moment = period.from_epoch(begin)
    return Month(metric, moment.year, moment.month)


def _month_of(instant: int) -> tuple[int, int]:
    """Return begin and end of the UTC month that an instant is in, in Unix seconds."""
    begin = period.from_epoch(instant).replace(day=1, hour=0, minute=0, second=0)
    end = (begin + datetime.timedelta(days=32)).replace(day=1)
    return period.epoch(begin), period.epoch(end)
