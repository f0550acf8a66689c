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
import decimal
import functools
import operator
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from decimal import Decimal

from cloudkitty import money
from cloudkitty.dataframe import DataFrame, Points, Series, Shape
from cloudkitty.rating.hashmap.rules import Mapping, RuleType, Threshold

SERIES_SLACK = 10_000
"""How many series of the past a service's rules may remember beside twice the living ones."""

PRICES_KEPT = 100_000
"""Most combinations of attribute values that a service's rules are kept compiled for."""

LOWEST_LEVEL = Decimal(-1)
"""Only a threshold above this level can act."""

Amount = Callable[[Decimal], Decimal]
"""From a quantity to what it costs; to be called in the context ``money.RATING``."""

Price = tuple[Decimal, Amount | None]
"""The price of a unit or, if there is a function, the amount."""


class _Tally:
    """What the rules of one group make of one combination of attribute values."""

    __slots__ = ("best", "flat", "rate", "tiers")

    def __init__(self) -> None:
        self.flat = money.ZERO
        self.rate = money.ONE
        self.best: Threshold | None = None
        self.tiers: list[Threshold] = []

    def copy(self) -> "_Tally":
        """Return a tally that goes on from here with the rules of fields."""
        other = _Tally()
        other.flat, other.rate, other.tiers = self.flat, self.rate, self.tiers
        return other

    def apply(self, mapping: Mapping) -> None:
        if mapping.type is RuleType.RATE:
            self.rate = self.rate * mapping.cost
        elif mapping.cost > self.flat:
            self.flat = mapping.cost

    def consider_service(self, threshold: Threshold) -> None:
        if threshold.level > LOWEST_LEVEL:
            self.tiers.append(threshold)

    def consider_field(self, threshold: Threshold) -> None:
        if threshold.level > (LOWEST_LEVEL if self.best is None else self.best.level):
            self.best = threshold

    def price(self) -> Price:
        unit = self.rate * self.flat
        best, tiers = self.best, self.tiers
        if best is None:
            below = unit
        else:
            tiers = [tier for tier in tiers if tier.level >= best.level]
            if best.type is RuleType.FLAT:
                below = self.rate * (self.flat + best.cost)
            else:
                below = self.rate * best.cost * self.flat
        return below, _tiered(below, unit, tiers) if tiers else None


def _tiered(below: Decimal, unit: Decimal, thresholds: Sequence[Threshold]) -> Amount:
    """Return a price of *below* a unit up to the lowest of *thresholds*, then of *unit* a unit,
    changed by the highest threshold reached."""
    falling = sorted(thresholds, key=lambda threshold: threshold.level, reverse=True)
    tiers = [(tier.level, tier.cost, tier.type is RuleType.FLAT) for tier in falling]
    lowest = falling[-1].level

    def amount(qty: Decimal) -> Decimal:
        if qty >= lowest:
            for level, cost, flat in tiers:
                if qty >= level:
                    return unit * qty + cost if flat else unit * qty * cost
        return below * qty

    return amount


def _sum(prices: Iterable[Price]) -> Price:
    """Return the prices of several groups as one."""
    prices = [price for price in prices if price[0] or price[1]]
    if not prices:
        return money.ZERO, None
    if len(prices) == 1:
        return prices[0]
    units = tuple([unit for unit, amount in prices if amount is None])
    if len(units) == len(prices):
        return money.ZERO, functools.partial(_of_units, units)
    return money.ZERO, functools.partial(_of_prices, tuple(prices))


def _of_units(units: Sequence[Decimal], qty: Decimal) -> Decimal:
    total = money.ZERO
    for unit in units:
        total += unit * qty
    return total


def _of_prices(prices: Sequence[Price], qty: Decimal) -> Decimal:
    total = money.ZERO
    for unit, amount in prices:
        total += unit * qty if amount is None else amount(qty)
    return total


class _Acting:
    """The rules of a field that act on some values of it; ``skipped`` names the field where its
    thresholds would act if the value were a number."""

    __slots__ = ("mappings", "skipped", "thresholds")

    def __init__(
        self,
        mappings: Sequence[Mapping] = (),
        thresholds: Sequence[Threshold] = (),
        skipped: tuple[str, ...] = (),
    ) -> None:
        self.mappings = mappings
        self.thresholds = thresholds
        self.skipped = skipped


_NOTHING = _Acting()


