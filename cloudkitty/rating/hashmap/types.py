# SPDX-License-Identifier: Apache-2.0
"""Hashmap's objects as JSON; member names and limits are the ones that clients know.

Invariant: what a client may send and we set by ourselves (ids, audit) is accepted and ignored.
"""

from typing import Any

import wsme.types
from wsme.types import Unset, wsattr

from cloudkitty.rating.hashmap.rules import RuleType
from cloudkitty.rest import types

Name = types.TextType(1, 255)
Value = types.TextType(max_length=255)
RuleName = types.TextType(1, 32)
Description = types.TextType(max_length=256)
Kind = types.ChoiceType(*RuleType)


def optional(datatype: Any) -> Any:
    """An attribute that is null in answers when it is not set."""
    return wsattr(datatype, default=None)


def mandatory(datatype: Any) -> Any:
    return wsattr(datatype, mandatory=True)


class Service(wsme.types.Base):  # type: ignore[misc]
    """A metric that rules exist for."""

    service_id = types.Uuid
    name = mandatory(Name)


class Services(wsme.types.Base):  # type: ignore[misc]
    services = [Service]


class Field(wsme.types.Base):  # type: ignore[misc]
    """An attribute of a metric that rules exist for."""

    field_id = types.Uuid
    name = mandatory(Name)
    service_id = mandatory(types.Uuid)


class Fields(wsme.types.Base):  # type: ignore[misc]
    fields = [Field]


class Group(wsme.types.Base):  # type: ignore[misc]
    """A partition of the arithmetic: the results of groups are added up."""

    group_id = types.Uuid
    name = mandatory(Name)


class Groups(wsme.types.Base):  # type: ignore[misc]
    groups = [Group]


class Mapping(wsme.types.Base):  # type: ignore[misc]
    """A price for a metric, or for one value of an attribute of it."""

    mapping_id = types.Uuid
    value = optional(Value)
    type = optional(Kind)
    cost = mandatory(types.Amount)
    service_id = optional(types.Uuid)
    field_id = optional(types.Uuid)
    group_id = optional(types.Uuid)
    tenant_id = optional(Value)
    created_at = optional(types.Instant)
    start = optional(types.Instant)
    end = optional(types.LastInstant)
    name = optional(RuleName)
    description = optional(Description)
    deleted = optional(types.Instant)
    created_by = optional(Value)
    updated_by = optional(Value)
    deleted_by = optional(Value)


class Mappings(wsme.types.Base):  # type: ignore[misc]
    mappings = [Mapping]


class Threshold(wsme.types.Base):  # type: ignore[misc]
    """A price that holds from a quantity upwards."""

    threshold_id = types.Uuid
    level = mandatory(types.Amount)
    type = optional(Kind)
    cost = mandatory(types.Amount)
    service_id = optional(types.Uuid)
    field_id = optional(types.Uuid)
    group_id = optional(types.Uuid)
    tenant_id = optional(Value)


class Thresholds(wsme.types.Base):  # type: ignore[misc]
    thresholds = [Threshold]


def sent(rule: Any, names: Any) -> dict[str, Any]:
    """Return those of the attributes *names* that the client sent, null ones too."""
    holder = getattr(rule, "_wsme_dataholder", None)
    values = {name: getattr(holder, name, Unset) for name in names}
    if isinstance(values.get("type"), str):
        values["type"] = RuleType(values["type"])
    return {name: value for name, value in values.items() if value is not Unset}
