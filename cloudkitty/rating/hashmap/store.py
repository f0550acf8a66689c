# SPDX-License-Identifier: Apache-2.0
"""Where hashmap's rules are kept.

Invariants: every change moves the module's revision first thing in its own transaction, which
makes all changes happen one after the other; of mappings with equal parent, value, project and
group at most one is live at any instant, of thresholds with equal parent, level, project and
group there is one; a failed call has changed nothing.
"""

import dataclasses
import datetime
import uuid
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from typing import Any, NoReturn

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from cloudkitty import period
from cloudkitty.db.engine import Database
from cloudkitty.rating.base import Coverage
from cloudkitty.rating.dated import described, required_text, text, validity
from cloudkitty.rating.errors import NotFound
from cloudkitty.rating.hashmap import checks, coverage, errors, loading, rows
from cloudkitty.rating.hashmap.book import Book, nobody
from cloudkitty.rating.hashmap.engine import SERIES_KEPT
from cloudkitty.rating.hashmap.models import fields, groups, mappings, services, thresholds
from cloudkitty.rating.hashmap.records import (
    Field,
    Group,
    MappingFilter,
    MappingRecord,
    NewMapping,
    NewThreshold,
    RuleFilter,
    Service,
    ThresholdRecord,
)
from cloudkitty.rating.rows import find, mark_deleted, refuse_taken, searchable, writer

MODULE = "hashmap"

_FIELDS = sa.select(fields.c.field_id, fields.c.name, services.c.service_id).join_from(
    fields, services
)


