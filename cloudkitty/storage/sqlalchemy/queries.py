# SPDX-License-Identifier: Apache-2.0
"""Reading the ledger: runs, sums, and who has any.

Every question is answered from one state of the database, by a fixed number of queries, with
work that grows with the runs in the window and not with points.
"""

import bisect
import datetime
import functools
import itertools
import json
from collections import defaultdict
from collections.abc import Callable, Collection, Hashable, Iterable, Iterator, Mapping, Sequence
from decimal import Decimal, localcontext
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from cloudkitty import money, period
from cloudkitty.dataframe import Registry, Scalar, Series
from cloudkitty.db.models import scopes
from cloudkitty.scope import Scope
from cloudkitty.storage.base import (
    GROUP_SCOPE,
    GROUP_TIME,
    GROUP_TYPE,
    Extremes,
    FreeRun,
    Marker,
    Purged,
    Query,
    TotalRow,
    Totals,
)
from cloudkitty.storage.sqlalchemy import bulk, encoding, gathering, kept, markers, models, runs

CALENDAR = period.CALENDAR_UNITS

_RUNS_AHEAD = 1000
"""How many runs' series are read together."""

GroupOf = Callable[[int, str, int | None], tuple[str, ...]]
"""Gives the values of the group that a run is in: by scope, metric and series."""

