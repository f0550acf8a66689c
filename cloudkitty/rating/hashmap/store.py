# SPDX-License-Identifier: Apache-2.0
"""Where hashmap's rules are kept."""

import datetime
from collections.abc import Mapping
from typing import Any

from cloudkitty.db.engine import Database
from cloudkitty.rating.hashmap.engine import Book
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


class HashmapStore:
    """Creates, reads, changes and deletes hashmap's services, fields, groups and rules.

    Every change moves the module's revision in its own transaction. All methods raise
    ``cloudkitty.rating.hashmap.errors.HashmapError`` for what is the caller's mistake.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    # Services, fields and groups

    def create_service(self, name: str) -> Service:
        raise NotImplementedError

    def get_service(self, service_id: str) -> Service:
        raise NotImplementedError

    def list_services(self) -> list[Service]:
        raise NotImplementedError

    def delete_service(self, service_id: str) -> None:
        raise NotImplementedError

    def create_field(self, service_id: str, name: str) -> Field:
        raise NotImplementedError

    def get_field(self, field_id: str) -> Field:
        raise NotImplementedError

    def list_fields(self, service_id: str) -> list[Field]:
        raise NotImplementedError

    def delete_field(self, field_id: str) -> None:
        raise NotImplementedError

    def create_group(self, name: str) -> Group:
        raise NotImplementedError

    def get_group(self, group_id: str) -> Group:
        raise NotImplementedError

    def list_groups(self) -> list[Group]:
        raise NotImplementedError

    def delete_group(self, group_id: str, *, recursive: bool = False) -> None:
        """Delete a group and, if *recursive*, for good all its rules; else they fall into the
        default group (409 if one would collide there)."""
        raise NotImplementedError

    # Mappings

    def create_mapping(
        self, new: NewMapping, *, now: datetime.datetime, user: str, force: bool = False
    ) -> MappingRecord:
        """*user* is the id of the caller; *force* allows a start in the past."""
        raise NotImplementedError

    def get_mapping(self, mapping_id: str) -> MappingRecord:
        """Return a mapping, also a deleted one."""
        raise NotImplementedError

    def get_mapping_group(self, mapping_id: str) -> Group:
        raise NotImplementedError

    def list_mappings(
        self, wanted: MappingFilter, *, now: datetime.datetime
    ) -> list[MappingRecord]:
        raise NotImplementedError

    def update_mapping(
        self, mapping_id: str, changes: Mapping[str, Any], *, now: datetime.datetime, user: str
    ) -> MappingRecord:
        """*changes*: what the caller sent, by attribute name of ``NewMapping``; what was not
        sent must be absent."""
        raise NotImplementedError

    def delete_mapping(self, mapping_id: str, *, now: datetime.datetime, user: str) -> None:
        raise NotImplementedError

    # Thresholds

    def create_threshold(self, new: NewThreshold) -> ThresholdRecord:
        raise NotImplementedError

    def get_threshold(self, threshold_id: str) -> ThresholdRecord:
        raise NotImplementedError

    def get_threshold_group(self, threshold_id: str) -> Group:
        raise NotImplementedError

    def list_thresholds(self, wanted: RuleFilter) -> list[ThresholdRecord]:
        raise NotImplementedError

    def update_threshold(self, threshold_id: str, changes: Mapping[str, Any]) -> ThresholdRecord:
        """*changes*: what the caller sent, by attribute name of ``NewThreshold``; what was not
        sent must be absent (``type`` then becomes flat, ``tenant_id`` null, the rest stays)."""
        raise NotImplementedError

    def delete_threshold(self, threshold_id: str) -> None:
        raise NotImplementedError

    # For rating

    def load_rules(self) -> Book:
        """Return every live rule, in a fixed number of queries."""
        raise NotImplementedError
