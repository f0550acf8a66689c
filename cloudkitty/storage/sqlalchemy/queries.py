# SPDX-License-Identifier: Apache-2.0
"""Reading the ledger: points again, sums, and who has any.

Every question is answered from one state of the database, by a fixed number of queries, with
work that grows with the runs in the window and not with points.
"""

import datetime
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
    Page,
    Query,
    ScopedFrame,
    TotalRow,
    Totals,
)
from cloudkitty.storage.sqlalchemy import bulk, encoding, models, runs

CALENDAR = period.CALENDAR_UNITS


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

    def attributes(self) -> dict[int, dict[str, str]]:
        """Return the texts of the groupby attributes of every matching series, by its key.

        Filters look at metadata too; what does not match is left out.
        """
        if self._attributes is None:
            table = models.series.c
            rows = self._connection.execute(
                self._restrict(sa.select(table.id, table.groupby, table.metadata))
            )
            self._attributes = {}
            for key, groupby, metadata in rows:
                known = {k: text_of(v) for k, v in json.loads(groupby).items()}
                if self._matches(known, metadata):
                    self._attributes[key] = known
        return self._attributes

    def _matches(self, groupby: dict[str, str], metadata: str) -> bool:
        if not self._query.filters:
            return True
        every = {k: text_of(v) for k, v in json.loads(metadata).items()} | groupby
        return all(every.get(key) in wanted for key, wanted in self._query.filters.items())

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

    def _nothing(self) -> bool:
        return not self.accounts or self._query.metrics == [] or self.begin >= self.end

    # -- points -------------------------------------------------------------------------------

    def page(self, offset: int, limit: int | None, registry: Registry) -> Page:
        """Return a page of points, ordered by period, scope, metric and series."""
        found = self.stored()
        slots = runs.slots((stored.run for stored in found), self.begin, self.end)
        wanted = runs.page(slots, offset, limit)
        total = sum(slot.points for slot in slots)
        if not wanted:
            return Page(total, [])
        ordered = self._ordered(found, wanted[0][0].begin, wanted[-1][0].end)
        frames: list[ScopedFrame] = []
        chosen: list[tuple[runs.Slot, list[Stored]]] = []
        for slot, skip, take in wanted:
            live = [stored for stored in ordered if _lives(stored.run, slot)]
            chosen.append((slot, live[skip : None if take is None else skip + take]))
        series = self._series({s.series_id for _slot, many in chosen for s in many}, registry)
        for slot, many in chosen:
            frames += self._frames(slot, many, series)
        return Page(total, frames)

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

    def _series(self, keys: Collection[int], registry: Registry) -> dict[int, Series]:
        found: dict[int, Series] = {}
        for piece in bulk.chunks(keys):
            rows = self._connection.execute(
                sa.select(models.series).where(models.series.c.id.in_(piece))
            )
            found |= {row.id: encoding.series_of(row, registry) for row in rows}
        return found

    def _frames(
        self, slot: runs.Slot, many: Sequence[Stored], series: Mapping[int, Series]
    ) -> list[ScopedFrame]:
        """Return the points of one period as a frame a scope, in their order."""
        stretch = Period(period.from_epoch(slot.begin), period.from_epoch(slot.end))
        by_scope: dict[int, dict[str, Points]] = defaultdict(dict)
        for stored in many:
            point = series[stored.series_id]
            columns = by_scope[stored.scope_id].setdefault(point.metric, Points())
            columns.append(point, stored.run.qty, stored.run.price)
        return [
            ScopedFrame(self.accounts[scope_id].scope, DataFrame(stretch, usage))
            for scope_id, usage in by_scope.items()
        ]

    # -- sums ---------------------------------------------------------------------------------

    def totals(self, groupby: Sequence[str], offset: int, limit: int | None) -> Totals:
        """Return sums by group; see ``Storage.total``.

        Points are counted first, by everything that tells groups and amounts apart, and the
        amounts of each kind multiplied once.
        """
        plain = [name for name in groupby if name not in (GROUP_TIME, *CALENDAR)]
        attributes = self.attributes() if set(plain) - {GROUP_SCOPE, GROUP_TYPE} else None
        stretches = self._stretches(groupby)
        counts: dict[tuple[Any, ...], int] = defaultdict(int)
        for key, scope_id, metric, begin, end, step, qty, price in self._rows():
            series = key if attributes is not None else None
            for label, points in stretches(begin, end, step):
                counts[label, scope_id, metric, series, qty, price] += points
        sums: dict[Hashable, list[Decimal]] = {}
        with localcontext(money.EXACT):
            for (label, scope_id, metric, series, qty, price), points in counts.items():
                if not points:
                    continue
                known = attributes[series] if attributes is not None else {}
                group = tuple([self._value(name, scope_id, metric, known) for name in plain])
                total = sums.setdefault((label, group), [money.ZERO, money.ZERO])
                total[0] += Decimal(qty) * points
                total[1] += Decimal(price) * points
        rows = sorted(
            (self._row(groupby, key, total) for key, total in sums.items()),
            key=lambda row: (row.begin, row.end, row.group),
        )
        return Totals(len(rows), rows[offset : None if limit is None else offset + limit])

    def _value(self, name: str, scope_id: int, metric: str, known: Mapping[str, str]) -> str:
        if name == GROUP_SCOPE:
            return self.accounts[scope_id].scope.identifier
        return metric if name == GROUP_TYPE else known.get(name, "")

    def _stretches(
        self, groupby: Sequence[str]
    ) -> Callable[[int, int, int], Iterable[tuple[Hashable, int]]]:
        """Return the function that spreads a run (begin, end, step) over periods or calendar
        units."""
        first, last = self.begin, self.end
        if GROUP_TIME in groupby:
            return lambda begin, end, step: (
                ((start, start + step), 1) for start in runs.starts(begin, end, step, first, last)
            )
        units = [unit for unit in groupby if unit in CALENDAR]
        if not units:
            return lambda begin, end, step: (((), runs.points(begin, end, step, first, last)),)
        return runs.Buckets(self._calendar(units)).counts

    def _calendar(self, units: Sequence[str]) -> list[tuple[int, int, Hashable]]:
        """Return the days of the window, those with equal labels joined.

        The label is the year and the values of the units, so that equal units of different
        years stay apart.
        """
        joined: list[tuple[int, int, Hashable]] = []
        for begin, end in period.days(self._query.begin, self._query.end):
            attributes = period.calendar_attributes(begin)
            label = (begin.year, tuple(attributes[unit] for unit in units))
            if joined and joined[-1][2] == label:
                joined[-1] = (joined[-1][0], period.epoch(end), label)
            else:
                joined.append((period.epoch(begin), period.epoch(end), label))
        return joined

    def _row(self, groupby: Sequence[str], key: Any, total: Sequence[Decimal]) -> TotalRow:
        label, group = key
        begin, end = self._query.begin, self._query.end
        units: Sequence[str] = ()
        if GROUP_TIME in groupby:
            begin, end = map(period.from_epoch, label)
            attributes = period.calendar_attributes(begin)
            units = [attributes[unit] for unit in groupby if unit in CALENDAR]
        elif label:
            year, units = label
            begin, end = _within_year(year, begin, end)
        calendar, others = iter(units), iter(group)
        columns = tuple(
            next(calendar if name in CALENDAR else others) for name in groupby if name != GROUP_TIME
        )
        return TotalRow(begin, end, total[0], total[1], columns)

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


def _within_year(
    year: int, begin: datetime.datetime, end: datetime.datetime
) -> tuple[datetime.datetime, datetime.datetime]:
    """Return the part of the window that lies in *year*."""
    first = datetime.datetime(year, 1, 1, tzinfo=period.UTC)
    following = datetime.datetime(year + 1, 1, 1, tzinfo=period.UTC)
    return max(begin, first), min(end, following)
