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

POINTS_AT_ONCE = 200_000
"""About how many points one question is about: before its first answer the server opens every
series of the time that it is asked for, and by the calendar's attributes each day has its own."""

LONGEST_DAYS = 28

_DAY = 86400

_LOOK_BACK_DAYS = (2, 31, 366, 36600)
"""Where the newest point is looked for; to look at all times takes the server longest."""


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
        names = sorted(row[1] for row in connection.rows(self._scopes()))
        found = (self._extent(connection, tenant) for tenant in [None, *names])
        return [extent for extent in found if extent is not None]

    def _extent(self, connection: Client, tenant: str | None) -> Extent | None:
        def row(columns: str) -> list[Any] | None:
            return next(connection.rows(self._select([columns], self._of(tenant))), None)

        qty = statements.name(QTY)
        counted = row(f"COUNT({qty})")
        first = row(f"FIRST({qty})")
        last = row(f"LAST({qty}), {statements.name(PERIOD)}")
        if counted is None or first is None or last is None:
            return None
        return Extent(tenant, counted[1], first[0], last[0] + self._length(last[2]))

    def period(self, connection: Client) -> int | None:
        newest = f"LAST({statements.name(PERIOD)})"
        for days in _LOOK_BACK_DAYS:
            for _time, seconds in connection.rows(self._select([newest], statements.newer(days))):
                return int(seconds)
        return None

    def count(self, connection: Client, tenant: str | None, before: int) -> int:
        column = f"COUNT({statements.name(QTY)})"
        return self._number(connection, column, self._of(tenant), statements.before(before))

    def stream(
        self, connection: Client, extent: Extent, since: int | None
    ) -> Iterator[tuple[int, int, Hashable]]:
        for begin, qty, price, length, *what in self._rows(
            connection, self._layout.columns, extent, since
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
        for begin, metric, qty, price in self._rows(connection, columns, extent):
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

    def _rows(
        self, connection: Client, columns: list[str], extent: Extent, since: int | None = None
    ) -> Iterator[list[Any]]:
        """Yield a scope's points from *since* on, some of its time at once."""
        begin = extent.first if since is None else since
        at_once = (extent.last - extent.first) * POINTS_AT_ONCE // extent.rows
        step = max(_DAY, min(at_once, LONGEST_DAYS * _DAY))
        while begin < extent.last:
            end = min(begin + step, extent.last)
            times = statements.since(begin), statements.before(end)
            yield from connection.rows(self._select(columns, self._of(extent.tenant), *times))
            begin = end

    def _scopes(self) -> str:
        return statements.tag_values(self._client.retention_policy, self._scope_key)

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
