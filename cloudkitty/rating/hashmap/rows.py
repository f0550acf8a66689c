# SPDX-License-Identifier: Apache-2.0
"""Statements on hashmap's tables that more than one operation of the store needs.

Invariant: looking a rule up, or its rivals, costs the same however many rules there are.
"""

import datetime
import hashlib
import json
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from cloudkitty import money
from cloudkitty.rating.errors import Invalid
from cloudkitty.rating.hashmap import errors
from cloudkitty.rating.hashmap.models import fields, groups, mappings, services, thresholds
from cloudkitty.rating.hashmap.records import (
    MappingFilter,
    MappingRecord,
    RuleFilter,
    ThresholdRecord,
)
from cloudkitty.rating.hashmap.rules import RuleType
from cloudkitty.rating.rows import dated_conditions, dated_values, find


def _with_ids(rules: sa.Table) -> sa.Select[Any]:
    """Select rules beside the public ids of their parents and groups, in order of creation."""
    return (
        sa.select(
            rules,
            services.c.service_id.label("service_uuid"),
            fields.c.field_id.label("field_uuid"),
            groups.c.group_id.label("group_uuid"),
        )
        .select_from(
            rules.outerjoin(services, services.c.id == rules.c.service_id)
            .outerjoin(fields, fields.c.id == rules.c.field_id)
            .outerjoin(groups, groups.c.id == rules.c.group_id)
        )
        .order_by(rules.c.id)
    )


MAPPINGS = _with_ids(mappings)
THRESHOLDS = _with_ids(thresholds)


def mapping_record(row: sa.Row[Any]) -> MappingRecord:
    return MappingRecord(
        mapping_id=row.mapping_id,
        value=row.value,
        cost=row.cost,
        type=RuleType(row.type),
        service_id=row.service_uuid,
        field_id=row.field_uuid,
        group_id=row.group_uuid,
        tenant_id=row.tenant_id,
        **dated_values(row),
    )


def threshold_record(row: sa.Row[Any]) -> ThresholdRecord:
    return ThresholdRecord(
        threshold_id=row.threshold_id,
        level=row.level,
        cost=row.cost,
        type=RuleType(row.type),
        service_id=row.service_uuid,
        field_id=row.field_uuid,
        group_id=row.group_uuid,
        tenant_id=row.tenant_id,
    )


class Parent(NamedTuple):
    """The internal ids of a rule's parent, of which one is null, and of its group."""

    service: int | None
    field: int | None
    group: int | None


def parent(
    connection: Connection, service_id: str | None, field_id: str | None, group_id: str | None
) -> Parent:
    """Return internal ids for public ones.

    :raises Invalid: there is no such object.
    """
    service = field = None
    if service_id:
        service = _id(connection, services.c.service_id, service_id)
        if service is None:
            raise Invalid.like(errors.no_such_service(service_id))
    if field_id:
        field = _id(connection, fields.c.field_id, field_id)
        if field is None:
            raise Invalid.like(errors.no_such_field(field_id))
    return Parent(service, field, group(connection, group_id))


def group(connection: Connection, group_id: str | None) -> int | None:
    """Return the internal id of a group, ``None`` for none.

    :raises Invalid: there is no such group.
    """
    if not group_id:
        return None
    found = _id(connection, groups.c.group_id, group_id)
    if found is None:
        raise Invalid.like(errors.no_such_group(group_id))
    return found


def values(rule: MappingRecord | ThresholdRecord, parent: Parent) -> dict[str, Any]:
    """Return the columns of a new rule by name, but for its slot."""
    columns = {name: getattr(rule, name) for name in rule.__dataclass_fields__}
    columns["service_id"], columns["field_id"], columns["group_id"] = parent
    return columns


def _id(connection: Connection, column: sa.Column[str], wanted: str) -> int | None:
    row = find(connection, sa.select(column.table.c.id), column, wanted)
    return None if row is None else row.id


def _digest(*parts: object) -> bytes:
    return hashlib.blake2b(json.dumps(parts).encode(), digest_size=16).digest()


def mapping_slot(parent: Parent, value: str, tenant_id: str | None) -> bytes:
    """Return what mappings have in common of which only one may act at any instant."""
    return _digest(parent.service, parent.field, parent.group, value, tenant_id)


def threshold_slot(parent: Parent, level: object, tenant_id: str | None) -> bytes:
    """Return what no two thresholds may have in common."""
    written = money.text(money.amount(level))
    return _digest(parent.service, parent.field, parent.group, written, tenant_id)


def rival_mapping(
    connection: Connection,
    slot: bytes,
    start: datetime.datetime,
    end: datetime.datetime | None,
    mapping_id: str | None = None,
) -> str | None:
    """Return the id of a live mapping with that slot whose validity overlaps ``[start, end)``,
    other than *mapping_id*."""
    conditions = [
        mappings.c.slot == slot,
        sa.or_(mappings.c.end.is_(None), mappings.c.end > start),
    ]
    if end is not None:
        conditions.append(mappings.c.start < end)
    if mapping_id is not None:
        conditions.append(mappings.c.mapping_id != mapping_id)
    statement = sa.select(mappings.c.mapping_id).where(*conditions).limit(1)
    found: str | None = connection.execute(statement).scalar()
    return found


def rival_threshold(
    connection: Connection, slot: bytes, threshold_id: str | None = None
) -> str | None:
    """Return the id of the threshold with that slot, if it is another one."""
    statement = sa.select(thresholds.c.threshold_id).where(thresholds.c.slot == slot)
    found: str | None = connection.execute(statement).scalar()
    return None if found == threshold_id else found


def rule_conditions(rules: sa.Table, wanted: RuleFilter) -> list[sa.ColumnElement[bool]]:
    """Return the filter that mappings and thresholds share."""
    conditions: list[sa.ColumnElement[bool]] = []
    if wanted.service_id is not None:
        conditions.append(services.c.service_id == wanted.service_id)
    elif wanted.field_id is not None:
        conditions.append(fields.c.field_id == wanted.field_id)
    if wanted.group_id is not None:
        conditions.append(groups.c.group_id == wanted.group_id)
    elif wanted.no_group:
        conditions.append(rules.c.group_id.is_(None))
    if wanted.filter_tenant:
        conditions.append(rules.c.tenant_id == wanted.tenant_id)
    return conditions


def mapping_conditions(
    wanted: MappingFilter, now: datetime.datetime
) -> list[sa.ColumnElement[bool]]:
    """Return the filter of mappings, but for the description."""
    return rule_conditions(mappings, wanted) + dated_conditions(mappings, wanted, now)
