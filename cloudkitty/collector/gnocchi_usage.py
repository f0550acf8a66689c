# SPDX-License-Identifier: Apache-2.0
"""What the measures of one resource say about a period: a raw value, and its share of the period.

A measure is the value of a granule, a stretch of time as long as the granularity. Levels (mean,
max, ...) hold for their granules; amounts (sum, count, the rates of counters) were used in them.

Invariants: pure; time is counted in whole microseconds since 1970; every measure of the period
counts, and those outside only to see whether a resource was there; the shares of one resource
are never more than one together.
"""

import itertools
import math
import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any, NamedTuple

from cloudkitty import money
from cloudkitty.period import UTC, Period

SECOND = 1_000_000
"""In the unit in which time is counted here."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_TICK = timedelta(microseconds=1)


class Granule(NamedTuple):
    """One measure: when, for how long, and the value."""

    begin: int
    length: int
    value: Decimal

    @property
    def end(self) -> int:
        return self.begin + self.length


class Held(NamedTuple):
    """A level and for how long it was held, in a stretch of time."""

    duration: int
    value: Decimal


class Part(NamedTuple):
    """The usage between two changes of a resource's attributes. ``raw`` is converted to a
    quantity, of which ``share`` counts."""

    raw: Decimal | Fraction
    share: Fraction | int


def instant(written: str) -> int:
    """Return the microseconds of a time as Gnocchi writes it; without zone it is UTC."""
    moment = datetime.fromisoformat(written)
    return (moment.replace(tzinfo=moment.tzinfo or UTC) - _EPOCH) // _TICK


class Reader:
    """Reads measures; ``dropped`` counts those that were no numbers."""

    def __init__(self) -> None:
        self.dropped = 0
        self._instants: dict[str, int] = {}

    def granules(self, measures: Iterable[Sequence[Any]]) -> list[Granule]:
        """Return ``[[time, granularity, value], ...]`` in the order of time, for each granularity;
        of two with one time and granularity the last counts."""
        found: dict[tuple[int, int], Granule] = {}
        instants = self._instants
        for written, granularity, value in measures:
            begin = instants.get(written)
            if begin is None:
                begin = instants[written] = instant(written)
            length = int(granularity * SECOND)
            if length < 1:
                raise ValueError(f"a granularity of {granularity} seconds")
            number = _number(value)
            if number is None:
                self.dropped += 1
            else:
                found[length, begin] = Granule(begin, length, number)
        return [found[key] for key in sorted(found)]


def _number(value: Any) -> Decimal | None:
    """A finite number, ``None`` for anything that stands for none (``null``, ``"NaN"``)."""
    if value is None or isinstance(value, bool):
        return None
    number = value if isinstance(value, Decimal) else Decimal(value)
    return number if number.is_finite() else None


def one_granularity(granules: list[Granule], period: Period) -> list[Granule]:
    """Return the granules of that granularity which says most about the period: the finest,
    among those that divide the period if there are such.

    Gnocchi keeps fine measures for a shorter time: a finer granularity without any measure in a
    granule of the next coarser one has begun to be forgotten, and is not taken.
    """
    by_length: dict[int, list[Granule]] = {}
    for granule in granules:
        by_length.setdefault(granule.length, []).append(granule)
    if len(by_length) < 2:
        return granules
    begin, end = instants(period)
    inside = {
        length: [one for one in found if one.begin < end and one.end > begin]
        for length, found in by_length.items()
    }
    lengths = sorted(length for length, found in inside.items() if found)
    dividing = [length for length in lengths if not (end - begin) % length and not begin % length]
    candidates = dividing or lengths
    if not candidates:
        return []
    chosen = candidates[-1]
    for finer in reversed(candidates[:-1]):
        origin = inside[chosen][0].begin
        starts = {one.begin - (one.begin - origin) % chosen for one in inside[finer]}
        if any(one.begin not in starts for one in inside[chosen]):
            break
        chosen = finer
    return by_length[chosen]


def instants(period: Period) -> tuple[int, int]:
    """Return begin and end of a period in the unit of this module."""
    return ((period.begin - _EPOCH) // _TICK, (period.end - _EPOCH) // _TICK)


def levels(
    granules: Sequence[Granule],
    period: Period,
    cuts: Sequence[int],
    method: str,
    *,
    interval: int,
    is_whole: bool,
) -> list[Part | None]:
    """Return the level of a resource before, between and after the instants *cuts*, and for what
    share of the period it was there; ``None`` where it was not.

    A measure stands for its granule, and for *interval* seconds, after which the agent measures
    again; at most until the next measure. One that comes a little late (within an interval and a
    granule) leaves no gap. A resource without a measure in the period was not there. With
    *is_whole* one measure makes a whole period.
    """
    begin, end = instants(period)
    if not any(one.begin < end and one.end > begin for one in granules):
        return [None] * (len(cuts) + 1)
    stretches = _stretches(granules, interval * SECOND)
    segments: list[list[Held]] = []
    since = begin
    for until in (*cuts, end):
        segments.append(
            [
                Held(min(stop, until) - max(start, since), value)
                for start, stop, value in stretches
                if min(stop, until) > max(start, since)
            ]
        )
        since = max(since, until)
    durations = [sum(held.duration for held in segment) for segment in segments]
    whole = sum(durations) if is_whole else end - begin
    combine = _combination(method)
    return [
        Part(combine(segment), 1 if duration == whole else Fraction(duration, whole))
        if segment
        else None
        for segment, duration in zip(segments, durations, strict=True)
    ]


def _stretches(granules: Sequence[Granule], interval: int) -> list[tuple[int, int, Decimal]]:
    """From when until when each measure stands."""
    found = []
    for index, granule in enumerate(granules):
        until = granule.begin + max(granule.length, interval)
        if index + 1 < len(granules):
            following = granules[index + 1].begin
            is_late = following - granule.begin <= granule.length + interval
            until = following if is_late else min(until, following)
        found.append((granule.begin, until, granule.value))
    return found


def amounts(
    granules: Sequence[Granule], period: Period, cuts: Sequence[int], *, is_rate: bool
) -> list[Part | None]:
    """Return what was used in the period, and how much of that before, between and after the
    instants *cuts*; ``None`` where nothing was measured.

    What was used in a granule is spread evenly over it. With *is_rate* a negative value, which
    means that a counter was reset, counts nothing.
    """
    begin, end = instants(period)
    total = [Fraction(0)] * (len(cuts) + 1)
    durations = [0] * (len(cuts) + 1)
    bounds = [begin, *cuts, end]
    for granule in granules:
        value = Fraction(granule.value)
        if is_rate and value < 0:
            value = Fraction(0)
        for index, (since, until) in enumerate(itertools.pairwise(bounds)):
            duration = min(granule.end, until) - max(granule.begin, since)
            if duration > 0:
                durations[index] += duration
                total[index] += value * duration / granule.length
    raw, measured = sum(total, Fraction(0)), sum(durations)
    # Where nothing was used, an offset is shared by time.
    shares = [
        part / raw if raw else Fraction(part, measured or 1)
        for part in (total if raw else durations)
    ]
    return [
        Part(raw, share) if duration else None
        for share, duration in zip(shares, durations, strict=True)
    ]


def combined(method: str, values: Sequence[Decimal | Fraction]) -> Decimal | Fraction:
    """Return one value for several resources that count as one."""
    if len(values) == 1:
        return values[0]
    return _RE_AGGREGATIONS[method.removeprefix(RATE)](values)


def split(parts: Sequence[tuple[Decimal, Fraction | int]]) -> list[Decimal]:
    """Return each quantity times its share, rounded so that they add up to the rounded sum: what
    is split never becomes more."""
    found: list[Decimal] = []
    exact, rounded = Fraction(0), money.ZERO
    for quantity, share in parts:
        if share == 1 and len(parts) == 1:
            return [quantity]
        exact += Fraction(quantity) * share
        sum_now = money.amount(exact)
        found.append(money.EXACT.subtract(sum_now, rounded))
        rounded = sum_now
    return found


def _mean(held: Sequence[Held]) -> Decimal | Fraction:
    first = held[0].value
    if all(one.value == first for one in held):
        return first
    weighted = money.total(money.EXACT.multiply(one.value, Decimal(one.duration)) for one in held)
    return Fraction(weighted) / sum(one.duration for one in held)


def _percentile(percent: int) -> Callable[[Sequence[Held]], Decimal]:
    def nearest_rank(held: Sequence[Held]) -> Decimal:
        values = sorted(one.value for one in held)
        return values[math.ceil(len(values) * percent / 100) - 1]

    return nearest_rank


_LEVELS: Mapping[str, Callable[[Sequence[Held]], Decimal | Fraction]] = {
    "mean": _mean,
    "std": _mean,
    "max": lambda held: max(one.value for one in held),
    "min": lambda held: min(one.value for one in held),
    "first": lambda held: held[0].value,
    "last": lambda held: held[-1].value,
    "median": lambda held: _median([one.value for one in held]),
}

_AMOUNTS = ("sum", "count")

AGGREGATIONS = (*_LEVELS, *_AMOUNTS)
"""Besides these there are percentiles, ``1pct`` to ``99pct``, and rates (``rate:mean``)."""

RATE = "rate:"


def is_amount(method: str, re_aggregation: str) -> bool:
    """Return whether the measures of these methods are amounts, used up; else they are levels."""
    return method in _AMOUNTS or is_rate(method, re_aggregation)


def is_rate(method: str, re_aggregation: str) -> bool:
    """Return whether the measures of these methods are the growth of counters."""
    return method.startswith(RATE) or re_aggregation.startswith(RATE)


def _combination(method: str) -> Callable[[Sequence[Held]], Decimal | Fraction]:
    return _LEVELS.get(method) or _percentile(int(method.removesuffix("pct")))


def _sum(values: Sequence[Decimal | Fraction]) -> Fraction:
    return sum([Fraction(value) for value in values], Fraction(0))


def _median(values: Sequence[Decimal | Fraction]) -> Fraction:
    return statistics.median([Fraction(value) for value in values])


_RE_AGGREGATIONS: Mapping[str, Callable[[Sequence[Decimal | Fraction]], Decimal | Fraction]] = {
    "max": max,
    "min": min,
    "sum": lambda values: _sum(values),
    "mean": lambda values: _sum(values) / len(values),
    "median": _median,
    "count": lambda values: Decimal(len(values)),
}

RE_AGGREGATIONS_OF_MANY = tuple(_RE_AGGREGATIONS)
"""How several resources with one key become one."""
