# SPDX-License-Identifier: Apache-2.0
"""Hashmap's rules as values, and which of them act for one scope at one instant.

Invariants: a mapping is in force from its start and no longer at its end, a threshold always;
a rule of the scope replaces that for everybody with the same parent, group and key.
"""

import datetime
import enum
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from typing import TypeVar

from cloudkitty.rating import dated


class RuleType(enum.StrEnum):
    """What a rule's cost does: ``flat`` is a price for one unit, ``rate`` a factor."""

    FLAT = "flat"
    RATE = "rate"


@dataclass(frozen=True, slots=True, kw_only=True)
class Mapping:
    """A price for every point of a service or, with ``field``, for those whose attribute of that
    name has the text ``value``. ``tenant`` of ``None`` is everybody, ``group`` of ``None`` the
    default group; in force from ``start``, no longer at ``end``."""

    service: str
    field: str | None = None
    value: str = ""
    type: RuleType = RuleType.FLAT
    cost: Decimal
    group: str | None = None
    tenant: str | None = None
    start: datetime.datetime | None = None
    end: datetime.datetime | None = None

    @property
    def key(self) -> str:
        return self.value

    def in_force(self, at: datetime.datetime) -> bool:
        return dated.in_force(self.start, self.end, at)


@dataclass(frozen=True, slots=True, kw_only=True)
class Threshold:
    """A change of price for points whose quantity or, with ``field``, whose attribute of that name
    is at least ``level``."""

    service: str
    field: str | None = None
    level: Decimal
    type: RuleType = RuleType.FLAT
    cost: Decimal
    group: str | None = None
    tenant: str | None = None

    @property
    def key(self) -> Decimal:
        return self.level

    def in_force(self, at: datetime.datetime) -> bool:
        return True


Rule = TypeVar("Rule", Mapping, Threshold)


def chosen(rules: Iterable[Rule], tenant: str | None, at: datetime.datetime) -> list[Rule]:
    """Return the rules of one parent that act for *tenant* at *at*, in order of creation."""
    acting: dict[object, Rule] = {}
    for rule in rules:
        if (rule.tenant is not None and rule.tenant != tenant) or not rule.in_force(at):
            continue
        slot = (rule.group, rule.key)
        holder = acting.get(slot)
        if holder is not None:
            if holder.tenant is not None and rule.tenant is None:
                continue
            del acting[slot]
        acting[slot] = rule
    return list(acting.values())
