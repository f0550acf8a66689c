# SPDX-License-Identifier: Apache-2.0
"""From hashmap's tables to its rules, in a fixed number of queries however many there are."""

from collections.abc import Callable
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from cloudkitty.rating.hashmap.book import Book, nobody
from cloudkitty.rating.hashmap.engine import SERIES_KEPT
from cloudkitty.rating.hashmap.models import fields, mappings, services, thresholds
from cloudkitty.rating.hashmap.rules import Mapping, RuleType, Threshold


class Rules(NamedTuple):
    """Every live rule in order of creation, and the pairs of service and field that exist."""

    mappings: list[Mapping]
    thresholds: list[Threshold]
    fields: list[tuple[str, str]]


def book(
    connection: Connection,
    on_skipped: Callable[[str, str], None] = nobody,
    series_kept: int = SERIES_KEPT,
) -> Book:
    """Return every live rule; for *on_skipped* and *series_kept* see ``Book``."""
    return Book(*rules(connection), on_skipped, series_kept)


def service_names(connection: Connection) -> list[str]:
    """Return the names of all services, in order of creation."""
    return list(connection.scalars(sa.select(services.c.name).order_by(services.c.id)))


def rules(connection: Connection) -> Rules:
    """Return every live rule."""
    known = connection.execute(
        sa.select(services.c.name, fields.c.name).join_from(fields, services).order_by(fields.c.id)
    )
    return Rules(
        _mappings(connection),
        _thresholds(connection),
        [(service, field) for service, field in known],
    )


def _mappings(connection: Connection) -> list[Mapping]:
    columns = mappings.c
    found = connection.execute(
        _rules(mappings, columns.value, columns.start, columns.end, live=columns.deleted.is_(None))
    )
    return [
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


def _thresholds(connection: Connection) -> list[Threshold]:
    found = connection.execute(_rules(thresholds, thresholds.c.level, live=sa.true()))
    return [
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
