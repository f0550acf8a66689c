# SPDX-License-Identifier: Apache-2.0
"""What a hashmap rule may say, and what of it may change when: pure checks, before and beside
those that need the database."""

import datetime
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from cloudkitty import money, period
from cloudkitty.rating.hashmap.errors import Invalid
from cloudkitty.rating.hashmap.records import MappingRecord, NewMapping, NewThreshold
from cloudkitty.rating.hashmap.rules import RuleType

COST_DECIMALS = 28
LEVEL_DECIMALS = 8
INTEGER_DIGITS = 12

TEXT_LENGTH = 255
DESCRIPTION_LENGTH = 256

_FIXED_ONCE_RUNNING = (
    "value",
    "type",
    "cost",
    "service_id",
    "field_id",
    "group_id",
    "tenant_id",
    "name",
    "description",
    "start",
)


def number(name: str, value: Decimal, decimals: int) -> Decimal:
    """Return *value* rounded to *decimals*, half to even.

    :raises Invalid: not a number, or too large.
    """
    try:
        value = money.amount(value)
    except money.NotAnAmount as error:
        raise Invalid(f"{name}: {error}") from error
    if value and value.adjusted() >= INTEGER_DIGITS:
        raise Invalid(f"{name}: {value} has more than {INTEGER_DIGITS} digits before the point")
    exponent = value.as_tuple().exponent
    if isinstance(exponent, int) and exponent >= -decimals:
        return value
    return money.EXACT.quantize(value, Decimal(1).scaleb(-decimals))


def cost(value: Decimal) -> Decimal:
    return number("cost", value, COST_DECIMALS)


def level(value: Decimal) -> Decimal:
    return number("level", value, LEVEL_DECIMALS)


def text(name: str, value: str | None, length: int = TEXT_LENGTH) -> None:
    """:raises Invalid: *value* is too long, or has a character that no database keeps."""
    if value is None:
        return
    if len(value) > length:
        raise Invalid(f"{name}: {len(value)} characters are more than {length}")
    if "\0" in value:
        raise Invalid(f"{name}: a null character is not allowed")


def name(value: str) -> None:
    """:raises Invalid: *value* cannot name a service, field or group."""
    text("name", value)
    if not value:
        raise Invalid("name: must not be empty")


def parent(new: NewMapping | NewThreshold) -> None:
    """:raises Invalid: the rule has not exactly one parent, or a value where none belongs."""
    if new.service_id and new.field_id:
        raise Invalid("You can only specify one parent.")
    if not new.service_id and not new.field_id:
        raise Invalid("You must specify one parent.")
    if isinstance(new, NewMapping):
        if new.service_id and new.value:
            raise Invalid("You can't specify a value and a service_id.")
        if new.field_id and not new.value:
            raise Invalid("You must specify a value for a field mapping.")


def texts(new: NewMapping | NewThreshold) -> None:
    """:raises Invalid: a text of the rule is too long."""
    text("tenant_id", new.tenant_id)
    if isinstance(new, NewMapping):
        text("value", new.value)
        text("name", new.name)
        text("description", new.description, DESCRIPTION_LENGTH)


def start_not_past(start: datetime.datetime, now: datetime.datetime) -> None:
    if start < now:
        raise Invalid(
            "Cannot create a rule with start in the past. "
            f"start: {start.isoformat()}, now: {now.isoformat()}"
        )


def end_not_before_start(start: datetime.datetime, end: datetime.datetime | None) -> None:
    if end is not None and end < start:
        raise Invalid(
            "Cannot create a rule with start after end. "
            f"start: {start.isoformat()}, end: {end.isoformat()}"
        )


def mapping_changes(
    mapping: MappingRecord, changes: Mapping[str, Any], now: datetime.datetime
) -> dict[str, Any]:
    """Return the attributes of *mapping* that *changes* really change, with their new values.

    A rule that has begun can only be given an end, once and in the future; of one that has not,
    cost, start, end and description can change, and a description that is not sent is removed.

    :raises Invalid: *changes* want more than that.
    """
    changes = dict(changes)
    for key in ("start", "end"):
        if changes.get(key) is not None:
            changes[key] = period.utc(changes[key])
    if changes.get("cost") is not None:
        changes["cost"] = cost(changes["cost"])
    if mapping.start <= now:
        return _changes_of_running(mapping, changes, now)
    return _changes_of_future(mapping, changes, now)


def _changes_of_running(
    mapping: MappingRecord, changes: Mapping[str, Any], now: datetime.datetime
) -> dict[str, Any]:
    others = [
        key
        for key in _FIXED_ONCE_RUNNING
        if changes.get(key) and changes[key] != getattr(mapping, key)
    ]
    end = changes.get("end")
    if not others and (end is None or end == mapping.end):
        return {}
    if mapping.end is not None:
        raise Invalid("Cannot update a rule that was already processed and has a defined end date.")
    if others:
        raise Invalid(
            "You are allowed to update only the attribute [end] as this rule is already running "
            f"as it started on [{mapping.start.isoformat()}]; you also sent: {', '.join(others)}."
        )
    if end is None or end <= now:
        raise Invalid(f"End date must be in the future. end: {end}, now: {now}")
    return {"end": end}


def _changes_of_future(
    mapping: MappingRecord, changes: Mapping[str, Any], now: datetime.datetime
) -> dict[str, Any]:
    wanted: dict[str, Any] = {"description": changes.get("description")}
    for key in ("cost", "start"):
        if changes.get(key) is not None:
            wanted[key] = changes[key]
    if "end" in changes:
        wanted["end"] = changes["end"]
    text("description", wanted["description"], DESCRIPTION_LENGTH)
    start = wanted.get("start", mapping.start)
    start_not_past(start, now)
    end_not_before_start(start, wanted.get("end", mapping.end))
    return {key: value for key, value in wanted.items() if value != getattr(mapping, key)}


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
