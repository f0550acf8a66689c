# SPDX-License-Identifier: Apache-2.0
"""Hashmap's rules of the old service: read, made fit for the tables here, and written.

Invariants: ids, order of creation, validity and audit are kept; where rules contradict each other,
those act here that acted there, and a note says which; nothing is dropped without a note.
"""

import datetime
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from cloudkitty import money
from cloudkitty.importer import tables, times
from cloudkitty.importer.notes import Notes
from cloudkitty.rating import dated
from cloudkitty.rating.hashmap import models
from cloudkitty.rating.hashmap.rows import Parent, mapping_slot, threshold_slot
from cloudkitty.rating.hashmap.rules import RuleType

MODULE = "hashmap"

Values = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Rules:
    """Rows for the tables here; ``service_id``, ``field_id`` and ``group_id`` in them are still
    the old service's numbers."""

    services: Sequence[Values]
    fields: Sequence[Values]
    groups: Sequence[Values]
    mappings: Sequence[Values]
    thresholds: Sequence[Values]

    def __len__(self) -> int:
        return sum(
            map(len, (self.services, self.fields, self.groups, self.mappings, self.thresholds))
        )


EMPTY = Rules((), (), (), (), ())


def read(connection: Connection, zone: datetime.tzinfo, notes: Notes) -> Rules:
    """Return the rules; *zone* is that of the old server."""
    services, fields, groups = (
        _rows(connection, table) for table in (tables.services, tables.fields, tables.groups)
    )
    known = {
        "service_id": {row["id"] for row in services},
        "field_id": {row["id"] for row in fields},
        "group_id": {row["id"] for row in groups},
    }
    mappings = [
        _mapping(row, zone)
        for row in _rows(connection, tables.mappings)
        if _has_parent(row, known, f"mapping {row['mapping_id']}", notes)
    ]
    live_names(mappings, "mapping", "mapping_id", notes)
    _note_overlaps(mappings, notes)
    thresholds = [
        _threshold(row)
        for row in _rows(connection, tables.thresholds)
        if _has_parent(row, known, f"threshold {row['threshold_id']}", notes)
        and _has_level(row, notes)
    ]
    return Rules(services, fields, groups, mappings, _without_rivals(thresholds, notes))


def _rows(connection: Connection, table: sa.Table) -> list[Values]:
    return [dict(row._mapping) for row in connection.execute(sa.select(table).order_by(table.c.id))]


def _has_parent(row: Values, known: Mapping[str, set[int]], name: str, notes: Notes) -> bool:
    parents = [key for key in ("service_id", "field_id") if row[key] is not None]
    if len(parents) == 1 and row[parents[0]] in known[parents[0]]:
        if row["group_id"] not in known["group_id"]:
            row["group_id"] = None
        return True
    notes.add(f"{name} belongs to no service or field, or to two, and is left out")
    return False


def _has_level(row: Values, notes: Notes) -> bool:
    if row["level"] is not None:
        return True
    notes.add(f"threshold {row['threshold_id']} has no level and is left out")
    return False


def dated_values(row: Values, zone: datetime.tzinfo) -> Values:
    """Return the columns of validity and audit."""
    begin = datetime.datetime(1970, 1, 1)
    start = times.local(row["start"] or begin, zone)
    return {
        "name": row["name"],
        "description": row["description"],
        "start": start,
        "end": times.local_or_none(row["end"], zone),
        "created_at": times.local(row["created_at"] or row["start"] or begin, zone),
        "created_by": row["created_by"] or "unknown",
        "updated_by": row["updated_by"],
        "deleted": times.local_or_none(row["deleted"], zone),
        "deleted_by": row["deleted_by"],
    }


def live_names(rules: Iterable[Values], noun: str, id_name: str, notes: Notes) -> None:
    """Give every live rule its name as long as no other live one has it; the old service's
    database does not keep names apart."""
    taken: set[str] = set()
    for rule in rules:
        name = rule["name"]
        rule["live_name"] = None
        if rule["deleted"] is not None:
            continue
        if name in taken:
            notes.add(f"{noun} {rule[id_name]} has a name that another one has: {name}")
            continue
        taken.add(name)
        rule["live_name"] = name


