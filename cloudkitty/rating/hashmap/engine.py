# SPDX-License-Identifier: Apache-2.0
"""Hashmap's arithmetic: from the rules that act for one scope at one instant, and the points of
a frame, to prices.

Invariants: pure, no clock, no database, no log; every operation is rounded half to even to 28
significant digits, in the order ((rate * flat) * qty), then the threshold; what is cached
changes the speed and never a price. What acts:

* a mapping of a service on all its points, one of a field where the attribute's text equals
  its value; within a group rates multiply, and of flat costs the largest counts;
* of all thresholds that a point reaches in a group one, that of the highest level above -1;
  on equal levels the one met first: the service's, then by field as created;
* the groups' amounts add up, and are added to the price that the point has already.
"""

import datetime
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import NamedTuple

from cloudkitty import money
from cloudkitty.dataframe import DataFrame, Points, Scalar, Series, Shape
from cloudkitty.rating.hashmap.rules import Mapping, RuleType, Threshold

SERIES_SLACK = 10_000
"""How many series of the past a service's rules may remember beside twice the living ones."""

PRICERS_KEPT = 100_000
"""Most combinations of attribute values that a service's rules are kept compiled for."""

LOWEST_LEVEL = Decimal(-1)
"""Only a threshold above this level can act."""

_add = money.RATING.add
_multiply = money.RATING.multiply


class _Tier(NamedTuple):
    """A threshold on the quantity."""

    level: Decimal
    flat: bool
    cost: Decimal


class _Tally:
    """What the rules of one group make of one combination of attribute values."""

    __slots__ = ("best", "flat", "rate", "tiers")

    def __init__(self) -> None:
        self.flat = money.ZERO
        self.rate = money.ONE
        self.best: Threshold | None = None
        self.tiers: list[_Tier] = []

    def apply(self, mapping: Mapping) -> None:
        if mapping.type is RuleType.RATE:
            self.rate = _multiply(self.rate, mapping.cost)
        else:
            self.flat = max(self.flat, mapping.cost)

    def consider_service(self, threshold: Threshold) -> None:
        if threshold.level > LOWEST_LEVEL:
            flat = threshold.type is RuleType.FLAT
            self.tiers.append(_Tier(threshold.level, flat, threshold.cost))

    def consider_field(self, threshold: Threshold) -> None:
        if threshold.level > (LOWEST_LEVEL if self.best is None else self.best.level):
            self.best = threshold

    def price(self) -> "_GroupPrice":
        above = _multiply(self.rate, self.flat)
        best, tiers = self.best, self.tiers
        if best is None:
            below = above
        else:
            tiers = [tier for tier in tiers if tier.level >= best.level]
            if best.type is RuleType.FLAT:
                below = _multiply(self.rate, _add(self.flat, best.cost))
            else:
                below = _multiply(_multiply(self.rate, best.cost), self.flat)
        return _GroupPrice(below, above, tuple(sorted(tiers, reverse=True)))


class _GroupPrice(NamedTuple):
    """The price in one group as a function of the quantity: ``below`` a unit until the lowest
    tier is reached, then ``above`` a unit, changed by the highest tier reached."""

    below: Decimal
    above: Decimal
    tiers: tuple[_Tier, ...]

    def amount(self, qty: Decimal) -> Decimal:
        for level, flat, cost in self.tiers:
            if qty >= level:
                amount = _multiply(self.above, qty)
                return _add(amount, cost) if flat else _multiply(amount, cost)
        return _multiply(self.below, qty)


class _Pricer(NamedTuple):
    """The price of a point: ``unit`` times its quantity or, if there is a function, what that makes
    of the quantity. ``skipped`` are the fields whose thresholds had no number to look at."""

    unit: Decimal
    amount: Callable[[Decimal], Decimal] | None
    skipped: tuple[str, ...]


def _pricer(tallies: Iterable[_Tally], skipped: Sequence[str]) -> _Pricer:
    groups = [group for group in (tally.price() for tally in tallies) if group.below or group.tiers]
    if not groups:
        return _Pricer(money.ZERO, None, tuple(skipped))
    if len(groups) == 1:
        only = groups[0]
        return _Pricer(only.below, only.amount if only.tiers else None, tuple(skipped))

    def amount(qty: Decimal) -> Decimal:
        total = money.ZERO
        for group in groups:
            total = _add(total, group.amount(qty))
        return total

    return _Pricer(money.ZERO, amount, tuple(skipped))


@dataclass(slots=True)
class FieldRules:
    """The rules of one attribute that act in one rule set."""

    name: str
    mappings: dict[str, list[Mapping]]
    thresholds: list[Threshold]

    def text(self, value: Scalar) -> str | None:
        """Return what of an attribute's value the price can depend on, ``None`` for nothing."""
        text = value if isinstance(value, str) else str(value)
        return text if self.thresholds or text in self.mappings else None