SERIES_KEPT = 20_000
"""Most series that reading points keeps in memory."""


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

    def _restrict(
        self, statement: sa.Select[Any], table: sa.Table = models.series
    ) -> sa.Select[Any]:
        """Limit a statement over series, or another table that has both, to the scopes and metrics
        asked for."""
        if self._query.scopes is not None:
            statement = statement.where(table.c.scope_id.in_(list(self.accounts)))
        if self._query.metrics is not None:
            statement = statement.where(table.c.metric.in_(list(self._query.metrics)))
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

    def _rows(self, *conditions: sa.ColumnElement[bool]) -> Iterator[Any]:
        """Yield the matching runs that overlap the window, amounts as their texts: series,
        scope, metric, begin, end, step, quantity, price. *conditions* are about the runs."""
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
            .where(table.end > self.begin, table.begin < self.end, *conditions)
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

    def free(self) -> Iterator[FreeRun]:
        """Yield the points without a price, by run."""
        shelf = Shelf(self._connection)
        rows = self._rows(models.runs.c.price == money.ZERO)
        while piece := list(itertools.islice(rows, _RUNS_AHEAD)):
            shelf.fetch({row[0] for row in piece})
            for key, scope_id, _metric, begin, end, step, qty, _price in piece:
                run = runs.clip(
                    runs.Run(begin, end, step, Decimal(qty), money.ZERO), self.begin, self.end
                )
                if run is not None:
                    yield FreeRun(
                        self.accounts[scope_id].scope,
                        shelf.series[key],
                        period.from_epoch(run.begin),
                        step,
                        (run.end - run.begin) // step,
                        run.qty,
                    )

    def series(self, keys: Collection[int]) -> dict[int, Series]:
        """Return series by their keys."""
        shelf = Shelf(self._connection)
        shelf.fetch(keys)
        return shelf.series

    def _nothing(self) -> bool:
        return not self.accounts or self._query.metrics == [] or self.begin >= self.end

    # -- what has been purged -------------------------------------------------------------------

    def refuse_purged(self, what: str) -> None:
        """Make sure that no point of the window has been purged; *what* cannot be had then.

        :raises Purged: some have been.
        """
        if self._nothing():
            return
        touching = kept.touching(self._connection, self._restrict, self.begin, self.end)
        concerned = {row.scope_id for row in touching}
        if concerned:
            raise Purged(kept.refusal(self._cut(concerned), what))

    def _kept(self, label_of: kept.LabelOf) -> list[tuple[Hashable, kept.Kept]]:
        """Return the totals of what has been purged in the window.

        :raises Purged: the window divides one.
        """
        if self._nothing():
            return []
        try:
            return list(kept.read(self._connection, self._restrict, self.begin, self.end, label_of))
        except kept.Divided as divided:
            row = divided.row
        day = f"{row.metric} from {kept.told(row.first)} to {kept.told(row.last)} is one sum"
        what = f"a window, or a calendar day, must have all of it or nothing, and {day}"
        raise Purged(kept.refusal(self._cut([row.scope_id]), what))

    def _cut(self, scope_ids: Collection[int]) -> int:
        return max(kept.cuts(self._connection, scope_ids).values())

    def _refuse_beyond_totals(self, groupby: Sequence[str], names: Collection[str]) -> None:
        """Make sure that nothing is asked of purged points that their totals do not tell."""
        beyond = sorted(names) + [GROUP_TIME] * (GROUP_TIME in groupby)
        if beyond:
            self.refuse_purged(f"there is no group by {', '.join(beyond)}")
        if self._query.filters:
            self.refuse_purged(f"there is no filter by {', '.join(sorted(self._query.filters))}")

    # -- sums ---------------------------------------------------------------------------------

    def totals(
        self,
        groupby: Sequence[str],
        offset: int,
        limit: int | None,
        zone: datetime.tzinfo,
        extremes: bool,
        after: Marker | None = None,
    ) -> Totals:
        """Return sums by group; see ``Storage.total``."""
        plain = [name for name in groupby if name not in (GROUP_TIME, *CALENDAR)]
        names = set(plain) - {GROUP_SCOPE, GROUP_TYPE}
        self._refuse_beyond_totals(groupby, names)
        attributes = self.attributes(names) if names else None

        def group_of(scope_id: int, metric: str, series: int | None) -> tuple[str, ...]:
            known = attributes[series] if attributes is not None and series is not None else {}
            return tuple([self._value(name, scope_id, metric, known) for name in plain])

        sums: dict[Hashable, _Sum] | None = None
        if not (names or extremes or self._query.filters) and len(plain) == len(groupby):
            sums = self._by_scope_and_metric(group_of)
        elif GROUP_TIME in groupby and not extremes:
            sums = self._by_period(group_of)
        if sums is None:
            sums = self._by_amount(
                groupby, zone, group_of, with_series=bool(names), extremes=extremes
            )
        if not names and GROUP_TIME not in groupby and not self._query.filters:
            self._add_kept(sums, groupby, zone, group_of, extremes=extremes)
        found = sorted(
            (self._row(groupby, key, total, zone) for key, total in sums.items()),
            key=lambda row: (row.begin, row.end, row.group),
        )
        columns = len(groupby) - (GROUP_TIME in groupby)
        return _page(found, offset, limit, after, columns)

    def _add_kept(
        self,
        sums: "dict[Hashable, _Sum]",
        groupby: Sequence[str],
        zone: datetime.tzinfo,
        group_of: GroupOf,
        *,
        extremes: bool,
    ) -> None:
        """Add the totals of purged points to the sums of the others."""
        units = [unit for unit in groupby if unit in CALENDAR]

        @functools.cache
        def label_of(start: int) -> Hashable:
            return _label(period.from_epoch(start), units, zone) if units else ()

        with localcontext(money.EXACT):
            for label, row in self._kept(label_of):
                group = group_of(row.scope_id, row.metric, None)
                sums.setdefault((label, group), _Sum()).add_kept(row, extremes)

    def _by_scope_and_metric(self, group_of: GroupOf) -> "dict[Hashable, _Sum] | None":
        """Return sums by group, when the group is known by scope and metric; ``None`` when the
        database cannot help."""
        if self._nothing():
            return {}
        everyone = list(self.accounts) if self._query.scopes is None else []
        sums: dict[Hashable, _Sum] = {}
        try:
            with localcontext(money.EXACT):
                for scope_id, metric, points, qty, price in gathering.read(
                    self._connection, self._restrict, self.begin, self.end, everyone
                ):
                    total = sums.setdefault(((), group_of(scope_id, metric, None)), _Sum())
                    total.add_sums(qty, price, points)
        except gathering.Cut:
            return None
        return sums

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
        if not label:
            return TotalRow(begin, end, total.qty, total.price, group, total.points, total.extremes)
        units: Sequence[str] = ()
        if GROUP_TIME in groupby:
            begin, end = map(period.from_epoch, label)
            attributes = period.calendar_attributes(begin, zone)
            units = [attributes[unit] for unit in groupby if unit in CALENDAR]
        else:
            year, units = label
            begin, end = _within_year(year, begin, end, zone)
        calendar, others = iter(units), iter(group)
        columns = tuple(
            next(calendar if name in CALENDAR else others) for name in groupby if name != GROUP_TIME
        )
        return TotalRow(begin, end, total.qty, total.price, columns, total.points, total.extremes)

    # -- who ----------------------------------------------------------------------------------

    def scopes_with_data(self) -> list[str]:
        """Return the ids of scopes with a point in the window, sorted.

        :raises Purged: of one, this cannot be told.
        """
        known = {stored.scope_id for stored in self.stored()}
        doubtful = []
        if not self._nothing():
            for row in kept.touching(self._connection, self._restrict, self.begin, self.end):
                if self.begin <= row.first or row.last < self.end:
                    known.add(row.scope_id)
                else:
                    doubtful.append(row.scope_id)
        doubtful = [scope_id for scope_id in doubtful if scope_id not in known]
        if doubtful:
            what = "whether a scope has points in a part of a day is not known"
            raise Purged(kept.refusal(self._cut(doubtful), what))
        return sorted({self.accounts[scope_id].scope.identifier for scope_id in known})


