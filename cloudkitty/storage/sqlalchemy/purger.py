# SPDX-License-Identifier: Apache-2.0
"""Purging: points of the past become totals by day and month.

Invariants: in one transaction, under the locks of the scopes, points leave the runs and are added
to totals, so a reader finds each point in one of the two; a step has at most a few thousand runs.
What has been purged is not found again, so a purge that was ended anywhere goes on where it was.
"""

import bisect
import functools
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import tzinfo
from decimal import Decimal, localcontext
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from cloudkitty import money, period
from cloudkitty.db.engine import Database
from cloudkitty.db.models import scopes
from cloudkitty.storage.base import Removed
from cloudkitty.storage.sqlalchemy import bulk, kept, models, runs, statements

RUNS_AT_ONCE = 1000
"""How many runs a transaction has about; a series' runs of a month are never parted."""

SCOPES_AT_ONCE = 50
"""How many scopes a transaction locks at most."""

MONTH_KEYS = ("month", "scope_id", "metric")

MonthKey = tuple[int, int, str]
"""Begin of the month, scope, metric."""

Key = tuple[int, int, str, int]
"""The same, and the begin of the day."""


class Waiting(NamedTuple):
    """A scope with points to purge: up to which instant, in how many runs, from when on."""

    scope_id: int
    identifier: str
    limit: int
    runs: int
    first: int


class Tally:
    """What points add up to; to be used in the exact context."""

    __slots__ = ("amounts", "first", "last")

    def __init__(self) -> None:
        self.first = models.OPEN
        self.last = -models.OPEN
        self.amounts: dict[tuple[Decimal, Decimal], int] = defaultdict(int)

    def add(self, starts: range, amounts: tuple[Decimal, Decimal]) -> None:
        """Add a run's points that start then."""
        self.first = min(self.first, starts[0])
        self.last = max(self.last, starts[-1])
        self.amounts[amounts] += len(starts)

    def total(self, scope_id: int, metric: str) -> kept.Kept:
        """Return the sum of all that has been added."""
        qtys = [qty for qty, _price in self.amounts]
        prices = [price for _qty, price in self.amounts]
        return kept.Kept(
            scope_id,
            metric,
            self.first,
            self.last,
            sum(self.amounts.values()),
            sum((qty * number for (qty, _), number in self.amounts.items()), money.ZERO),
            sum((price * number for (_, price), number in self.amounts.items()), money.ZERO),
            min(qtys),
            max(qtys),
            min(prices),
            max(prices),
        )


def joined(one: kept.Kept, other: kept.Kept) -> kept.Kept:
    """Return what two totals of one scope and metric add up to; in the exact context."""
    return kept.Kept(
        one.scope_id,
        one.metric,
        min(one.first, other.first),
        max(one.last, other.last),
        one.points + other.points,
        one.qty + other.qty,
        one.price + other.price,
        min(one.min_qty, other.min_qty),
        max(one.max_qty, other.max_qty),
        min(one.min_price, other.min_price),
        max(one.max_price, other.max_price),
    )