class FieldRules(dict[str, _Acting]):
    """The rules of one field that act for one scope at one instant, by the attribute's text.

    Texts on which the same rules act have one and the same value.
    """

    def __init__(self, name: str, mappings: Iterable[Mapping], thresholds: list[Threshold]) -> None:
        super().__init__()
        self.name = name
        self._thresholds = thresholds
        self._mappings: dict[str, list[Mapping]] = {}
        for mapping in mappings:
            self._mappings.setdefault(mapping.value, []).append(mapping)
        self._unmapped: dict[tuple[Threshold, ...] | None, _Acting] = {(): _NOTHING}

    def __missing__(self, text: str) -> _Acting:
        if len(self) >= PRICES_KEPT:
            self.clear()
        acting = self[text] = self._find(text)
        return acting

    def _find(self, text: str) -> _Acting:
        reached = self._reached(text)
        skipped = (self.name,) if reached is None else ()
        mappings = self._mappings.get(text)
        if mappings is not None:
            return _Acting(mappings, reached or (), skipped)
        if reached not in self._unmapped:
            self._unmapped[reached] = _Acting((), reached or (), skipped)
        return self._unmapped[reached]

    def _reached(self, text: str) -> tuple[Threshold, ...] | None:
        """Return the thresholds that the value reaches, ``None`` if that cannot be said."""
        if not self._thresholds:
            return ()
        try:
            number = money.amount(text)
        except money.NotAnAmount:
            return None
        return tuple([threshold for threshold in self._thresholds if number >= threshold.level])


class ServiceRules:
    """The rules of one service that act for one scope at one instant.

    A threshold does not act where its field's value is no number. ``skipped`` counts such series
    by field, and *on_skipped* is told of each field once.
    """

    def __init__(
        self,
        mappings: Iterable[Mapping],
        thresholds: Iterable[Threshold],
        fields: list[FieldRules],
        on_skipped: Callable[[str], None],
    ) -> None:
        self._fields = fields
        self._on_skipped = on_skipped
        self._own: dict[str | None, _Tally] = {}
        with decimal.localcontext(money.RATING):
            for mapping in mappings:
                self._own.setdefault(mapping.group, _Tally()).apply(mapping)
            for threshold in thresholds:
                self._own.setdefault(threshold.group, _Tally()).consider_service(threshold)
            self._own_prices = {group: tally.price() for group, tally in self._own.items()}
        self._prices: dict[tuple[_Acting, ...], tuple[Price, Sequence[str]]] = {}
        self._bound: dict[Series, Price] = {}
        self._at: datetime.datetime | None = None
        self._living = 0
        self.skipped: Counter[str] = Counter()

    def rate(self, points: Points, at: datetime.datetime) -> None:
        """Add to the prices of *points*, which belong to the period that begins at *at*.

        To be called in the context ``money.RATING``.
        """
        if self._fields:
            self._forget_the_dead(at, len(points))
            amounts = self._amounts(points)
        else:
            (unit, amount), _ = self._price(())
            if amount is None:
                amounts = [unit * qty for qty in points.qty]
            else:
                amounts = list(map(amount, points.qty))
        if any(points.price):
            amounts = list(map(operator.add, points.price, amounts))
        points.price = amounts

    def _amounts(self, points: Points) -> list[Decimal]:
        find = self._bound.__getitem__
        try:
            prices = list(map(find, points.series))
        except KeyError:
            self._bind(points.series)
            prices = list(map(find, points.series))
        return [
            unit * qty if amount is None else amount(qty)
            for (unit, amount), qty in zip(prices, points.qty, strict=True)
        ]

    def _bind(self, all_series: Iterable[Series]) -> None:
        """Remember the price of each series."""
        shape: Shape | None = None
        places: list[tuple[FieldRules, int | None]] = []
        for series in all_series:
            if series in self._bound:
                continue
            if series.shape is not shape:
                shape = series.shape
                places = [(rules, _place(shape, rules.name)) for rules in self._fields]
            values = series.values
            acting = [
                _NOTHING
                if place is None
                else rules[value if type(value := values[place]) is str else str(value)]
                for rules, place in places
            ]
            self._bound[series], skipped = self._price(tuple(acting))
            for name in skipped:
                if name not in self.skipped:
                    self._on_skipped(name)
                self.skipped[name] += 1

    def _price(self, acting: tuple[_Acting, ...]) -> tuple[Price, Sequence[str]]:
        """Return the price where these rules of fields act, and the fields to be counted."""
        price = self._prices.get(acting)
        if price is None:
            if len(self._prices) >= PRICES_KEPT:
                self._prices.clear()
            price = self._prices[acting] = self._compile(acting)
        return price

    def _compile(self, acting: tuple[_Acting, ...]) -> tuple[Price, Sequence[str]]:
        tallies: dict[str | None, _Tally] = {}
        skipped: tuple[str, ...] = ()
        for rules in acting:
            for mapping in rules.mappings:
                self._tally(tallies, mapping.group).apply(mapping)
            for threshold in rules.thresholds:
                self._tally(tallies, threshold.group).consider_field(threshold)
            skipped += rules.skipped
        prices = self._own_prices | {group: tally.price() for group, tally in tallies.items()}
        return _sum(prices.values()), skipped

    def _tally(self, tallies: dict[str | None, _Tally], group: str | None) -> _Tally:
        """Return the tally of a group, which goes on from what the service's own rules make."""
        tally = tallies.get(group)
        if tally is None:
            own = self._own.get(group)
            tally = tallies[group] = _Tally() if own is None else own.copy()
        return tally

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
        with decimal.localcontext(money.RATING):
            for metric, points in frame.usage.items():
                rules = self._services.get(metric)
                if rules is not None:
                    rules.rate(points, frame.period.begin)
        return frame
