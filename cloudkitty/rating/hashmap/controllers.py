# SPDX-License-Identifier: Apache-2.0
"""``/v1/rating/module_config/hashmap``: services, fields, groups, mappings and thresholds.

Invariants: a change is made by the store as a whole or refused; a PUT answers with the URL of
the object, and may be repeated. Who may come here is decided where this is mounted.
"""

import datetime
from collections.abc import Sequence
from typing import Any

from cloudkitty.rating.hashmap import records
from cloudkitty.rating.hashmap.rules import RuleType
from cloudkitty.rating.hashmap.store import HashmapStore
from cloudkitty.rating.hashmap.types import (
    Field,
    Fields,
    Group,
    Groups,
    Kind,
    Mapping,
    Mappings,
    Service,
    Services,
    Threshold,
    Thresholds,
)
from cloudkitty.rating.types import FILTER
from cloudkitty.rest import errors, objects, types
from cloudkitty.rest.context import Context
from cloudkitty.rest.controller import CREATED, SEE, Controller, Handler, Reply, expose
from cloudkitty.rest.request import Request

_MAPPING = objects.names(records.NewMapping)
_THRESHOLD = objects.names(records.NewThreshold)

Listing = dict[str, Sequence[object]]


def _sent(rule: Any, names: Sequence[str]) -> dict[str, Any]:
    return _with_type(objects.sent(rule, names))


def _said(rule: Any, names: Sequence[str]) -> dict[str, Any]:
    return _with_type(objects.said(rule, names))


def _with_type(values: dict[str, Any]) -> dict[str, Any]:
    if values.get("type") is not None:
        values["type"] = RuleType(values["type"])
    return values


class HashmapController(Controller):
    """The module's tree."""

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        store = HashmapStore(context.database)
        fields = FieldsController(context, store)
        mappings = MappingsController(context, store)
        self.children = {
            "types": TypesController(context),
            "services": ServicesController(context, store, fields, mappings),
            "fields": fields,
            "groups": GroupsController(context, store),
            "mappings": mappings,
            "thresholds": ThresholdsController(context, store),
        }

    def handler(self, method: str, path: Sequence[str]) -> Handler:
        if not path:
            raise errors.MethodNotAllowed(method=method, allow="OPTIONS")
        raise errors.NotFound()


class TypesController(Controller):
    @expose([Kind])
    def get_all(self, request: Request) -> list[str]:
        """List the types of rules."""
        return [kind.value for kind in RuleType]


class StoreController(Controller):
    """A node that works with the store."""

    def __init__(self, context: Context, store: HashmapStore) -> None:
        super().__init__(context)
        self.store = store


class ServicesController(StoreController):
    def __init__(
        self,
        context: Context,
        store: HashmapStore,
        fields: "FieldsController",
        mappings: "MappingsController",
    ) -> None:
        super().__init__(context, store)
        self.members = {
            "fields": ServiceFieldsController(context, store),
            "mappings": ServiceMappingsController(context, mappings),
        }

    @expose(Services)
    def get_all(self, request: Request) -> Listing:
        """List services: the metrics that rules exist for."""
        return {"services": self.store.list_services()}

    @expose(Service, types.Text, path=1)
    def get_one(self, request: Request, service_id: str) -> records.Service:
        """Show a service."""
        return self.store.get_service(service_id)

    @expose(Service, body=Service, status=CREATED)
    def post(self, request: Request, service_data: Service) -> Reply:
        """Add a service."""
        service = self.store.create_service(service_data.name)
        return Reply.created(service, f"{request.resource_url}/{service.service_id}")

    @expose(None, types.Text, path=1, status=204)
    def delete(self, request: Request, service_id: str) -> None:
        """Delete a service with its fields and all of their rules."""
        self.store.delete_service(service_id)


class FieldsController(StoreController):
    @expose(Fields, types.Text)
    def get_all(self, request: Request, service_id: str) -> Listing:
        """List the fields of a service."""
        return {"fields": self.store.list_fields(service_id)}

    @expose(Field, types.Text, path=1)
    def get_one(self, request: Request, field_id: str) -> records.Field:
        """Show a field."""
        return self.store.get_field(field_id)

    @expose(Field, body=Field, status=CREATED)
    def post(self, request: Request, field_data: Field) -> Reply:
        """Add a field: an attribute of a service that rules exist for."""
        field = self.store.create_field(field_data.service_id, field_data.name)
        return Reply.created(field, f"{request.resource_url}/{field.field_id}")

    @expose(None, types.Text, path=1, status=204)
    def delete(self, request: Request, field_id: str) -> None:
        """Delete a field with its rules."""
        self.store.delete_field(field_id)


