# SPDX-License-Identifier: Apache-2.0
"""Hashmap's services, fields, groups and rules as the store takes and gives them.

Invariants: ids are UUID texts; instants are aware UTC in whole seconds; a cost has at most
28 decimals and a level at most 8, and what is shown is what is charged.
"""

import datetime
from dataclasses import dataclass
from decimal import Decimal

from cloudkitty import money
from cloudkitty.rating.dated import DatedFilter, DatedRule
from cloudkitty.rating.hashmap.rules import RuleType


@dataclass(frozen=True, slots=True)
class Service:
    """A metric that rules exist for."""

    service_id: str
    name: str


@dataclass(frozen=True, slots=True)
class Field:
    """An attribute of a service's points that rules exist for."""

    field_id: str
    name: str
    service_id: str


@dataclass(frozen=True, slots=True)
class Group:
    """A partition of the arithmetic."""

    group_id: str
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class NewMapping:
    """What a caller says about a mapping to be created; ``start`` of ``None`` means now,
    ``name`` of ``None`` a random one, ``value`` of ``None`` the empty text."""

    cost: Decimal
    type: RuleType = RuleType.FLAT
    value: str | None = None
    service_id: str | None = None
    field_id: str | None = None
    group_id: str | None = None
    tenant_id: str | None = None
    name: str | None = None
    description: str | None = None
    start: datetime.datetime | None = None
    end: datetime.datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class MappingRecord(DatedRule):
    """A mapping; exactly one of ``service_id`` and ``field_id`` is set."""

    mapping_id: str
    value: str
    cost: Decimal
    type: RuleType
    service_id: str | None
    field_id: str | None
    group_id: str | None
    tenant_id: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class NewThreshold:
    """What a caller says about a threshold to be created."""

    level: Decimal = money.ZERO
    cost: Decimal
    type: RuleType = RuleType.FLAT
    service_id: str | None = None
    field_id: str | None = None
    group_id: str | None = None
    tenant_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ThresholdRecord:
    """A threshold; exactly one of ``service_id`` and ``field_id`` is set."""

    threshold_id: str
    level: Decimal
    cost: Decimal
    type: RuleType
    service_id: str | None
    field_id: str | None
    group_id: str | None
    tenant_id: str | None


@dataclass(frozen=True, kw_only=True)
class RuleFilter:
    """Which rules to list; an id that does not exist matches nothing.

    ``field_id`` counts only without ``service_id``, ``no_group`` only without ``group_id``.
    ``tenant_id`` counts only with ``filter_tenant``, and ``None`` then means rules for
    everybody.
    """

    service_id: str | None = None
    field_id: str | None = None
    group_id: str | None = None
    no_group: bool = False
    tenant_id: str | None = None
    filter_tenant: bool = False


@dataclass(frozen=True, kw_only=True)
class MappingFilter(RuleFilter, DatedFilter):
    """Which mappings to list."""
