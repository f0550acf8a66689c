# SPDX-License-Identifier: Apache-2.0
"""What the old service has beside what is here: by scope, metric and UTC month, to the last digit.

The old database is asked anew, on a way of its own: it groups rows by quantity and price, and what
it counted is multiplied here. Invariants: sums are exact; a difference is either explained, by
arithmetic that can be checked, or makes the whole a failure.
"""

import enum
import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from cloudkitty import money, period
from cloudkitty.importer import binary
from cloudkitty.importer.rated import Rated, attributes
from cloudkitty.importer.scopes import OldScope
from cloudkitty.importer.tables import rated
from cloudkitty.storage.base import GROUP_TYPE, Query, Storage

_ROW = rated.c


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
    metric: str
    month: str
    there: Sums = field(default_factory=Sums)
    here: Sums = field(default_factory=Sums)
    absolute: Decimal = money.ZERO
    reported: Decimal = money.ZERO
    explained: bool = True
    verdict: Verdict = Verdict.DIFFERENT


_LineOf = Callable[..., Line]
"""Gives the line of a metric, year and month, numbers or texts."""


class Reconciler:
    """Compares the rated rows of scopes with the ledger."""

    def __init__(self, rated: Rated, storage: Storage) -> None:
        self._rated = rated
        self._storage = storage

    def lines(self, connection: Connection, old: OldScope, seconds: int) -> Sequence[Line]:
        """Return the lines of one scope, by month and metric; *connection* is to the source.

        :raises StorageError: the ledger cannot be read.
        """
        assert old.extent is not None
        found: dict[tuple[str, str], Line] = {}

        def line(metric: str, year: int | str, month: int | str) -> Line:
            key = (f"{int(year):04}-{int(month):02}", metric)
            return found.setdefault(key, Line(old.scope.identifier, metric, key[0]))

        self._read_there(connection, old.extent.tenant, line)
        self._read_here(old, seconds, line)
        for one in found.values():
            self._judge(connection, old.extent.tenant, one)
        return [found[key] for key in sorted(found)]

    def _groups(self) -> list[Any]:
        metric = self._rated.exact(_ROW.res_type)
        return [
            sa.func.coalesce(metric, ""),
            sa.extract("year", _ROW.begin),
            sa.extract("month", _ROW.begin),
        ]

    def _read_there(self, connection: Connection, tenant: str | None, line: _LineOf) -> None:
        groups = self._groups()
        of_scope = self._rated.of(tenant)
        single = self._rated.single
        rate = self._rated.wide_rate()
        amounts = [sa.func.coalesce(_ROW.qty, 0), rate]
        rows = connection.execute(
            sa.select(*groups, sa.func.count(), *amounts)
            .where(of_scope)
            .group_by(*groups, *amounts)
        )
        for *group, number, stored_qty, stored in rows:
            one = line(*group)
            price = binary.amount(stored, single)
            qty = money.times(money.amount(stored_qty), number)
            one.there.points += number
            one.there.qty = money.total((one.there.qty, qty))
            one.there.price = money.total((one.there.price, money.times(price, number)))
            one.absolute = money.total((one.absolute, money.times(abs(price), number)))
        rows = connection.execute(
            sa.select(*groups, sa.func.sum(rate)).where(of_scope).group_by(*groups)
        )
        for *group, reported in rows:
            line(*group).reported = binary.amount(reported or 0, single=False)

    def _read_here(self, old: OldScope, seconds: int, line: _LineOf) -> None:
        assert old.extent is not None
        end = old.horizon(seconds)
        assert end is not None
        query = Query(period.from_epoch(old.extent.first), end, [old.scope.identifier])
        for row in self._storage.total(query, (GROUP_TYPE, "year", "month")).rows:
            line(*row.group).here = Sums(row.points, row.qty, row.price)

    def _judge(self, connection: Connection, tenant: str | None, line: Line) -> None:
        there, here = line.there, line.here
        line.explained = binary.explains(
            line.reported, here.price, line.absolute, there.points, self._rated.single
        )
        if (there.qty, there.price) != (here.qty, here.price) or not line.explained:
            return
        if there.points == here.points:
            line.verdict = Verdict.EQUAL
        elif self._distinct(connection, tenant, line) == here.points:
            line.verdict = Verdict.MERGED

    def _distinct(self, connection: Connection, tenant: str | None, line: Line) -> int:
        """Return how many rows of a line there are, of which none has unit, period and attributes
        of another."""
        year, month = map(int, line.month.split("-"))
        metric, in_year, in_month = self._groups()
        rows = connection.execution_options(stream_results=True).execute(
            sa.select(_ROW.begin, _ROW.end, _ROW.unit, _ROW.desc).where(
                self._rated.of(tenant), metric == line.metric, in_year == year, in_month == month
            )
        )
        known = set()
        for begin, end, unit, desc in rows:
            text = json.dumps([str(begin), str(end), unit, attributes(desc)], sort_keys=True)
            known.add(hashlib.blake2b(text.encode(), digest_size=16).digest())
        return len(known)
