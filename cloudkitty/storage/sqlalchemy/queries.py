# SPDX-License-Identifier: Apache-2.0
"""Reading the ledger: points again, sums, and who has any.

Every question is answered from one state of the database, by a fixed number of queries, with
work that grows with the runs in the window and not with points.
"""

import datetime
import itertools
import json
from collections import defaultdict
from collections.abc import Callable, Collection, Hashable, Iterable, Iterator, Mapping, Sequence
from decimal import Decimal, localcontext
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from cloudkitty import money, period
from cloudkitty.dataframe import DataFrame, Points, Registry, Scalar, Series
from cloudkitty.db.models import scopes
from cloudkitty.period import Period
from cloudkitty.scope import Scope
from cloudkitty.storage.base import (
    GROUP_SCOPE,
    GROUP_TIME,
    GROUP_TYPE,
    Extremes,
    Query,
    Scan,
    ScopedFrame,
    TotalRow,
    Totals,
)
from cloudkitty.storage.sqlalchemy import bulk, encoding, models, runs

CALENDAR = period.CALENDAR_UNITS

GroupOf = Callable[[int, str, int | None], tuple[str, ...]]
"""Gives the values of the group that a run is in: by scope, metric and series."""

SERIES_KEPT = 20_000
"""Most series that reading points keeps in memory."""

SERIES_AHEAD = 1000
"""How many points' series are read together."""


class Account(NamedTuple):
    """A scope as reading needs it."""

    scope: Scope
    horizon: int


class Stored(NamedTuple):
    """A run with the key of its series and the scope it belongs to."""

    series_id: int
    scope_id: int
    metric: str
    run: runs.Run


def accounts(connection: Connection, identifiers: Collection[str] | None) -> dict[int, Account]:
    """Return the scopes with these ids (``None``: all) by key."""
    table = scopes.c
    statement = sa.select(
        table.id,
        table.identifier,
        table.scope_key,
        table.fetcher,
        table.collector,
        sa.type_coerce(table.horizon, sa.BigInteger),
    )
    pieces = [None] if identifiers is None else bulk.chunks(identifiers)
    found = {}
    for piece in pieces:
        chosen = statement if piece is None else statement.where(table.identifier.in_(piece))
        for key, identifier, scope_key, fetcher, collector, horizon in connection.execute(chosen):
            found[key] = Account(Scope(identifier, scope_key, fetcher, collector), horizon or 0)
    return found


def text_of(value: Scalar) -> str:
    """Return an attribute's value as group-by columns and filters see it; absent is empty."""
    if value is None:
        return ""
    return value if isinstance(value, str) else str(value)


