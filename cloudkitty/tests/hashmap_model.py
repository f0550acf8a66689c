# SPDX-License-Identifier: Apache-2.0
"""Hashmap's rules applied one by one to one point, word by word as they are documented: what
the compiled engine is held against. Slow, and shares no code with it."""

import datetime
import decimal
from collections.abc import Mapping as Map
from collections.abc import Sequence
from decimal import Decimal

from cloudkitty.rating.hashmap.rules import Mapping, Threshold


class _Group:
    def __init__(self) -> None:
        self.flat = Decimal(0)
        self.rate = Decimal(1)
        self.level = Decimal(-1)
        self.threshold: Threshold | None = None

    def apply(self, mapping: Mapping) -> None:
        if mapping.type == "rate":
            self.rate = self.rate * mapping.cost
        else:
            self.flat = max(self.flat, mapping.cost)

    def consider(self, threshold: Threshold) -> None:
        if threshold.level > self.level:
            self.level = threshold.level
            self.threshold = threshold

    def amount(self, qty: Decimal) -> Decimal:
        threshold = self.threshold
        if threshold is not None and threshold.field is not None:
            if threshold.type == "flat":
                self.flat = self.flat + threshold.cost
            else:
                self.rate = self.rate * threshold.cost
        amount = self.rate * self.flat * qty
        if threshold is not None and threshold.field is None:
            amount = (
                amount + threshold.cost if threshold.type == "flat" else amount * threshold.cost
            )
        return amount


def _key(rule: Mapping | Threshold) -> object:
    key = rule.value if isinstance(rule, Mapping) else rule.level
    return (type(rule), rule.service, rule.field, rule.group, key)


def _in_force(rule: Mapping | Threshold, scope: str | None, at: datetime.datetime) -> bool:
    if rule.tenant not in (None, scope):
        return False
    if isinstance(rule, Threshold):
        return True
    return (rule.start is None or rule.start <= at) and (rule.end is None or rule.end > at)


def acts(
    rules: Sequence[Mapping | Threshold],
    service: str,
    desc: Map[str, object],
    qty: Decimal,
    *,
    scope: str | None = None,
    at: datetime.datetime,
) -> bool:
    """Return whether any rule is about one point."""
    for rule in rules:
        if rule.service != service or not _in_force(rule, scope, at):
            continue
        value = qty if rule.field is None else desc.get(rule.field, ...)
        if value is ...:
            continue
        if isinstance(rule, Mapping):
            if rule.field is None or rule.value == str(value):
                return True
            continue
        number = _number(value)
        if number is not None and number >= rule.level and rule.level > -1:
            return True
    return False


def _number(value: object) -> Decimal | None:
    try:
        number = Decimal(str(value))
    except decimal.InvalidOperation:
        return None
    return number if number.is_finite() else None


def price(
    rules: Sequence[Mapping | Threshold],
    service: str,
    desc: Map[str, object],
    qty: Decimal,
    *,
    incoming: Decimal = Decimal(0),
    scope: str | None = None,
    at: datetime.datetime,
    fields: Sequence[str] = (),
) -> Decimal:
    """Return the price of one point; *fields* names the service's fields as created."""
    if all(rule.service != service for rule in rules):
        return incoming
    acting = [rule for rule in rules if rule.service == service and _in_force(rule, scope, at)]
    own = {_key(rule) for rule in acting if rule.tenant is not None}
    acting = [rule for rule in acting if rule.tenant is not None or _key(rule) not in own]
    order = list(dict.fromkeys([*fields, *(rule.field for rule in acting if rule.field)]))
    groups: dict[str | None, _Group] = {}
    with decimal.localcontext(decimal.Context(prec=28, rounding=decimal.ROUND_HALF_EVEN)):
        for parent in (None, *order):
            here = [rule for rule in acting if rule.field == parent]
            if parent is not None and parent not in desc:
                continue
            value = None if parent is None else desc[parent]
            for rule in here:
                if isinstance(rule, Mapping) and (parent is None or rule.value == str(value)):
                    groups.setdefault(rule.group, _Group()).apply(rule)
            number = qty if parent is None else _number(value)
            for rule in here:
                if isinstance(rule, Threshold):
                    group = groups.setdefault(rule.group, _Group())
                    if number is not None and number >= rule.level:
                        group.consider(rule)
        return incoming + sum((group.amount(qty) for group in groups.values()), Decimal(0))