class Purger:
    """The part of the ledger that turns points into totals."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def waiting(
        self, before: int, identifiers: Collection[str] | None, spare: Collection[int] = ()
    ) -> list[Waiting]:
        """Return the scopes that have points before the instant and their horizon."""
        table = models.runs.c
        horizon = sa.type_coerce(scopes.c.horizon, sa.BigInteger)
        statement = (
            sa.select(
                scopes.c.id,
                scopes.c.identifier,
                horizon,
                sa.func.count(),
                sa.func.min(table.begin),
            )
            .select_from(models.runs)
            .join(models.series, table.series_id == models.series.c.id)
            .join(scopes, models.series.c.scope_id == scopes.c.id)
            .where(table.begin < before, horizon.is_(None) | (table.begin < horizon))
            .group_by(scopes.c.id, scopes.c.identifier, horizon)
            .order_by(scopes.c.id)
        )
        pieces = [None] if identifiers is None else bulk.chunks(identifiers)
        found = []
        with self._database.reader() as connection:
            for piece in pieces:
                chosen = statement
                if piece is not None:
                    chosen = statement.where(scopes.c.identifier.in_(piece))
                for scope_id, name, until, number, first in connection.execute(chosen):
                    if scope_id not in spare:
                        limit = before if until is None else min(before, until)
                        found.append(Waiting(scope_id, name, limit, number, first))
        return found

    def steps(
        self,
        before: int,
        zone: tzinfo,
        identifiers: Collection[str] | None,
        spare: Collection[int],
    ) -> Iterator[Removed]:
        """Purge month by month, a step at a time; see ``Storage.purge``."""
        waiting = self.waiting(before, identifiers, spare)
        if not waiting:
            return
        instant = min(one.first for one in waiting)
        while instant < before:
            following = period.epoch(period.next_month(period.from_epoch(instant), zone))
            instant = min(following, before)
            for batch in _batches(self.waiting(instant, identifiers, spare)):
                for chosen in self._chosen(batch):
                    yield self._step(chosen, batch[0].limit, zone)

    def _chosen(self, batch: Sequence[Waiting]) -> list[dict[int, int]]:
        """Return the series of the scopes that have something to purge, each with its scope, as
        many together as a step has."""
        table, owner = models.runs.c, models.series.c
        statement = (
            sa.select(table.series_id, owner.scope_id, sa.func.count())
            .join_from(models.runs, models.series, table.series_id == owner.id)
            .where(
                owner.scope_id.in_([one.scope_id for one in batch]), table.begin < batch[0].limit
            )
            .group_by(table.series_id, owner.scope_id)
            .order_by(owner.scope_id, table.series_id)
        )
        steps: list[dict[int, int]] = []
        room = 0
        with self._database.reader() as connection:
            for key, scope_id, number in connection.execute(statement):
                if not steps or number > room:
                    steps.append({})
                    room = RUNS_AT_ONCE
                steps[-1][key] = scope_id
                room -= number
        return steps

    def _step(self, chosen: Mapping[int, int], limit: int, zone: tzinfo) -> Removed:
        """Purge what these series, each with its scope, have before the limit."""
        with self._database.writer() as connection:
            locked = statements.lock(connection, set(chosen.values()))
            ids = {
                scope_id
                for scope_id, (horizon, _version) in locked.items()
                if horizon is None or limit <= horizon  # or the scope has been set back
            }
            keys = [key for key, scope_id in chosen.items() if scope_id in ids]
            owned = _runs_before(connection, keys, limit)
            if not owned:
                return Removed(frozenset(), 0, 0, 0)
            horizons = {scope_id: locked[scope_id].horizon for scope_id in ids}
            days = _Days(owned, limit, zone)
            rest: list[tuple[int, runs.Run]] = []
            for key, scope_id, metric, run in owned:
                ended = statements.with_end(run, horizons[scope_id])
                days.add(scope_id, metric, ended)
                rest += [
                    (key, piece._replace(end=run.end))
                    for piece in runs.cut(ended, ended.begin, limit)
                ]
            points = _add(connection, days.totals())
            series = _shorten(connection, {key for key, *_ in owned}, limit, rest)
            touched = {scope_id for _key, scope_id, *_ in owned}
            _move_cuts(connection, touched, limit)
            statements.move_version(connection, touched)
        return Removed(frozenset(touched), points, len(owned), series)


def _batches(waiting: Iterable[Waiting]) -> Iterator[list[Waiting]]:
    """Yield scopes with one limit, not too many at a time."""
    by_limit: dict[int, list[Waiting]] = defaultdict(list)
    for one in waiting:
        by_limit[one.limit].append(one)
    for _limit, many in sorted(by_limit.items()):
        batch: list[Waiting] = []
        for one in many:
            size = sum(other.runs for other in batch) + one.runs
            if batch and (size > RUNS_AT_ONCE or len(batch) == SCOPES_AT_ONCE):
                yield batch
                batch = []
            batch.append(one)
        yield batch


Owned = tuple[int, int, str, runs.Run]
"""A run as it is stored, with series, scope and metric."""


def _runs_before(connection: Connection, keys: Sequence[int], limit: int) -> list[Owned]:
    """Return the runs of these series that begin before the instant."""
    table, owner = models.runs.c, models.series.c
    statement = sa.select(
        table.series_id,
        owner.scope_id,
        owner.metric,
        table.begin,
        table.end,
        table.step,
        table.qty,
        table.price,
    ).join_from(models.runs, models.series, table.series_id == owner.id)
    found: list[Owned] = []
    for piece in bulk.chunks(keys):
        rows = connection.execute(statement.where(table.series_id.in_(piece), table.begin < limit))
        found += [(*row[:3], runs.Run(*row[3:])) for row in rows]
    return found


class _Days:
    """Points by day of the zone, before a limit."""

    def __init__(self, owned: Sequence[Owned], limit: int, zone: tzinfo) -> None:
        first = period.month_start(period.from_epoch(min(run.begin for *_, run in owned)), zone)
        self._days: list[tuple[int, int, int]] = []
        for begin, end in period.days(first, period.from_epoch(limit), zone):
            month = period.epoch(period.month_start(begin, zone))
            self._days.append((period.epoch(begin), period.epoch(end), month))
        self._begins = [begin for begin, _end, _month in self._days]
        self._tallies: dict[Key, Tally] = defaultdict(Tally)

    def add(self, scope_id: int, metric: str, run: runs.Run) -> None:
        """Add what a run has before the limit."""
        place = max(0, bisect.bisect_right(self._begins, run.begin) - 1)
        for begin, end, month in self._days[place:]:
            if begin >= run.end:
                break
            starts = runs.starts(run.begin, run.end, run.step, begin, end)
            if starts:
                self._tallies[month, scope_id, metric, begin].add(starts, run[3:])

    def totals(self) -> dict[Key, kept.Kept]:
        """Return the totals of each day."""
        with localcontext(money.EXACT):
            return {key: tally.total(*key[1:3]) for key, tally in self._tallies.items()}


def _add(connection: Connection, fresh: Mapping[Key, kept.Kept]) -> int:
    """Add totals of days to what is kept; return the number of their points."""
    by_month: dict[MonthKey, dict[int, kept.Kept]] = defaultdict(dict)
    for (month, scope_id, metric, day), total in fresh.items():
        by_month[month, scope_id, metric][day] = total
    _add_months(connection, by_month)
    _add_days(connection, by_month)
    return sum(total.points for total in fresh.values())


def _add_months(connection: Connection, fresh: Mapping[MonthKey, Mapping[int, kept.Kept]]) -> None:
    table = models.months
    known = {}
    for row in connection.execute(_near(table, fresh)):
        key = (row.month, row.scope_id, row.metric)
        if key in fresh:
            known[key] = kept.Kept(*key[1:], *(row._mapping[name] for name in kept.SUMS))
    _delete(connection, table, known)
    written = []
    with localcontext(money.EXACT):
        for key, days in sorted(fresh.items()):
            parts = [*days.values(), known[key]] if key in known else [*days.values()]
            written.append((*key, *_fields(functools.reduce(joined, parts))))
    bulk.insert(connection, table, (*MONTH_KEYS, *kept.SUMS), written)


def _add_days(connection: Connection, fresh: Mapping[MonthKey, Mapping[int, kept.Kept]]) -> None:
    table = models.days
    known: dict[MonthKey, dict[int, kept.Kept]] = defaultdict(dict)
    for row in connection.execute(_near(table, fresh)):
        key = (row.month, row.scope_id, row.metric)
        if key in fresh:
            first = kept.Kept(*key[1:], *(row._mapping[name] for name in kept.SUMS))
            known[key].update(kept.Alike(row.day, row.days, first).each())
    _delete(connection, table, known)
    written = []
    with localcontext(money.EXACT):
        for key, days in sorted(fresh.items()):
            whole = known[key] | {
                day: joined(known[key][day], total) if day in known[key] else total
                for day, total in days.items()
            }
            for day, number, total in kept.alike(sorted(whole.items())):
                written.append((*key, day, number, *_fields(total)))
    bulk.insert(connection, table, (*MONTH_KEYS, "day", "days", *kept.SUMS), written)


def _near(table: sa.Table, keys: Collection[MonthKey]) -> sa.Select[Any]:
    """Return the statement for the rows with these keys, and maybe others."""
    return sa.select(table).where(
        table.c.month.in_({month for month, _scope, _metric in keys}),
        table.c.scope_id.in_({scope_id for _month, scope_id, _metric in keys}),
    )


def _delete(connection: Connection, table: sa.Table, keys: Collection[MonthKey]) -> None:
    if keys:
        marked = [table.c[name] == sa.bindparam(f"key_{name}") for name in MONTH_KEYS]
        marks = [f"key_{name}" for name in MONTH_KEYS]
        connection.execute(
            table.delete().where(*marked), [dict(zip(marks, key, strict=True)) for key in keys]
        )


def _fields(total: kept.Kept) -> list[Any]:
    """Return the columns of a total, after its keys."""
    amounts = [money.digits(amount) for amount in total[5:]]
    return [total.first, total.last, total.points, *amounts]


def _shorten(
    connection: Connection,
    keys: Collection[int],
    limit: int,
    rest: Sequence[tuple[int, runs.Run]],
) -> int:
    """Leave of the series what begins at the limit, and *rest*; return how many are gone."""
    table, owner = models.runs, models.series
    gone = 0
    for piece in bulk.chunks(sorted(keys)):
        connection.execute(
            table.delete().where(table.c.series_id.in_(piece), table.c.begin < limit)
        )
    statements.insert_runs(connection, rest)
    ended = sorted(set(keys) - {key for key, _run in rest})
    for piece in bulk.chunks(ended):
        living = sa.select(table.c.series_id).where(table.c.series_id.in_(piece)).distinct()
        left = set(connection.execute(living).scalars())
        dead = [key for key in piece if key not in left]
        if dead:
            gone += connection.execute(owner.delete().where(owner.c.id.in_(dead))).rowcount
    return gone


def _move_cuts(connection: Connection, scope_ids: Collection[int], limit: int) -> None:
    """Note up to where points have been purged."""
    known = kept.cuts(connection, scope_ids)
    moved = [one for one in sorted(scope_ids) if one not in known or known[one] < limit]
    if moved:
        table = models.cuts
        connection.execute(table.delete().where(table.c.scope_id.in_(moved)))
        connection.execute(
            table.insert(), [{"scope_id": scope_id, "instant": limit} for scope_id in moved]
        )
