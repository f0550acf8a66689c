# SPDX-License-Identifier: Apache-2.0
"""Points again, from the runs that stand for them.

Invariants: the points of a page are of one state of the database; their order is that of period,
scope, metric and series (or of period, metric, scope and series), by what never changes: the id
of a scope and the keys of scope and series. What is held at a time are the runs of some periods,
however many periods there are and however often amounts change.
"""

import bisect
import itertools
from collections import defaultdict
from collections.abc import Iterator, Sequence
from decimal import Decimal
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from cloudkitty import period
from cloudkitty.dataframe import DataFrame, Points
from cloudkitty.period import Period
from cloudkitty.storage.base import Marker, Query, Scan, ScopedFrame
from cloudkitty.storage.sqlalchemy import markers, models, runs
from cloudkitty.storage.sqlalchemy.queries import Reader, Shelf, Stored

RUNS_KEPT = 20_000
"""How many runs that begin later are held with those of a period; more where it has more."""

ROWS_AHEAD = 2000
"""How many rows are fetched together where all runs are looked at."""

SERIES_AHEAD = 1000
"""How many points' series are read together."""


class PointReader(Reader):
    """Points of one query, from one transaction; by scope, or with *by_metric* by metric first."""

    def __init__(self, connection: Connection, query: Query, by_metric: bool) -> None:
        super().__init__(connection, query)
        self._by_metric = by_metric
        # The runs of a stretch of time that were read last, in the order of points.
        self._held: tuple[int, int, list[Stored]] = (0, 0, [])

    def scan(self, offset: int, limit: int | None, after: Marker | None) -> Scan:
        """Return points; see ``Storage.scan``."""
        self.refuse_purged("there are no data frames")
        slots = runs.slots(self._spans(), self.begin, self.end)
        if after is not None:
            offset += self._behind(after, slots)
        wanted = runs.page(slots, offset, limit)
        pieces = list(runs.pieces(wanted, RUNS_KEPT))
        following = None
        if wanted and (wanted[-1].slot, wanted[-1].last) != (slots[-1], slots[-1].points):
            following = self._place(wanted[-1], pieces[-1] if len(pieces) == 1 else wanted[-1:])
        return Scan(sum(slot.points for slot in slots), self._frames(pieces), following)

    # -- where points are -----------------------------------------------------------------------

    def _rank(self, stored: Stored) -> Marker:
        """Return what orders the points of one period."""
        scope = (self.accounts[stored.scope_id].scope.identifier, stored.scope_id)
        if self._by_metric:
            return (stored.metric, *scope, stored.series_id)
        return (*scope, stored.metric, stored.series_id)

    def _place(self, part: runs.Part, near: Sequence[runs.Part]) -> Marker:
        """Return the place of the last point of *part*; *near* are the periods to be read."""
        live = _living(self._ordered(near), part.slot)
        return (part.slot.begin, part.slot.end, *self._rank(live[part.last - 1]))

    def _behind(self, after: Marker, slots: Sequence[runs.Slot]) -> int:
        """Return how many points there are up to a place.

        :raises WrongMarker: it is not the place of a point.
        """
        texts = (str, str, int, int) if self._by_metric else (str, int, str, int)
        begin, end, *rank = markers.checked(after, (int, int, *texts))
        place = bisect.bisect_left(slots, (begin, end), key=lambda slot: slot[:2])
        points = sum(slot.points for slot in slots[:place])
        if place < len(slots) and slots[place][:2] == (begin, end):
            slot = slots[place]
            live = _living(self._ordered([runs.Part(slot, 0, slot.points)]), slot)
            points += bisect.bisect_right(live, tuple(rank), key=self._rank)
        return points

    # -- runs -------------------------------------------------------------------------------------

    def _spans(self) -> Iterator[tuple[int, int, int]]:
        """Yield begin, end and step of the matching runs that overlap the window."""
        if self._nothing():
            return
        table = models.runs.c
        columns = (table.series_id, models.series.c.scope_id, table.begin, table.end, table.step)
        statement = self._overlapping(columns, self.begin, self.end)
        chosen = self.attributes() if self._query.filters else None
        horizons = {key: account.horizon for key, account in self.accounts.items()}
        # Neither this program nor the database's driver holds them all.
        streamed = statement.execution_options(yield_per=ROWS_AHEAD)
        for key, scope_id, begin, end, step in self._connection.execute(streamed):
            if chosen is None or key in chosen:
                yield begin, horizons[scope_id] if end == models.OPEN else end, step

    def _ordered(self, parts: Sequence[runs.Part]) -> list[Stored]:
        """Return the matching runs that have points in these periods, and maybe others, in the
        order of points."""
        begin, end = parts[0].slot.begin, max(part.slot.begin for part in parts) + 1
        if not self._held[0] <= begin < end <= self._held[1]:
            found = sorted(self._overlapping_runs(begin, end), key=self._rank)
            self._held = (begin, end, found)
        return self._held[2]

    def _overlapping_runs(self, begin: int, end: int) -> Iterator[Stored]:
        table = models.runs.c
        columns = (
            table.series_id,
            models.series.c.scope_id,
            models.series.c.metric,
            table.begin,
            table.end,
            table.step,
            sa.type_coerce(table.qty, sa.String),
            sa.type_coerce(table.price, sa.String),
        )
        chosen = self.attributes() if self._query.filters else None
        for key, scope_id, metric, first, last, step, qty, price in self._connection.execute(
            self._overlapping(columns, begin, end)
        ):
            if chosen is None or key in chosen:
                until = self.accounts[scope_id].horizon if last == models.OPEN else last
                run = runs.Run(first, until, step, Decimal(qty), Decimal(price))
                yield Stored(key, scope_id, metric, run)

    def _overlapping(self, columns: Sequence[Any], begin: int, end: int) -> sa.Select[Any]:
        table = models.runs.c
        return self._restrict(
            sa.select(*columns)
            .join_from(models.runs, models.series, table.series_id == models.series.c.id)
            .where(table.end > begin, table.begin < end)
        )

    # -- frames -----------------------------------------------------------------------------------

    def _frames(self, pieces: Sequence[Sequence[runs.Part]]) -> Iterator[ScopedFrame]:
        shelf = Shelf(self._connection)
        for piece in pieces:
            ordered = self._ordered(piece)
            live = runs.sweep([stored.run for stored in ordered], [part.slot for part in piece])
            for part, places in zip(piece, live, strict=True):
                slot = part.slot
                many = [ordered[place] for place in places[part.first : part.last]]
                stretch = Period(period.from_epoch(slot.begin), period.from_epoch(slot.end))
                for group in _grouped(many, self._by_metric):
                    shelf.fetch(group.keys)
                    usage: dict[str, Points] = defaultdict(Points)
                    for stored in group.points:
                        series = shelf.series[stored.series_id]
                        usage[stored.metric].append(series, stored.run.qty, stored.run.price)
                    scope = self.accounts[group.points[0].scope_id].scope
                    yield ScopedFrame(scope, DataFrame(stretch, usage))


def _living(ordered: Sequence[Stored], slot: runs.Slot) -> list[Stored]:
    """Return the runs that have the points of this period."""
    step = slot.end - slot.begin
    return [
        stored
        for stored in ordered
        if stored.run.begin <= slot.begin < stored.run.end
        and stored.run.step == step
        and (slot.begin - stored.run.begin) % step == 0
    ]


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