class HashmapStore:
    """Creates, reads, changes and deletes hashmap's services, fields, groups and rules.

    All methods raise ``cloudkitty.rating.errors.RulesError`` for what is the caller's
    mistake.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def _writer(self) -> AbstractContextManager[Connection]:
        return writer(self._database, MODULE)

    # Services, fields and groups

    def create_service(self, name: str) -> Service:
        required_text("name", name)
        service = Service(str(uuid.uuid4()), name)
        with self._writer() as connection:
            refuse_taken(connection, "Service", services.c.service_id, services.c.name, name)
            connection.execute(services.insert(), dataclasses.asdict(service))
        return service

    def get_service(self, service_id: str) -> Service:
        with self._database.reader() as connection:
            row = find(connection, sa.select(services), services.c.service_id, service_id)
        if row is None:
            raise errors.no_such_service(service_id)
        return Service(row.service_id, row.name)

    def list_services(self) -> list[Service]:
        statement = sa.select(services.c.service_id, services.c.name).order_by(services.c.id)
        with self._database.reader() as connection:
            return [Service(*row) for row in connection.execute(statement)]

    def delete_service(self, service_id: str) -> None:
        """Delete a service, and for good its fields and all rules below it."""
        self._delete(services.c.service_id, service_id, errors.no_such_service(service_id))

    def create_field(self, service_id: str, name: str) -> Field:
        required_text("name", name)
        field = Field(str(uuid.uuid4()), name, service_id)
        with self._writer() as connection:
            parent = rows.parent(connection, service_id, None, None)
            of_service = fields.c.service_id == parent.service
            refuse_taken(connection, "Field", fields.c.field_id, fields.c.name, name, of_service)
            connection.execute(
                fields.insert().values(
                    field_id=field.field_id, name=name, service_id=parent.service
                )
            )
        return field

    def get_field(self, field_id: str) -> Field:
        with self._database.reader() as connection:
            row = find(connection, _FIELDS, fields.c.field_id, field_id)
        if row is None:
            raise errors.no_such_field(field_id)
        return Field(row.field_id, row.name, row.service_id)

    def list_fields(self, service_id: str) -> list[Field]:
        """Return the fields of a service; none if there is no such service."""
        statement = _FIELDS.where(services.c.service_id == service_id).order_by(fields.c.id)
        with self._database.reader() as connection:
            found = connection.execute(statement) if "\0" not in service_id else ()
            return [Field(*row) for row in found]

    def delete_field(self, field_id: str) -> None:
        """Delete a field, and for good all rules below it."""
        self._delete(fields.c.field_id, field_id, errors.no_such_field(field_id))

    def create_group(self, name: str) -> Group:
        required_text("name", name)
        group = Group(str(uuid.uuid4()), name)
        with self._writer() as connection:
            refuse_taken(connection, "Group", groups.c.group_id, groups.c.name, name)
            connection.execute(groups.insert(), dataclasses.asdict(group))
        return group

    def get_group(self, group_id: str) -> Group:
        with self._database.reader() as connection:
            row = find(connection, sa.select(groups), groups.c.group_id, group_id)
        if row is None:
            raise errors.no_such_group(group_id)
        return Group(row.group_id, row.name)

    def list_groups(self) -> list[Group]:
        statement = sa.select(groups.c.group_id, groups.c.name).order_by(groups.c.id)
        with self._database.reader() as connection:
            return [Group(*row) for row in connection.execute(statement)]

    def delete_group(self, group_id: str, *, recursive: bool = False) -> None:
        """Delete a group and, if *recursive*, for good all its rules; else they fall into the
        default group.

        :raises Conflict: a rule would collide with one of the default group; nothing is deleted.
        """
        with self._writer() as connection:
            row = find(connection, sa.select(groups), groups.c.group_id, group_id)
            if row is None:
                raise errors.no_such_group(group_id)
            if recursive:
                for rules in (mappings, thresholds):
                    connection.execute(rules.delete().where(rules.c.group_id == row.id))
            else:
                _ungroup(connection, row.id)
            connection.execute(groups.delete().where(groups.c.id == row.id))

    def _delete(self, column: sa.Column[str], wanted: str, missing: NotFound) -> None:
        with self._writer() as connection:
            if find(connection, sa.select(column), column, wanted) is None:
                raise missing
            connection.execute(column.table.delete().where(column == wanted))

    # Mappings

    def create_mapping(
        self, new: NewMapping, *, now: datetime.datetime, user: str, force: bool = False
    ) -> MappingRecord:
        """Create a mapping for the caller with id *user*; *force* allows a start in the past."""
        now = period.utc(now)
        start, end = validity(new.start, new.end, now=now, force=force)
        checks.parent(new)
        checks.texts(new)
        text("created_by", user)
        value = new.value or ""
        mapping = MappingRecord(
            mapping_id=str(uuid.uuid4()),
            value=value,
            cost=checks.cost(new.cost),
            type=new.type,
            service_id=new.service_id or None,
            field_id=new.field_id or None,
            group_id=new.group_id or None,
            tenant_id=new.tenant_id,
            name=new.name or uuid.uuid4().hex,
            description=new.description,
            start=start,
            end=end,
            created_at=now,
            created_by=user,
        )
        with self._writer() as connection:
            parent = rows.parent(connection, new.service_id, new.field_id, new.group_id)
            if new.name:
                columns = mappings.c
                refuse_taken(connection, "Mapping", columns.mapping_id, columns.live_name, new.name)
            slot = rows.mapping_slot(parent, value, new.tenant_id)
            if rows.rival_mapping(connection, slot, start, end):
                _mapping_exists(mapping)
            own = {"live_name": mapping.name, "slot": slot}
            connection.execute(mappings.insert(), rows.values(mapping, parent) | own)
        return mapping

    def get_mapping(self, mapping_id: str) -> MappingRecord:
        """Return a mapping, also a deleted one."""
        with self._database.reader() as connection:
            return rows.mapping_record(_mapping_row(connection, mapping_id))

    def get_mapping_group(self, mapping_id: str) -> Group:
        with self._database.reader() as connection:
            row = find(connection, rows.MAPPINGS, mappings.c.mapping_id, mapping_id)
        if row is None or row.group_uuid is None:
            raise errors.mapping_has_no_group(mapping_id)
        return self.get_group(row.group_uuid)

    def list_mappings(
        self, wanted: MappingFilter, *, now: datetime.datetime
    ) -> list[MappingRecord]:
        """Return the mappings that match, in order of creation."""
        if not searchable(wanted):
            return []
        statement = rows.MAPPINGS.where(*rows.mapping_conditions(wanted, now))
        with self._database.reader() as connection:
            found = [rows.mapping_record(row) for row in connection.execute(statement)]
        return described(found, wanted.description)

    def update_mapping(
        self, mapping_id: str, changes: Mapping[str, Any], *, now: datetime.datetime, user: str
    ) -> MappingRecord:
        """Change a mapping; see ``checks.mapping_changes`` for what can change when.

        *changes* has what the caller sent, by attribute name of ``NewMapping``; what was not sent
        must be absent. Nothing is written when nothing changes.

        :raises Conflict: it would overlap another mapping.
        """
        now = period.utc(now)
        text("updated_by", user)
        with self._database.reader() as connection:
            mapping, values = _planned(connection, mapping_id, changes, now)
        if not values:
            return mapping
        with self._writer() as connection:
            mapping, values = _planned(connection, mapping_id, changes, now)
            changed = dataclasses.replace(mapping, updated_by=user, **values)
            row = _mapping_row(connection, mapping_id)
            if rows.rival_mapping(connection, row.slot, changed.start, changed.end, mapping_id):
                _mapping_exists(changed)
            connection.execute(
                mappings.update().where(mappings.c.id == row.id).values(updated_by=user, **values)
            )
        return changed

    def delete_mapping(self, mapping_id: str, *, now: datetime.datetime, user: str) -> None:
        """Mark a mapping as deleted; it acts no more, and its name and slot are free."""
        text("deleted_by", user)
        with self._writer() as connection:
            row = _mapping_row(connection, mapping_id)
            if row.deleted is not None:
                raise errors.no_such_mapping(mapping_id)
            connection.execute(
                mappings.update()
                .where(mappings.c.id == row.id)
                .values(slot=None, **mark_deleted(now, user))
            )

    # Thresholds

    def create_threshold(self, new: NewThreshold) -> ThresholdRecord:
        checks.parent(new)
        checks.texts(new)
        threshold = ThresholdRecord(
            threshold_id=str(uuid.uuid4()),
            level=checks.level(new.level),
            cost=checks.cost(new.cost),
            type=new.type,
            service_id=new.service_id or None,
            field_id=new.field_id or None,
            group_id=new.group_id or None,
            tenant_id=new.tenant_id,
        )
        with self._writer() as connection:
            parent = rows.parent(connection, new.service_id, new.field_id, new.group_id)
            slot = rows.threshold_slot(parent, threshold.level, new.tenant_id)
            if rows.rival_threshold(connection, slot):
                _threshold_exists(threshold)
            values = rows.values(threshold, parent) | {"slot": slot}
            connection.execute(thresholds.insert(), values)
        return threshold

    def get_threshold(self, threshold_id: str) -> ThresholdRecord:
        with self._database.reader() as connection:
            return rows.threshold_record(_threshold_row(connection, threshold_id))

    def get_threshold_group(self, threshold_id: str) -> Group:
        with self._database.reader() as connection:
            row = find(connection, rows.THRESHOLDS, thresholds.c.threshold_id, threshold_id)
        if row is None or row.group_uuid is None:
            raise errors.threshold_has_no_group(threshold_id)
        return self.get_group(row.group_uuid)

    def list_thresholds(self, wanted: RuleFilter) -> list[ThresholdRecord]:
        """Return the thresholds that match, in order of creation."""
        if not searchable(wanted):
            return []
        statement = rows.THRESHOLDS.where(*rows.rule_conditions(thresholds, wanted))
        with self._database.reader() as connection:
            return [rows.threshold_record(row) for row in connection.execute(statement)]

    def update_threshold(self, threshold_id: str, changes: Mapping[str, Any]) -> ThresholdRecord:
        """Change a threshold.

        *changes* has what the caller sent, by attribute name of ``NewThreshold``; what was not
        sent must be absent: ``type`` then becomes flat and ``tenant_id`` null, the rest stays.
        Nothing is written when nothing changes.

        :raises Conflict: there is such a threshold.
        """
        values = checks.threshold_values(changes)
        threshold = self.get_threshold(threshold_id)
        if dataclasses.replace(threshold, **values) == threshold:
            return threshold
        with self._writer() as connection:
            row = _threshold_row(connection, threshold_id)
            changed = dataclasses.replace(rows.threshold_record(row), **values)
            group = rows.group(connection, changed.group_id)
            parent = rows.Parent(row.service_id, row.field_id, group)
            slot = rows.threshold_slot(parent, changed.level, changed.tenant_id)
            if rows.rival_threshold(connection, slot, threshold_id):
                _threshold_exists(changed)
            connection.execute(
                thresholds.update()
                .where(thresholds.c.id == row.id)
                .values({**values, "group_id": group, "slot": slot})
            )
        return changed

    def delete_threshold(self, threshold_id: str) -> None:
        """Delete a threshold for good."""
        column = thresholds.c.threshold_id
        self._delete(column, threshold_id, errors.no_such_threshold(threshold_id))

    # For rating

    def load_rules(
        self,
        on_skipped: Callable[[str, str], None] = nobody,
        series_kept: int = SERIES_KEPT,
    ) -> Book:
        """Return every live rule, in a fixed number of queries; for *on_skipped* and
        *series_kept* see ``Book``."""
        with self._database.reader() as connection:
            return loading.book(connection, on_skipped, series_kept)

    def coverage(self, at: datetime.datetime) -> Coverage:
        """Return what the live rules that have not ended at *at* are about."""
        with self._database.reader() as connection:
            found = loading.rules(connection)
            names = loading.service_names(connection)
        return coverage.coverage(names, found.fields, found.mappings, found.thresholds, at)


def _mapping_row(connection: Connection, mapping_id: str) -> sa.Row[Any]:
    row = find(connection, rows.MAPPINGS, mappings.c.mapping_id, mapping_id)
    if row is None:
        raise errors.no_such_mapping(mapping_id)
    return row


def _threshold_row(connection: Connection, threshold_id: str) -> sa.Row[Any]:
    row = find(connection, rows.THRESHOLDS, thresholds.c.threshold_id, threshold_id)
    if row is None:
        raise errors.no_such_threshold(threshold_id)
    return row


def _planned(
    connection: Connection, mapping_id: str, changes: Mapping[str, Any], now: datetime.datetime
) -> tuple[MappingRecord, dict[str, Any]]:
    mapping = rows.mapping_record(_mapping_row(connection, mapping_id))
    values = checks.mapping_changes(mapping, changes, now)
    if mapping.deleted is not None:
        raise errors.no_such_mapping(mapping_id)
    return mapping, values


def _mapping_exists(mapping: MappingRecord) -> NoReturn:
    kind = "service" if mapping.service_id else "field"
    parent_id = mapping.service_id or mapping.field_id or ""
    raise errors.rule_exists("Mapping", mapping.value, kind, parent_id, mapping.tenant_id)


def _threshold_exists(threshold: ThresholdRecord) -> NoReturn:
    kind = "service" if threshold.service_id else "field"
    parent_id = threshold.service_id or threshold.field_id or ""
    raise errors.rule_exists(
        "Threshold", str(threshold.level), kind, parent_id, threshold.tenant_id
    )


def _ungroup(connection: Connection, group: int) -> None:
    """Move the rules of a group into the default group."""
    for row in connection.execute(rows.MAPPINGS.where(mappings.c.group_id == group)).all():
        slot = None
        if row.deleted is None:
            parent = rows.Parent(row.service_id, row.field_id, None)
            slot = rows.mapping_slot(parent, row.value, row.tenant_id)
            if rows.rival_mapping(connection, slot, row.start, row.end):
                _mapping_exists(rows.mapping_record(row))
        connection.execute(
            mappings.update().where(mappings.c.id == row.id).values(group_id=None, slot=slot)
        )
    for row in connection.execute(rows.THRESHOLDS.where(thresholds.c.group_id == group)).all():
        parent = rows.Parent(row.service_id, row.field_id, None)
        slot = rows.threshold_slot(parent, row.level, row.tenant_id)
        if rows.rival_threshold(connection, slot):
            _threshold_exists(rows.threshold_record(row))
        connection.execute(
            thresholds.update().where(thresholds.c.id == row.id).values(group_id=None, slot=slot)
        )