def _number(text: str) -> Decimal | None:
    """Return the number that an attribute's text stands for, ``None`` if it is none."""
    try:
        return money.amount(text)
    except money.NotAnAmount:
        return None


_Texts = tuple[str | None, ...]


class ServiceRules:
    """The rules of one service that act for one scope at one instant.

    A threshold does not act where its field's value is no number. ``skipped`` counts such series
    by field, and *on_skipped* is told of each field once.
    """

    def __init__(
        self,
        mappings: list[Mapping],
        thresholds: list[Threshold],
        fields: list[FieldRules],
        on_skipped: Callable[[str], None],
    ) -> None:
        self._on_skipped = on_skipped
        self._mappings = mappings
        self._thresholds = thresholds
        self._fields = fields
        self._pricers: dict[_Texts, _Pricer] = {}
        self._bound: dict[Series, _Pricer] = {}
        self._at: datetime.datetime | None = None
        self._living = 0
        self.skipped: Counter[str] = Counter()

    def rate(self, points: Points, at: datetime.datetime) -> None:
        """Add to the prices of *points*, which belong to the period that begins at *at*."""
        if self._fields:
            self._forget_the_dead(at, len(points))
            amounts = self._amounts(points)
        else:
            unit, amount, _ = self._price_of(())
            if amount is None:
                amounts = [_multiply(unit, qty) for qty in points.qty]
            else:
                amounts = list(map(amount, points.qty))
        if any(points.price):
            amounts = list(map(_add, points.price, amounts))
        points.price = amounts

    def _amounts(self, points: Points) -> list[Decimal]:
        find = self._bound.__getitem__
        try:
            pricers = list(map(find, points.series))
        except KeyError:
            self._bind(points.series)
            pricers = list(map(find, points.series))
        return [
            _multiply(unit, qty) if amount is None else amount(qty)
            for (unit, amount, _), qty in zip(pricers, points.qty, strict=True)
        ]

    def _bind(self, all_series: Iterable[Series]) -> None:
        """Remember the pricer of each series."""
        shape: Shape | None = None
        places: list[tuple[FieldRules, int | None]] = []
        for series in all_series:
            if series in self._bound:
                continue
            if series.shape is not shape:
                shape = series.shape
                places = [(rules, _place(shape, rules.name)) for rules in self._fields]
            values = series.values
            pricer = self._price_of(
                tuple(
                    [
                        None if place is None else rules.text(values[place])
                        for rules, place in places
                    ]
                )
            )
            self._bound[series] = pricer
            for name in pricer.skipped:
                if name not in self.skipped:
                    self._on_skipped(name)
                self.skipped[name] += 1

    def _price_of(self, texts: _Texts) -> _Pricer:
        pricer = self._pricers.get(texts)
        if pricer is None:
            if len(self._pricers) >= PRICERS_KEPT:
                self._pricers.clear()
            pricer = self._pricers[texts] = self._compile(texts)
        return pricer

    def _compile(self, texts: _Texts) -> _Pricer:
        tallies: dict[str | None, _Tally] = {}

        def tally(group: str | None) -> _Tally:
            return tallies.setdefault(group, _Tally())

        for mapping in self._mappings:
            tally(mapping.group).apply(mapping)
        for threshold in self._thresholds:
            tally(threshold.group).consider_service(threshold)
        skipped = []
        for rules, text in zip(self._fields, texts, strict=False):
            if text is None:
                continue
            for mapping in rules.mappings.get(text, ()):
                tally(mapping.group).apply(mapping)
            if rules.thresholds:
                number = _number(text)
                if number is None:
                    skipped.append(rules.name)
                    continue
                for threshold in rules.thresholds:
                    if number >= threshold.level:
                        tally(threshold.group).consider_field(threshold)
        return _pricer(tallies.values(), skipped)

    def _forget_the_dead(self, at: datetime.datetime, count: int) -> None:
        """Start afresh when most of the series remembered have not been seen for a period."""
        if at != self._at:
            if len(self._bound) > 2 * self._living + SERIES_SLACK:
                self._bound.clear()
            self._at, self._living = at, 0
        self._living += count


def _place(shape: Shape, name: str) -> int | None:
    """Return where in a series' values the attribute is; a groupby one hides a metadata one."""
    if name in shape.groupby:
        return shape.groupby.index(name)
    if name in shape.metadata:
        return len(shape.groupby) + shape.metadata.index(name)
    return None


class RuleSet:
    """The rules of all services that act for one scope at one instant."""

    def __init__(self, services: dict[str, ServiceRules]) -> None:
        self._services = services

    def rate(self, frame: DataFrame) -> DataFrame:
        """Add to the prices of *frame*, in place, and return it."""
        for metric, points in frame.usage.items():
            rules = self._services.get(metric)
            if rules is not None:
                rules.rate(points, frame.period.begin)
        return frame