class ServiceFieldsController(StoreController):
    """The fields of one service; they are created where all fields are."""

    get_all = FieldsController.get_all


class GroupsController(StoreController):
    def __init__(self, context: Context, store: HashmapStore) -> None:
        super().__init__(context, store)
        self.members = {
            "mappings": GroupMappingsController(context, store),
            "thresholds": GroupThresholdsController(context, store),
        }
        self.children = dict(self.members)

    @expose(Groups)
    def get_all(self, request: Request) -> Listing:
        """List groups."""
        return {"groups": self.store.list_groups()}

    @expose(Group, types.Text, path=1)
    def get_one(self, request: Request, group_id: str) -> records.Group:
        """Show a group."""
        return self.store.get_group(group_id)

    @expose(Group, body=Group, status=CREATED)
    def post(self, request: Request, group_data: Group) -> Reply:
        """Add a group: what its rules make of a point is added to what others make of it."""
        group = self.store.create_group(group_data.name)
        return Reply.created(group, f"{request.resource_url}/{group.group_id}")

    @expose(None, types.Text, types.Flag, path=1, status=204)
    def delete(self, request: Request, group_id: str, recursive: bool = False) -> None:
        """Delete a group; its rules stay without one, unless *recursive* deletes them too."""
        self.store.delete_group(group_id, recursive=recursive)


class GroupMappingsController(StoreController):
    @expose(Mappings, types.Text)
    def get_all(self, request: Request, group_id: str) -> Listing:
        """List the mappings of a group that are not deleted."""
        wanted = records.MappingFilter(group_id=group_id)
        return {"mappings": self.store.list_mappings(wanted, now=types.now())}


class GroupThresholdsController(StoreController):
    @expose(Thresholds, types.Text)
    def get_all(self, request: Request, group_id: str) -> Listing:
        """List the thresholds of a group."""
        return {"thresholds": self.store.list_thresholds(records.RuleFilter(group_id=group_id))}


class MappingsController(StoreController):
    def __init__(self, context: Context, store: HashmapStore) -> None:
        super().__init__(context, store)
        self.members = {"group": MappingGroupController(context, store)}
        self.children = dict(self.members)

    @expose(
        Mappings,
        types.Text,
        types.Text,
        types.Text,
        types.Flag,
        types.Text,
        types.Flag,
        *FILTER,
        types.Flag,
    )
    def get_all(
        self,
        request: Request,
        service_id: str | None = None,
        field_id: str | None = None,
        group_id: str | None = None,
        no_group: bool = False,
        tenant_id: str | None = None,
        filter_tenant: bool = False,
        deleted: bool = False,
        start: datetime.datetime | None = None,
        end: datetime.datetime | None = None,
        updated_by: str | None = None,
        created_by: str | None = None,
        deleted_by: str | None = None,
        description: str | None = None,
        is_active: bool = False,
        all: bool = True,
    ) -> Listing:
        """List mappings; what is not asked for does not matter.

        *tenant_id* counts only with *filter_tenant*, and nothing then means rules for everybody.
        *start* asks for rules that start then or later, *end* for those that end before.
        """
        if not (all or service_id or field_id or group_id):
            raise errors.NoParentToList()
        wanted = records.MappingFilter(
            service_id=service_id,
            field_id=field_id,
            group_id=group_id,
            no_group=no_group,
            tenant_id=tenant_id,
            filter_tenant=filter_tenant,
            deleted=deleted,
            start=start,
            end=end,
            updated_by=updated_by,
            created_by=created_by,
            deleted_by=deleted_by,
            description=description,
            is_active=is_active,
        )
        return {"mappings": self.store.list_mappings(wanted, now=types.now())}

    @expose(Mapping, types.Text, path=1)
    def get_one(self, request: Request, mapping_id: str) -> records.MappingRecord:
        """Show a mapping, also a deleted one."""
        return self.store.get_mapping(mapping_id)

    @expose(Mapping, types.Flag, body=Mapping, status=CREATED)
    def post(
        self, request: Request, force: bool = False, mapping_data: Mapping | None = None
    ) -> Reply:
        """Add a mapping to a service or to a field; *force* allows a start in the past."""
        mapping = self.create(request, force, mapping_data)
        return Reply.created(mapping, f"{request.resource_url}/{mapping.mapping_id}")

    def create(
        self, request: Request, force: bool, mapping_data: Mapping | None
    ) -> records.MappingRecord:
        new = records.NewMapping(**_said(mapping_data, _MAPPING))
        user = request.caller.audit_name
        return self.store.create_mapping(new, now=types.now(), user=user, force=force)

    @expose(None, types.Text, body=Mapping, path=1, status=SEE)
    def put(
        self, request: Request, mapping_id: str | None = None, mapping_data: Mapping | None = None
    ) -> Reply:
        """Change a mapping: one that has started can only be given an end."""
        name = mapping_id or getattr(mapping_data, "mapping_id", None)
        if not name:
            raise errors.MissingArgument(name="mapping_id")
        self.store.update_mapping(
            name, _sent(mapping_data, _MAPPING), now=types.now(), user=request.caller.audit_name
        )
        return Reply.see(request.object_url(name))

    @expose(None, types.Text, path=1, status=204)
    def delete(self, request: Request, mapping_id: str) -> None:
        """Delete a mapping; what it was can still be asked for."""
        self.store.delete_mapping(mapping_id, now=types.now(), user=request.caller.audit_name)