def _mapping(row: Values, zone: datetime.tzinfo) -> Values:
    return {
        "mapping_id": row["mapping_id"],
        "value": row["value"] or "",
        "cost": money.amount(row["cost"]),
        "type": RuleType(row["map_type"]).value,
        "service_id": row["service_id"],
        "field_id": row["field_id"],
        "group_id": row["group_id"],
        "tenant_id": row["tenant_id"],
        **dated_values(row, zone),
    }


def _threshold(row: Values) -> Values:
    return {
        "threshold_id": row["threshold_id"],
        "level": money.amount(row["level"]),
        "cost": money.amount(row["cost"]),
        "type": RuleType(row["map_type"]).value,
        "service_id": row["service_id"],
        "field_id": row["field_id"],
        "group_id": row["group_id"],
        "tenant_id": row["tenant_id"],
    }


def _slot(rule: Values, key: str) -> tuple[object, ...]:
    return (rule["service_id"], rule["field_id"], rule["group_id"], rule["tenant_id"], rule[key])


def _note_overlaps(mappings: Iterable[Values], notes: Notes) -> None:
    by_slot: dict[tuple[object, ...], list[Values]] = defaultdict(list)
    for mapping in mappings:
        if mapping["deleted"] is None:
            by_slot[_slot(mapping, "value")].append(mapping)
    for rivals in by_slot.values():
        for number, later in enumerate(rivals):
            for earlier in rivals[:number]:
                if _overlap(earlier, later):
                    notes.add(
                        f"mappings {earlier['mapping_id']} and {later['mapping_id']} act on the "
                        "same usage at the same time: the second one wins, as it did"
                    )


def _overlap(one: Values, other: Values) -> bool:
    starts = max(one["start"], other["start"])
    return all(dated.in_force(rule["start"], rule["end"], starts) for rule in (one, other))


def _without_rivals(thresholds: Sequence[Values], notes: Notes) -> list[Values]:
    acting = {_slot(threshold, "level"): threshold for threshold in thresholds}
    for threshold in thresholds:
        winner = acting[_slot(threshold, "level")]
        if winner is not threshold:
            notes.add(
                f"threshold {threshold['threshold_id']} is left out: it never acted, because "
                f"{winner['threshold_id']} has the same parent, level, project and group"
            )
    kept = {id(threshold) for threshold in acting.values()}
    return [threshold for threshold in thresholds if id(threshold) in kept]


def write(connection: Connection, rules: Rules) -> None:
    """Insert the rules into empty tables, in order of creation."""
    services = _insert_parents(connection, models.services, rules.services, "service_id")
    named = [{**row, "service_id": services[row["service_id"]]} for row in rules.fields]
    fields = _insert_parents(connection, models.fields, named, "field_id")
    groups = _insert_parents(connection, models.groups, rules.groups, "group_id")
    mappings = []
    for row in rules.mappings:
        parent = Parent(
            services.get(row["service_id"]),
            fields.get(row["field_id"]),
            groups.get(row["group_id"]),
        )
        live = row["deleted"] is None
        slot = mapping_slot(parent, row["value"], row["tenant_id"]) if live else None
        mappings.append(row | _parents(parent) | {"slot": slot})
    thresholds = []
    for row in rules.thresholds:
        parent = Parent(
            services.get(row["service_id"]),
            fields.get(row["field_id"]),
            groups.get(row["group_id"]),
        )
        slot = threshold_slot(parent, row["level"], row["tenant_id"])
        thresholds.append(row | _parents(parent) | {"slot": slot})
    for table, rows in ((models.mappings, mappings), (models.thresholds, thresholds)):
        if rows:
            connection.execute(table.insert(), rows)


def _parents(parent: Parent) -> Values:
    return {"service_id": parent.service, "field_id": parent.field, "group_id": parent.group}


def _insert_parents(
    connection: Connection, table: sa.Table, rows: Sequence[Values], public: str
) -> dict[int | None, int]:
    """Insert the rows, and return the new numbers by the old ones."""
    if not rows:
        return {}
    # The numbers are the database's own: it must know where to go on.
    connection.execute(
        table.insert(), [{k: v for k, v in row.items() if k != "id"} for row in rows]
    )
    statement = sa.select(table.c[public], table.c.id)
    numbers = {row[0]: row[1] for row in connection.execute(statement)}
    return {row["id"]: numbers[row[public]] for row in rows}
