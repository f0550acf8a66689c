# SPDX-License-Identifier: Apache-2.0
"""From hashmap's tables to its book of rules, in three queries however many rules there are."""

from collections.abc import Callable
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from cloudkitty.rating.hashmap.book import Book
from cloudkitty.rating.hashmap.models import fields, mappings, services, thresholds
from cloudkitty.rating.hashmap.rules import Mapping, RuleType, Threshold


def book(connection: Connection, on_skipped: Callable[[str, str], None] | None) -> Book:
    """Return every live rule; for *on_skipped* see ``Book``."""
    known = connection.execute(
        sa.select(services.c.name, fields.c.name).join_from(fields, services).order_by(fields.c.id)
    )
    columns = mappings.c
    found = connection.execute(
        _rules(mappings, columns.value, columns.start, columns.end, live=columns.deleted.is_(None))
    )
    mapping_rules = [
        Mapping(
            service=service,
            field=field,
            type=RuleType(kind),
            cost=cost,
            group=None if group is None else str(group),
            tenant=tenant,
            value=value,
            start=start,
            end=end,
        )
        for service, field, kind, cost, group, tenant, value, start, end in found
    ]
    found = connection.execute(_rules(thresholds, thresholds.c.level, live=sa.true()))
    threshold_rules = [
        Threshold(
            service=service,
            field=field,
            type=RuleType(kind),
            cost=cost,
            group=None if group is None else str(group),
            tenant=tenant,
            level=level,
        )
        for service, field, kind, cost, group, tenant, level in found
    ]
    parts = (mapping_rules, threshold_rules, [(service, field) for service, field in known])
    return Book(*parts) if on_skipped is None else Book(*parts, on_skipped)


def _rules(
    rules: sa.Table, *columns: sa.Column[Any], live: sa.ColumnElement[bool]
) -> sa.Select[Any]:
    """Select rules with the names of their parents, in order of creation."""
    service = sa.func.coalesce(rules.c.service_id, fields.c.service_id)
    common = (rules.c.type, rules.c.cost, rules.c.group_id, rules.c.tenant_id)
    return (
        sa.select(services.c.name, fields.c.name, *common, *columns)
        .select_from(
            rules.outerjoin(fields, fields.c.id == rules.c.field_id).join(
                services, services.c.id == service
            )
        )
        .where(live)
        .order_by(rules.c.id)
    )
