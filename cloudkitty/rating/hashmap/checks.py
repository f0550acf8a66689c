# SPDX-License-Identifier: Apache-2.0
"""What a hashmap rule may say, and what of it may change when: pure checks, before and beside
those that need the database."""

import datetime
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from cloudkitty import money
from cloudkitty.i18n import _
from cloudkitty.rating import dated
from cloudkitty.rating.dated import DESCRIPTION_LENGTH, text
from cloudkitty.rating.errors import Invalid
from cloudkitty.rating.hashmap.records import MappingRecord, NewMapping, NewThreshold
from cloudkitty.rating.hashmap.rules import RuleType

COST_DECIMALS = 28
LEVEL_DECIMALS = 8
INTEGER_DIGITS = 12

_FIXED_ONCE_RUNNING = (
    "value",
    "type",
    "cost",
    "service_id",
    "field_id",
    "group_id",
    "tenant_id",
)


def number(name: str, value: Decimal, decimals: int) -> Decimal:
    """Return *value* rounded to *decimals*, half to even.

    :raises Invalid: not a number, or too large.
    """
    try:
        value = money.amount(value)
    except money.NotAnAmount as error:
        raise Invalid("{name}: {problem}", name=name, problem=str(error)) from error
    if value and value.adjusted() >= INTEGER_DIGITS:
        raise Invalid(
            _("{name}: {value} has more than {digits} digits before the point"),
            name=name,
            value=value,
            digits=INTEGER_DIGITS,
        )
    exponent = value.as_tuple().exponent
    if isinstance(exponent, int) and exponent >= -decimals:
        return value
    return money.EXACT.quantize(value, Decimal(1).scaleb(-decimals))


def cost(value: Decimal) -> Decimal:
    return number("cost", value, COST_DECIMALS)


def level(value: Decimal) -> Decimal:
    return number("level", value, LEVEL_DECIMALS)


def parent(new: NewMapping | NewThreshold) -> None:
    """:raises Invalid: the rule has not exactly one parent, or a value where none belongs."""
    if new.service_id and new.field_id:
        raise Invalid(_("You can only specify one parent."))
    if not new.service_id and not new.field_id:
        raise Invalid(_("You must specify one parent."))
    if isinstance(new, NewMapping):
        if new.service_id and new.value:
            raise Invalid(_("You can't specify a value and a service_id."))
        if new.field_id and not new.value:
            raise Invalid(_("You must specify a value for a field mapping."))


def texts(new: NewMapping | NewThreshold) -> None:
    """:raises Invalid: a text of the rule is too long."""
    text("tenant_id", new.tenant_id)
    if isinstance(new, NewMapping):
        text("value", new.value)
        text("name", new.name)
        text("description", new.description, DESCRIPTION_LENGTH)


def mapping_changes(
    mapping: MappingRecord, changes: Mapping[str, Any], now: datetime.datetime
) -> dict[str, Any]:
    """Return the attributes of *mapping* that *changes* really change, with their new values.

    A rule that has begun can only be given an end, once and in the future; of one that has not,
    cost, start, end and description can change, and a description that is not sent is removed.

    :raises Invalid: *changes* want more than that.
    """
    if changes.get("cost") is not None:
        changes = {**changes, "cost": cost(changes["cost"])}
    return dated.changes(mapping, changes, now, fixed=_FIXED_ONCE_RUNNING, free=("cost",))


def threshold_values(changes: Mapping[str, Any]) -> dict[str, Any]:
    """Return what an update writes by attribute; one that is missing stays as it is.

    :raises Invalid: a value is wrong.
    """
    values: dict[str, Any] = {
        "type": RuleType(changes.get("type") or RuleType.FLAT),
        "tenant_id": changes.get("tenant_id"),
    }
    text("tenant_id", values["tenant_id"])
    if changes.get("level") is not None:
        values["level"] = level(changes["level"])
    if changes.get("cost") is not None:
        values["cost"] = cost(changes["cost"])
    if "group_id" in changes:
        values["group_id"] = changes["group_id"] or None
    return values