class ServiceMappingsController(Controller):
    """The mappings of one service, not of its fields; also another door to create one."""

    get_all = MappingsController.get_all

    def __init__(self, context: Context, mappings: MappingsController) -> None:
        super().__init__(context)
        self.store = mappings.store
        self._mappings = mappings

    @expose(Mapping, types.Text, types.Flag, body=Mapping, status=CREATED)
    def post(
        self,
        request: Request,
        service_id: str,
        force: bool = False,
        mapping_data: Mapping | None = None,
    ) -> Reply:
        """Add a mapping to what it names; *force* allows a start in the past."""
        mapping = self._mappings.create(request, force, mapping_data)
        return Reply.created(mapping, f"{request.resource_url}/{mapping.mapping_id}")


class MappingGroupController(StoreController):
    @expose(Group, types.Text)
    def get_all(self, request: Request, mapping_id: str) -> records.Group:
        """Show the group of a mapping."""
        return self.store.get_mapping_group(mapping_id)


class ThresholdsController(StoreController):
    def __init__(self, context: Context, store: HashmapStore) -> None:
        super().__init__(context, store)
        self.members = {"group": ThresholdGroupController(context, store)}
        self.children = dict(self.members)

    @expose(Thresholds, types.Text, types.Text, types.Text, types.Flag, types.Text, types.Flag)
    def get_all(
        self,
        request: Request,
        service_id: str | None = None,
        field_id: str | None = None,
        group_id: str | None = None,
        no_group: bool = False,
        tenant_id: str | None = None,
        filter_tenant: bool = False,
    ) -> Listing:
        """List thresholds; what is not asked for does not matter.

        *tenant_id* counts only with *filter_tenant*, and nothing then means rules for everybody.
        """
        wanted = records.RuleFilter(
            service_id=service_id,
            field_id=field_id,
            group_id=group_id,
            no_group=no_group,
            tenant_id=tenant_id,
            filter_tenant=filter_tenant,
        )
        return {"thresholds": self.store.list_thresholds(wanted)}

    @expose(Threshold, types.Text, path=1)
    def get_one(self, request: Request, threshold_id: str) -> records.ThresholdRecord:
        """Show a threshold."""
        return self.store.get_threshold(threshold_id)

    @expose(Threshold, body=Threshold, status=CREATED)
    def post(self, request: Request, threshold_data: Threshold) -> Reply:
        """Add a threshold to a service or to a field."""
        new = records.NewThreshold(**_said(threshold_data, _THRESHOLD))
        threshold = self.store.create_threshold(new)
        return Reply.created(threshold, f"{request.resource_url}/{threshold.threshold_id}")

    @expose(None, types.Text, body=Threshold, path=1, status=SEE)
    def put(
        self,
        request: Request,
        threshold_id: str | None = None,
        threshold_data: Threshold | None = None,
    ) -> Reply:
        """Change a threshold."""
        name = threshold_id or getattr(threshold_data, "threshold_id", None)
        if not name:
            raise errors.MissingArgument(name="threshold_id")
        self.store.update_threshold(name, _sent(threshold_data, _THRESHOLD))
        return Reply.see(request.object_url(name))

    @expose(None, types.Text, path=1, status=204)
    def delete(self, request: Request, threshold_id: str) -> None:
        """Delete a threshold."""
        self.store.delete_threshold(threshold_id)


class ThresholdGroupController(StoreController):
    @expose(Group, types.Text)
    def get_all(self, request: Request, threshold_id: str) -> records.Group:
        """Show the group of a threshold."""
        return self.store.get_threshold_group(threshold_id)