class Reader:
    """Answers to one query, from one transaction."""

    def __init__(self, connection: Connection, query: Query) -> None:
        self._connection = connection
        self._query = query
        self.begin = period.epoch(query.begin)
        self.end = period.epoch(query.end)
        self.accounts = accounts(connection, query.scopes)
        self._attributes: dict[int, dict[str, str]] | None = None

    # -- what the question is about -------------------------------------------------------------

    def _restrict(self, statement: sa.Select[Any]) -> sa.Select[Any]:
        """Limit a statement over series to the scopes and metrics asked for."""
        if self._query.scopes is not None:
            statement = statement.where(models.series.c.scope_id.in_(list(self.accounts)))
        if self._query.metrics is not None:
            statement = statement.where(models.series.c.metric.in_(list(self._query.metrics)))
        return statement

    def attributes(self, names: Collection[str] = ()) -> dict[int, dict[str, str]]:
        """Return the texts of these attributes of every series that the filters let through, by
        its key. They are read once: who needs names asks first."""
        if self._attributes is None:
            table = models.series.c
            rows = self._connection.execute(
                self._restrict(sa.select(table.id, table.groupby, table.metadata))
            )
            self._attributes = {}
            wanted = {*names, *self._query.filters}
            for key, groupby, metadata in rows:
                known = json.loads(groupby)
                if not wanted <= known.keys():
                    known = json.loads(metadata) | known
                texts = {name: text_of(known.get(name)) for name in wanted}
                if all(texts[name] in values for name, values in self._query.filters.items()):
                    self._attributes[key] = texts
        return self._attributes

    def _rows(self) -> Iterator[Any]:
        """Yield the matching runs that overlap the window, amounts as their texts: series,
        scope, metric, begin, end, step, quantity, price."""
        if self._nothing():
            return
        table = models.runs.c
        statement = self._restrict(
            sa.select(
                table.series_id,
                models.series.c.scope_id,
                models.series.c.metric,
                table.begin,
                table.end,
                table.step,
                sa.type_coerce(table.qty, sa.String),
                sa.type_coerce(table.price, sa.String),
            )
            .join_from(models.runs, models.series, table.series_id == models.series.c.id)
            .where(table.end > self.begin, table.begin < self.end)
        )
        chosen = self.attributes() if self._query.filters else None
        horizons = {key: account.horizon for key, account in self.accounts.items()}
        for row in self._connection.execute(statement):
            key, scope_id, metric, begin, end, *rest = row
            if chosen is None or key in chosen:
                last = horizons[scope_id] if end == models.OPEN else end
                yield key, scope_id, metric, begin, last, *rest

    def stored(self) -> list[Stored]:
        """Return every matching run that has a point in the window."""
        found = []
        for key, scope_id, metric, begin, end, step, qty, price in self._rows():
            run = runs.Run(begin, end, step, Decimal(qty), Decimal(price))
            if runs.count(run, self.begin, self.end):
                found.append(Stored(key, scope_id, metric, run))
        return found

    def series(self, keys: Collection[int]) -> dict[int, Series]:
        """Return series by their keys."""
        shelf = _Shelf(self._connection)
        shelf.fetch(keys)
        return shelf.series

    def _nothing(self) -> bool:
        return not self.accounts or self._query.metrics == [] or self.begin >= self.end

    # -- points -------------------------------------------------------------------------------

    def scan(self, offset: int, limit: int | None, by_metric: bool) -> Scan:
        """Return points, ordered and paged by period, scope, metric and series.

        With *by_metric*, the points of one period come metric by metric.
        """
        found = self.stored()
        slots = runs.slots((stored.run for stored in found), self.begin, self.end)
        wanted = runs.page(slots, offset, limit)
        return Scan(sum(slot.points for slot in slots), self._frames(found, wanted, by_metric))

    def _frames(
        self,
        found: Iterable[Stored],
        wanted: Sequence[tuple[runs.Slot, int, int | None]],
        by_metric: bool,
    ) -> Iterator[ScopedFrame]:
        if not wanted:
            return
        ordered = self._ordered(found, wanted[0][0].begin, wanted[-1][0].end)
        shelf = _Shelf(self._connection)
        for slot, skip, take in wanted:
            live = [stored for stored in ordered if _lives(stored.run, slot)]
            many = live[skip : None if take is None else skip + take]
            if by_metric:
                many.sort(key=lambda stored: stored.metric)
            stretch = Period(period.from_epoch(slot.begin), period.from_epoch(slot.end))
            for group in _grouped(many, by_metric):
                shelf.fetch(group.keys)
                usage: dict[str, Points] = defaultdict(Points)
                for stored in group.points:
                    series = shelf.series[stored.series_id]
                    usage[stored.metric].append(series, stored.run.qty, stored.run.price)
                scope = self.accounts[group.points[0].scope_id].scope
                yield ScopedFrame(scope, DataFrame(stretch, usage))

    def _ordered(self, found: Iterable[Stored], begin: int, end: int) -> list[Stored]:
        """Return the runs with points in the window, in the order of points of one period."""
        live = [stored for stored in found if runs.count(stored.run, begin, end)]
        return sorted(
            live,
            key=lambda stored: (
                self.accounts[stored.scope_id].scope,
                stored.metric,
                stored.series_id,
            ),
        )

    # -- sums ---------------------------------------------------------------------------------

    def totals(
        self,
        groupby: Sequence[str],
        offset: int,
        limit: int | None,
        zone: datetime.tzinfo,
        extremes: bool,
    ) -> Totals:
        """Return sums by group; see ``Storage.total``."""
        plain = [name for name in groupby if name not in (GROUP_TIME, *CALENDAR)]
        names = set(plain) - {GROUP_SCOPE, GROUP_TYPE}
        attributes = self.attributes(names) if names else None

        def group_of(scope_id: int, metric: str, series: int | None) -> tuple[str, ...]:
            known = attributes[series] if attributes is not None and series is not None else {}
            return tuple([self._value(name, scope_id, metric, known) for name in plain])

        if GROUP_TIME in groupby and not extremes:
            sums = self._by_period(group_of)
        else:
            sums = self._by_amount(
                groupby, zone, group_of, with_series=bool(names), extremes=extremes
            )
        found = sorted(
            (self._row(groupby, key, total, zone) for key, total in sums.items()),
            key=lambda row: (row.begin, row.end, row.group),
        )
        return Totals(len(found), found[offset : None if limit is None else offset + limit])

    def _by_amount(
        self,
        groupby: Sequence[str],
        zone: datetime.tzinfo,
        group_of: GroupOf,
        *,
        with_series: bool,
        extremes: bool,
    ) -> dict[Hashable, "_Sum"]:
        """Return sums by stretch of time and group.

        Points are counted first, by everything that tells groups and amounts apart, and the
        amounts of each kind multiplied once.
        """
        rows: Iterable[Any] = self._rows()
        if GROUP_TIME not in groupby and not set(groupby).isdisjoint(CALENDAR):
            rows = list(rows)
        stretches = self._stretches(groupby, zone, rows)
        counts: dict[tuple[Any, ...], int] = defaultdict(int)
        for key, scope_id, metric, begin, end, step, qty, price in rows:
            series = key if with_series else None
            for label, points in stretches(begin, end, step):
                counts[label, scope_id, metric, series, qty, price] += points
        sums: dict[Hashable, _Sum] = {}
        with localcontext(money.EXACT):
            for (label, scope_id, metric, series, qty, price), points in counts.items():
                if not points:
                    continue
                group = group_of(scope_id, metric, series)
                total = sums.setdefault((label, group), _Sum())
                total.add(Decimal(qty), Decimal(price), points, extremes)
        return sums

    def _by_period(self, group_of: GroupOf) -> dict[Hashable, "_Sum"]:
        """Return sums by period and group, with work that grows with runs and with sums."""
        by_group: dict[tuple[str, ...], list[runs.Run]] = defaultdict(list)
        for key, scope_id, metric, begin, end, step, qty, price in self._rows():
            run = runs.Run(begin, end, step, Decimal(qty), Decimal(price))
            by_group[group_of(scope_id, metric, key)].append(run)
        return {
            ((level.begin, level.end), group): _Sum(level.qty, level.price, level.points)
            for group, many in by_group.items()
            for level in runs.levels(many, self.begin, self.end)
        }

    def _value(self, name: str, scope_id: int, metric: str, known: Mapping[str, str]) -> str:
        if name == GROUP_SCOPE:
            return self.accounts[scope_id].scope.identifier
        return metric if name == GROUP_TYPE else known.get(name, "")

    def _stretches(
        self, groupby: Sequence[str], zone: datetime.tzinfo, rows: Iterable[Any]
    ) -> Callable[[int, int, int], Iterable[tuple[Hashable, int]]]:
        """Return the function that spreads a run (begin, end, step) over periods or calendar
        units; *rows* are looked at for the latter only."""
        first, last = self.begin, self.end
        if GROUP_TIME in groupby:
            return lambda begin, end, step: (
                ((start, start + step), 1) for start in runs.starts(begin, end, step, first, last)
            )
        units = [unit for unit in groupby if unit in CALENDAR]
        if not units:
            return lambda begin, end, step: (((), runs.points(begin, end, step, first, last)),)
        begins, ends = [row[3] for row in rows], [row[4] for row in rows]
        # Not the days of the window, which may be thousands of years, but those with points.
        first, last = max(first, min(begins, default=0)), min(last, max(ends, default=0))
        return runs.Buckets(_calendar(units, first, last, zone)).counts

    def _row(
        self, groupby: Sequence[str], key: Any, total: "_Sum", zone: datetime.tzinfo
    ) -> TotalRow:
        label, group = key
        begin, end = self._query.begin, self._query.end
        units: Sequence[str] = ()
        if GROUP_TIME in groupby:
            begin, end = map(period.from_epoch, label)
            attributes = period.calendar_attributes(begin, zone)
            units = [attributes[unit] for unit in groupby if unit in CALENDAR]
        elif label:
            year, units = label
            begin, end = _within_year(year, begin, end, zone)
        calendar, others = iter(units), iter(group)
        columns = tuple(
            next(calendar if name in CALENDAR else others) for name in groupby if name != GROUP_TIME
        )
        return TotalRow(begin, end, total.qty, total.price, columns, total.points, total.extremes)

    # -- who ----------------------------------------------------------------------------------

    def scopes_with_data(self) -> list[str]:
        """Return the ids of scopes with a point in the window, sorted."""
        return sorted({self.accounts[stored.scope_id].scope.identifier for stored in self.stored()})


