# SPDX-License-Identifier: Apache-2.0
"""Hashmap's rules for one scope at one instant, applied to the points of a frame.

Invariants: pure, no clock, no database, no log; what is cached changes the speed and never a
price. A mapping of a service acts on all its points, one of a field where the attribute's text
equals its value; a threshold where the quantity or the attribute's number is at least its
level. The amounts of groups add up, and are added to the price that the point has already.

A series is looked up once in a period. What it costs depends only on which rules of each field
act on its attributes, and is compiled once for each such combination.
"""

import datetime
import decimal
import operator
import weakref
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from decimal import Decimal

from cloudkitty import money
from cloudkitty.dataframe import DataFrame, Points, Scalar, Series, Shape
from cloudkitty.rating.hashmap.prices import LOWEST_LEVEL, Price, Tally, add
from cloudkitty.rating.hashmap.rules import Mapping, Threshold

SERIES_KEPT = 1_000_000
"""Most series that all rules together remember, unless told otherwise."""

SERIES_SLACK = 10_000
"""How many series of the past a service's rules may remember beside twice the living ones."""

PRICES_KEPT = 100_000
"""Most combinations of attribute values that a service's rules are kept compiled for."""


class Room:
    """How many series all rules of a book may remember together."""

    def __init__(self, size: int = SERIES_KEPT) -> None:
        self._size = size
        self._taken = 0
        # Rules of stretches that have passed go away by themselves.
        self._holders: weakref.WeakKeyDictionary[ServiceRules, None] = weakref.WeakKeyDictionary()

    def take(self, holder: "ServiceRules", grown: int) -> None:
        """Note that *holder* remembers so many more; if that is too much, others forget theirs,
        those first that have grown longest ago, and in the end *holder* too."""
        self._taken += grown
        self._holders.pop(holder, None)
        self._holders[holder] = None
        if self._taken <= self._size:
            return
        holders = list(self._holders)
        self._taken = sum(one.remembered for one in holders)
        for one in holders:
            if self._taken <= self._size:
                return
            self._taken -= one.remembered
            one.forget()


class _Acting:
    """The rules of a field that act on some values of it; ``skipped`` names the field where its
    thresholds would act if the value were a number."""

    __slots__ = ("acts", "mappings", "skipped", "thresholds")

    def __init__(
        self,
        mappings: Sequence[Mapping] = (),
        thresholds: Sequence[Threshold] = (),
        skipped: tuple[str, ...] = (),
    ) -> None:
        self.mappings = mappings
        self.thresholds = thresholds
        self.skipped = skipped
        # Whether there is a rule among them that can act at all.
        self.acts = bool(mappings) or any(one.level > LOWEST_LEVEL for one in thresholds)


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
        room: Room | None = None,
    ) -> None:
        self._fields = fields
        self._room = room or Room()
        self._on_skipped = on_skipped
        mappings, thresholds = list(mappings), list(thresholds)
        levels = [one.level for one in thresholds if one.level > LOWEST_LEVEL]
        # The quantity from which on a threshold of the service acts.
        self._lowest = min(levels, default=None)
        self._is_mapped = bool(mappings)
        self._own: dict[str | None, Tally] = {}
        with decimal.localcontext(money.RATING):
            for mapping in mappings:
                self._own.setdefault(mapping.group, Tally()).apply(mapping)
            for threshold in thresholds:
                self._own.setdefault(threshold.group, Tally()).consider_service(threshold)
            self._own_prices = {group: tally.price() for group, tally in self._own.items()}
        self._prices: dict[tuple[_Acting, ...], tuple[Price, Sequence[str]]] = {}
        self._bound: dict[Series, Price] = {}
        self._at: datetime.datetime | None = None
        self._living = 0
        self.skipped: Counter[str] = Counter()

    @property
    def remembered(self) -> int:
        """Of how many series it is known what they cost."""
        return len(self._bound)

    def forget(self) -> None:
        self._bound.clear()

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

    def matches(self, series: Series, qty: Decimal) -> bool:
        """Return whether a rule acts on a point."""
        if self._is_mapped or (self._lowest is not None and qty >= self._lowest):
            return True
        for rules in self._fields:
            place = _place(series.shape, rules.name)
            if place is not None and rules[_text(series.values[place])].acts:
                return True
        return False

    def _amounts(self, points: Points) -> list[Decimal]:
        find = self._bound.__getitem__
        try:
            prices = list(map(find, points.series))
        except KeyError:
            before = len(self._bound)
            self._bind(points.series)
            prices = list(map(find, points.series))
            self._room.take(self, len(self._bound) - before)
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
                _NOTHING if place is None else rules[_text(values[place])]
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
        tallies: dict[str | None, Tally] = {}
        skipped: tuple[str, ...] = ()
        for rules in acting:
            for mapping in rules.mappings:
                self._tally(tallies, mapping.group).apply(mapping)
            for threshold in rules.thresholds:
                self._tally(tallies, threshold.group).consider_field(threshold)
            skipped += rules.skipped
        prices = self._own_prices | {group: tally.price() for group, tally in tallies.items()}
        return add(prices.values()), skipped

    def _tally(self, tallies: dict[str | None, Tally], group: str | None) -> Tally:
        """Return the tally of a group, which goes on from what the service's own rules make."""
        tally = tallies.get(group)
        if tally is None:
            own = self._own.get(group)
            tally = tallies[group] = Tally() if own is None else own.copy()
        return tally

    def _forget_the_dead(self, at: datetime.datetime, count: int) -> None:
        """Start afresh when most of the series remembered have not been seen for a period."""
        if at != self._at:
            if len(self._bound) > 2 * self._living + SERIES_SLACK:
                self.forget()
            self._at, self._living = at, 0
        self._living += count


def _place(shape: Shape, name: str) -> int | None:
    """Return where in a series' values the attribute is; a groupby one hides a metadata one."""
    if name in shape.groupby:
        return shape.groupby.index(name)
    if name in shape.metadata:
        return len(shape.groupby) + shape.metadata.index(name)
    return None


def _text(value: Scalar) -> str:
    return value if type(value) is str else str(value)


class RuleSet:
    """The rules of all services that act for one scope at one instant."""

    steady = True

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

    def matches(self, series: Series, qty: Decimal) -> bool:
        """Return whether a rule acts on a point, whatever it costs."""
        rules = self._services.get(series.shape.metric)
        return rules is not None and rules.matches(series, qty)

    @property
    def skipped(self) -> dict[tuple[str, str], int]:
        """By service and field, how many series have a value that is no number where a threshold
        would want one."""
        return {
            (service, field): count
            for service, rules in self._services.items()
            for field, count in rules.skipped.items()
        }
