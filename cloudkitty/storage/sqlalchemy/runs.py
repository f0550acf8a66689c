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
    merged: list[Run] = []
    open_ends: dict[tuple[int, int], int] = {}
    for run in sorted(runs, key=lambda run: (run.begin, run.step)):
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
                cut(run, point.begin, point.begin + 1) if run.step == point.step else [run]
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
    """One period on a time line of many runs: its points' start and end, and how many there are."""

    begin: int
    end: int
    points: int


def slots(runs: Iterable[Run], begin: int, end: int) -> list[Slot]:
    """Return the periods in the window that have points, in order, with the number of points.

    Work grows with the number of runs and of periods, not with points.
    """
    changes: dict[tuple[int, int], dict[int, int]] = {}
    for run in runs:
        clipped = clip(run, begin, end)
        if clipped is None:
            continue
        grid = changes.setdefault((run.step, run.begin % run.step), {})
        grid[clipped.begin] = grid.get(clipped.begin, 0) + 1
        grid[clipped.end] = grid.get(clipped.end, 0) - 1
    lines = [_line(step, grid) for (step, _phase), grid in sorted(changes.items())]
    return _joined(heapq.merge(*lines))


def _line(step: int, grid: Mapping[int, int]) -> Iterator[Slot]:
    """Yield the periods of one grid from the changes of the number of live runs."""
    instants = sorted(grid)
    live = 0
    for instant, following in itertools.pairwise(instants):
        live += grid[instant]
        if live:
            for start in range(instant, following, step):
                yield Slot(start, start + step, live)


def _joined(ordered: Iterable[Slot]) -> list[Slot]:
    joined: list[Slot] = []
    for slot in ordered:
        if joined and joined[-1][:2] == slot[:2]:
            joined[-1] = joined[-1]._replace(points=joined[-1].points + slot.points)
        else:
            joined.append(slot)
    return joined


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


def page(
    ordered: Sequence[Slot], offset: int, limit: int | None
) -> list[tuple[Slot, int, int | None]]:
    """Return the periods that a page of points touches, each with how many of its points to skip
    and how many to take at most (``None``: all)."""
    wanted = []
    remaining = limit
    for slot in ordered:
        if offset >= slot.points:
            offset -= slot.points
            continue
        if remaining is not None and remaining <= 0:
            break
        wanted.append((slot, offset, remaining))
        if remaining is not None:
            remaining -= slot.points - offset
        offset = 0
    return wanted


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