class Shelf:
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

    def add_sums(self, qty: Decimal, price: Decimal, points: int) -> None:
        self.qty += qty
        self.price += price
        self.points += points

    def add(self, qty: Decimal, price: Decimal, points: int, extremes: bool) -> None:
        self.add_sums(qty * points, price * points, points)
        if extremes:
            self._widen(Extremes(qty, qty, price, price))

    def add_kept(self, row: kept.Kept, extremes: bool) -> None:
        """Add the total of points that have been purged."""
        self.add_sums(row.qty, row.price, row.points)
        if extremes:
            self._widen(row.extremes)

    def _widen(self, added: Extremes) -> None:
        before = self.extremes or added
        self.extremes = Extremes(
            min(before.min_qty, added.min_qty),
            max(before.max_qty, added.max_qty),
            min(before.min_price, added.min_price),
            max(before.max_price, added.max_price),
        )


def _page(
    ordered: Sequence[TotalRow],
    offset: int,
    limit: int | None,
    after: Marker | None,
    columns: int,
) -> Totals:
    """Return a page of rows, which have that many *columns* of groups.

    :raises WrongMarker: *after* is not the place of such a row.
    """
    if after is not None:
        begin, end, *group = markers.checked(after, (int, int, *[str] * columns))
        offset += bisect.bisect_right(ordered, (begin, end, tuple(group)), key=_place)
    rows = ordered[offset : None if limit is None else offset + limit]
    more = bool(rows) and offset + len(rows) < len(ordered)
    if not more:
        return Totals(len(ordered), rows)
    first, last, groups = _place(rows[-1])
    return Totals(len(ordered), rows, (first, last, *groups))


def _place(row: TotalRow) -> tuple[int, int, tuple[str, ...]]:
    """Return where a row stands among others."""
    return period.epoch(row.begin), period.epoch(row.end), row.group


def _calendar(
    units: Sequence[str], first: int, last: int, zone: datetime.tzinfo
) -> list[tuple[int, int, Hashable]]:
    """Return the days of a stretch of time, those with equal labels joined."""
    joined: list[tuple[int, int, Hashable]] = []
    if first >= last:
        return joined
    for begin, end in period.days(period.from_epoch(first), period.from_epoch(last), zone):
        label = _label(begin, units, zone)
        if joined and joined[-1][2] == label:
            joined[-1] = (joined[-1][0], period.epoch(end), label)
        else:
            joined.append((period.epoch(begin), period.epoch(end), label))
    return joined


def _label(
    moment: datetime.datetime, units: Sequence[str], zone: datetime.tzinfo
) -> tuple[int, tuple[str, ...]]:
    """Return the year and the values of the units, so that equal units of different years stay
    apart."""
    attributes = period.calendar_attributes(moment, zone)
    return int(attributes["year"]), tuple(attributes[unit] for unit in units)


def _within_year(
    year: int, begin: datetime.datetime, end: datetime.datetime, zone: datetime.tzinfo
) -> tuple[datetime.datetime, datetime.datetime]:
    """Return the part of the window that lies in *year* of *zone*."""
    first = period.utc(datetime.datetime(year, 1, 1, tzinfo=zone))
    if year == datetime.MAXYEAR:
        return max(begin, first), end
    following = period.utc(datetime.datetime(year + 1, 1, 1, tzinfo=zone))
    return max(begin, first), min(end, following)
