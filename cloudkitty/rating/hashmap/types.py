# SPDX-License-Identifier: Apache-2.0
"""Hashmap's objects as JSON; member names and limits are the ones that clients know.

Invariant: what a client may send and we set by ourselves (ids, audit) is accepted and ignored.
"""

from cloudkitty.rating.hashmap.checks import INTEGER_DIGITS
from cloudkitty.rating.hashmap.rules import RuleType
from cloudkitty.rating.types import DatedRule, Name, Value
from cloudkitty.rest import types
from cloudkitty.rest.objects import mandatory, optional

RuleName = types.TextType(1, 32)
Number = types.AmountType(INTEGER_DIGITS)
Kind = types.ChoiceType(*RuleType)


class Service(types.Form):
    """A metric that rules exist for."""

    service_id = types.Uuid
    name = mandatory(Name)


class Services(types.Form):
    services = [Service]


class Field(types.Form):
    """An attribute of a metric that rules exist for."""

    field_id = types.Uuid
    name = mandatory(Name)
    service_id = mandatory(types.Uuid)


class Fields(types.Form):
    fields = [Field]


class Group(types.Form):
    """A partition of the arithmetic: the results of groups are added up."""

    group_id = types.Uuid
    name = mandatory(Name)


class Groups(types.Form):
    groups = [Group]


class Mapping(DatedRule):
    """A price for a metric, or for one value of an attribute of it."""

    mapping_id = types.Uuid
    value = Value
    type = Kind
    cost = mandatory(Number)
    service_id = optional(types.Uuid)
    field_id = optional(types.Uuid)
    group_id = optional(types.Uuid)
    tenant_id = optional(Value)
    name = RuleName


class Mappings(types.Form):
    mappings = [Mapping]


class Threshold(types.Form):
    """A price that holds from a quantity upwards."""

    threshold_id = types.Uuid
    level = mandatory(Number)
    type = Kind
    cost = mandatory(Number)
    service_id = optional(types.Uuid)
    field_id = optional(types.Uuid)
    group_id = optional(types.Uuid)
    tenant_id = optional(Value)


class Thresholds(types.Form):
    thresholds = [Threshold]