def _lives(run: runs.Run, slot: runs.Slot) -> bool:
    """Return whether *run* has the point that this period is made of."""
    return (
        run.begin <= slot.begin < run.end
        and run.step == slot.end - slot.begin
        and (slot.begin - run.begin) % run.step == 0
    )


class _Group(NamedTuple):
    """Points of one frame, and the keys of the series to have at hand for them and for some of
    those that follow."""

    points: list[Stored]
    keys: list[int]


def _grouped(many: Sequence[Stored], by_metric: bool) -> Iterator[_Group]:
    """Cut the points of one period into frames."""
    place = known = 0
    for _frame, points in itertools.groupby(
        many, lambda stored: (stored.scope_id, stored.metric if by_metric else None)
    ):
        group = list(points)
        keys: list[int] = []
        if place + len(group) > known:
            known = place + max(len(group), SERIES_AHEAD)
            keys = [stored.series_id for stored in many[place:known]]
        place += len(group)
        yield _Group(group, keys)


class _Shelf:
    """Series by key, read when they are needed; not many more than ``SERIES_KEPT`` stay."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._registry = Registry()
        self.series: dict[int, Series] = {}

    def fetch(self, keys: Collection[int]) -> None:
        """Have the series with these keys at hand."""
        missing = [key for key in keys if key not in self.series]
        if len(self.series) + len(missing) > SERIES_KEPT:
            self.series, self._registry = {}, Registry()
            missing = list(keys)
        for piece in bulk.chunks(missing):
            rows = self._connection.execute(
                sa.select(models.series).where(models.series.c.id.in_(piece))
            )
            self.series |= {row.id: encoding.series_of(row, self._registry) for row in rows}


class _Sum:
    """What the points of one group add up to; to be used in the exact context."""

    __slots__ = ("extremes", "points", "price", "qty")

    def __init__(
        self, qty: Decimal = money.ZERO, price: Decimal = money.ZERO, points: int = 0
    ) -> None:
        self.qty = qty
        self.price = price
        self.points = points
        self.extremes: Extremes | None = None

    def add(self, qty: Decimal, price: Decimal, points: int, extremes: bool) -> None:
        self.qty += qty * points
        self.price += price * points
        self.points += points
        if extremes:
            before = self.extremes or Extremes(qty, qty, price, price)
            self.extremes = Extremes(
                min(before.min_qty, qty),
                max(before.max_qty, qty),
                min(before.min_price, price),
                max(before.max_price, price),
            )


def _calendar(
    units: Sequence[str], first: int, last: int, zone: datetime.tzinfo
) -> list[tuple[int, int, Hashable]]:
    """Return the days of a stretch of time, those with equal labels joined.

    The label is the year and the values of the units, so that equal units of different years
    stay apart.
    """
    joined: list[tuple[int, int, Hashable]] = []
    if first >= last:
        return joined
    for begin, end in period.days(period.from_epoch(first), period.from_epoch(last), zone):
        attributes = period.calendar_attributes(begin, zone)
        label = (int(attributes["year"]), tuple(attributes[unit] for unit in units))
        if joined and joined[-1][2] == label:
            joined[-1] = (joined[-1][0], period.epoch(end), label)
        else:
            joined.append((period.epoch(begin), period.epoch(end), label))
    return joined


def _within_year(
    year: int, begin: datetime.datetime, end: datetime.datetime, zone: datetime.tzinfo
) -> tuple[datetime.datetime, datetime.datetime]:
    """Return the part of the window that lies in *year* of *zone*."""
    first = period.utc(datetime.datetime(year, 1, 1, tzinfo=zone))
    if year == datetime.MAXYEAR:
        return max(begin, first), end
    following = period.utc(datetime.datetime(year + 1, 1, 1, tzinfo=zone))
    return max(begin, first), min(end, following)
