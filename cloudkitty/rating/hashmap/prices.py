# SPDX-License-Identifier: Apache-2.0
"""What the rules that act on a point make of its quantity.

Invariants: everything here is to be called in the context ``money.RATING``, so that every
operation is rounded half to even to 28 significant digits; the order is ((rate * flat) * qty),
then the threshold on the quantity. Within a group:

* rates multiply, and of flat costs the largest counts;
* of all thresholds that a point reaches one acts, that of the highest level above -1; on equal
  levels the one considered first, and the service's before any field's.
"""

import functools
from collections.abc import Callable, Iterable, Sequence
from decimal import Decimal

from cloudkitty import money
from cloudkitty.rating.hashmap.rules import Mapping, RuleType, Threshold

LOWEST_LEVEL = Decimal(-1)
"""Only a threshold above this level can act."""

Amount = Callable[[Decimal], Decimal]
"""From a quantity to what it costs; to be called in the context ``money.RATING``."""

Price = tuple[Decimal, Amount | None]
"""The price of a unit or, if there is a function, the amount."""


class Tally:
    """What the rules of one group make of one combination of attribute values."""

    __slots__ = ("best", "flat", "rate", "tiers")

    def __init__(self) -> None:
        self.flat = money.ZERO
        self.rate = money.ONE
        self.best: Threshold | None = None
        self.tiers: list[Threshold] = []

    def copy(self) -> "Tally":
        """Return a tally that goes on from here with the rules of fields."""
        other = Tally()
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


def add(prices: Iterable[Price]) -> Price:
    """Return the prices of several groups as one."""
    prices = [price for price in prices if price[0] or price[1]]
    if not prices:
        return money.ZERO, None
    if len(prices) == 1:
        return prices[0]
    units = tuple([unit for unit, amount in prices if amount is None])
    if len(units) == len(prices) == 2:
        # The usual case of several, and nearly twice as fast as the loop.
        first, second = units
        return money.ZERO, lambda qty: first * qty + second * qty
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
