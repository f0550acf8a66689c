# SPDX-License-Identifier: Apache-2.0
"""Arithmetic of runs: stretches of consecutive points of equal quantity and price.

A run ``[begin, end)`` with a step stands for the points that start at ``begin``,
``begin + step``, ... before ``end``, all with the same quantity and price. Instants are whole
Unix seconds.

Invariants: a run holds at least one point; ``end - begin`` is a multiple of ``step``; in
canonical form no two runs of a series can be joined. Nothing here reads a clock or a database.
"""

import bisect
import decimal
import heapq
import itertools
import operator
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from typing import NamedTuple, TypeVar

from cloudkitty import money

Key = TypeVar("Key", bound=Hashable)


class Run(NamedTuple):
    """Consecutive points of one series; quantity and price are those of each point."""

    begin: int
    end: int
    step: int
    qty: Decimal
    price: Decimal


_BEGIN_AND_STEP = operator.itemgetter(0, 2)


class Open(NamedTuple):
    """A run that is valid up to its scope's horizon, and the key of its series."""

    series_id: int
    begin: int
    step: int
    qty: Decimal
    price: Decimal


def _span(begin: int, end: int, step: int, first: int, last: int) -> tuple[int, int]:
    """Return the indices ``[i, j)`` of a run's points that start in ``[first, last)``."""
    points = (end - begin) // step
    return max(0, -((begin - first) // step)), min(points, -((begin - last) // step))


def points(begin: int, end: int, step: int, first: int, last: int) -> int:
    """Return how many points of a run start in ``[first, last)``."""
    i, j = _span(begin, end, step, first, last)
    return max(0, j - i)


def starts(begin: int, end: int, step: int, first: int, last: int) -> range:
    """Return the starts of a run's points in ``[first, last)``."""
    i, j = _span(begin, end, step, first, last)
    return range(begin + i * step, begin + max(i, j) * step, step)


def count(run: Run, begin: int, end: int) -> int:
    """Return how many points of *run* start in ``[begin, end)``."""
    return points(run.begin, run.end, run.step, begin, end)


def clip(run: Run, begin: int, end: int) -> Run | None:
    """Return the points of *run* that start in the window, ``None`` if there are none."""
    first, last = _span(run.begin, run.end, run.step, begin, end)
    if first >= last:
        return None
    return run._replace(begin=run.begin + first * run.step, end=run.begin + last * run.step)


def cut(run: Run, begin: int, end: int) -> list[Run]:
    """Return *run* without the points that start in the window: none, one or two runs."""
    first, last = _span(run.begin, run.end, run.step, begin, end)
    if first >= last:
        return [run]
    pieces = []
    if first > 0:
        pieces.append(run._replace(end=run.begin + first * run.step))
    if run.begin + last * run.step < run.end:
        pieces.append(run._replace(begin=run.begin + last * run.step))
    return pieces


def merge(runs: Iterable[Run]) -> list[Run]:
    """Return the same points in canonical form, ordered by begin."""
    ordered = sorted(runs, key=_BEGIN_AND_STEP)
    if len(ordered) < 2:
        return ordered
    merged: list[Run] = []
    open_ends: dict[tuple[int, int], int] = {}
    for run in ordered:
        place = open_ends.pop((run.begin, run.step), None)
        if place is not None:
            before = merged[place]
            if before.qty == run.qty and before.price == run.price:
                merged[place] = before._replace(end=run.end)
                open_ends[run.end, run.step] = place
                continue
        open_ends[run.end, run.step] = len(merged)
        merged.append(run)
    return merged


def replace(runs: Iterable[Run], begin: int, end: int, content: Iterable[Run]) -> list[Run]:
    """Return *runs* with what starts in the window replaced by *content*, in canonical form."""
    kept = [piece for run in runs for piece in cut(run, begin, end)]
    return merge([*kept, *content])


def put(runs: Iterable[Run], points: Iterable[Run]) -> list[Run]:
    """Return *runs* with *points* (runs of one point each) added, in canonical form; a point
    replaces the one that has its start and step."""
    kept = list(runs)
    added = list(points)
    for point in added:
        kept = [
            piece
            for run in kept
            for piece in (
                cut(run, point.begin, point.begin + 1)
                if run.step == point.step and run.begin <= point.begin < run.end
                else [run]
            )
        ]
    return merge([*kept, *added])


def total(runs: Iterable[Run], begin: int, end: int) -> tuple[Decimal, Decimal]:
    """Return the exact sums of quantity and price over the points in the window."""
    qtys, prices = [], []
    for run in runs:
        number = count(run, begin, end)
        qtys.append(money.times(run.qty, number))
        prices.append(money.times(run.price, number))
    return money.total(qtys), money.total(prices)


def advance(
    current: Mapping[Key, Open], content: Mapping[Key, tuple[Decimal, Decimal]], step: int
) -> tuple[list[tuple[Key, Open]], list[Key]]:
    """Compare the open runs of a scope with the content of its next period.

    :returns: the open runs that end where the period begins, and the series whose point does
        not continue an open run.
    """
    opened = []
    closed = []
    continued = 0
    for series, (qty, price) in content.items():
        run = current.get(series)
        if run is None:
            opened.append(series)
        elif run.qty == qty and run.price == price and run.step == step:
            continued += 1
        else:
            opened.append(series)
            closed.append((series, run))
    if continued + len(closed) < len(current):
        closed += [item for item in current.items() if item[0] not in content]
    return closed, opened


class Slot(NamedTuple):
    """One period on a time line of many runs: its points' start and end, how many there are, and
    how many of them are the first of their run."""

    begin: int
    end: int
    points: int
    fresh: int = 0


def slots(spans: Iterable[tuple[int, int, int]], begin: int, end: int) -> list[Slot]:
    """Return the periods in the window that have points, in order, with the number of points.

    *spans* are begin, end and step of each run, and are not kept: work grows with the number of
    runs and of periods, memory with the number of periods.
    """
    changes: dict[tuple[int, int], dict[int, list[int]]] = {}
    for first, last, step in spans:
        i, j = _span(first, last, step, begin, end)
        if i >= j:
            continue
        grid = changes.setdefault((step, first % step), {})
        grid.setdefault(first + i * step, [0, 0])[0] += 1
        grid.setdefault(first + j * step, [0, 0])[1] += 1
    lines = [_line(step, grid) for (step, _phase), grid in sorted(changes.items())]
    return _joined(heapq.merge(*lines))


def _line(step: int, grid: Mapping[int, Sequence[int]]) -> Iterator[Slot]:
    """Yield the periods of one grid from the numbers of runs that begin and end at instants."""
    live = 0
    for instant, following in itertools.pairwise(sorted(grid)):
        fresh, ended = grid[instant]
        live += fresh - ended
        if live:
            yield Slot(instant, instant + step, live, fresh)
            for start in range(instant + step, following, step):
                yield Slot(start, start + step, live)


def _joined(ordered: Iterable[Slot]) -> list[Slot]:
    joined: list[Slot] = []
    for slot in ordered:
        if joined and joined[-1][:2] == slot[:2]:
            before = joined[-1]
            joined[-1] = before._replace(
                points=before.points + slot.points, fresh=before.fresh + slot.fresh
            )
        else:
            joined.append(slot)
    return joined


def sweep(runs: Sequence[Run], ordered: Iterable[Slot]) -> Iterator[list[int]]:
    """Yield, for each of these periods (in order), the places of the runs that have a point there.

    A run is looked at in the periods through which it lasts, and not in others.
    """
    coming = sorted(range(len(runs)), key=lambda place: runs[place].begin)
    begun = 0
    live: list[int] = []
    for begin, end, *_points in ordered:
        first = begun
        while begun < len(coming) and runs[coming[begun]].begin <= begin:
            begun += 1
        live = [place for place in live + coming[first:begun] if runs[place].end > begin]
        if begun > first:
            live.sort()
        step = end - begin
        yield [
            place
            for place in live
            if runs[place].step == step and (begin - runs[place].begin) % step == 0
        ]


class Level(NamedTuple):
    """One period, how many points it has, and what their quantities and prices add up to."""

    begin: int
    end: int
    points: int
    qty: Decimal
    price: Decimal


def levels(runs: Iterable[Run], begin: int, end: int) -> list[Level]:
    """Return the periods in the window that have points, with exact sums.

    Work grows with the number of runs and of periods, not with points: a sum moves only where a
    run begins or ends.
    """
    changes: dict[tuple[int, int], dict[int, Level]] = {}
    with decimal.localcontext(money.EXACT):
        for run in runs:
            clipped = clip(run, begin, end)
            if clipped is None:
                continue
            grid = changes.setdefault((run.step, run.begin % run.step), {})
            for instant, sign in ((clipped.begin, 1), (clipped.end, -1)):
                before = grid.get(instant, Level(instant, instant, 0, money.ZERO, money.ZERO))
                grid[instant] = before._replace(
                    points=before.points + sign,
                    qty=before.qty + run.qty * sign,
                    price=before.price + run.price * sign,
                )
        return [level for (step, _phase), grid in changes.items() for level in _climb(step, grid)]


def _climb(step: int, grid: Mapping[int, Level]) -> list[Level]:
    """Return the periods of one grid from the changes of the sums."""
    found = []
    points, qty, price = 0, money.ZERO, money.ZERO
    for instant, following in itertools.pairwise(sorted(grid)):
        change = grid[instant]
        points, qty, price = points + change.points, qty + change.qty, price + change.price
        if points:
            found += [
                Level(start, start + step, points, qty, price)
                for start in range(instant, following, step)
            ]
    return found


class Part(NamedTuple):
    """The points ``[first, last)`` of a period, in its order of points."""

    slot: Slot
    first: int
    last: int


def page(ordered: Sequence[Slot], offset: int, limit: int | None) -> list[Part]:
    """Return what a page of points has of each period that it touches."""
    wanted = []
    remaining = sum(slot.points for slot in ordered) if limit is None else limit
    for slot in ordered:
        if offset >= slot.points:
            offset -= slot.points
            continue
        if remaining <= 0:
            break
        last = min(slot.points, offset + remaining)
        wanted.append(Part(slot, offset, last))
        remaining -= last - offset
        offset = 0
    return wanted


def pieces(parts: Iterable[Part], most: int) -> Iterator[list[Part]]:
    """Cut a page into stretches of time whose runs can be held together.

    Into a stretch come no more than *most* runs, or as many as there are at its begin, beyond
    those that are there at its begin: however often all runs change, each is looked at about
    twice.
    """
    piece: list[Part] = []
    fresh = 0
    for part in parts:
        if piece:
            fresh += part.slot.fresh
            if fresh > max(most, piece[0].slot.points):
                yield piece
                piece, fresh = [], 0
        piece.append(part)
    if piece:
        yield piece


class Buckets:
    """Adjoining stretches of time, each with a label, into which points are counted."""

    def __init__(self, stretches: Sequence[tuple[int, int, Key]]) -> None:
        self._stretches = stretches
        self._begins = [stretch[0] for stretch in stretches]

    def counts(self, begin: int, end: int, step: int) -> Iterator[tuple[Hashable, int]]:
        """Yield the label of each stretch in which points of a run start, with their number."""
        place = max(0, bisect.bisect_right(self._begins, begin) - 1)
        for first, last, label in self._stretches[place:]:
            if first >= end:
                return
            number = points(begin, end, step, first, last)
            if number:
                yield label, number
