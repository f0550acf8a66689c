# SPDX-License-Identifier: Apache-2.0
"""What hashmap says of objects that are not there, or there already."""

from cloudkitty.i18n import _
from cloudkitty.rating.errors import Conflict, NotFound


def no_such_service(service_id: str) -> NotFound:
    return NotFound(_("No such service: None (UUID: {service_id})"), service_id=service_id)


def no_such_field(field_id: str) -> NotFound:
    return NotFound(_("No such field: {field_id}"), field_id=field_id)


def no_such_group(group_id: str) -> NotFound:
    return NotFound(_("No such group: None (UUID: {group_id})"), group_id=group_id)


def no_such_mapping(mapping_id: str) -> NotFound:
    return NotFound(_("No such mapping: {mapping_id}"), mapping_id=mapping_id)


def no_such_threshold(threshold_id: str) -> NotFound:
    return NotFound(_("No such threshold: {threshold_id}"), threshold_id=threshold_id)


def mapping_has_no_group(mapping_id: str) -> NotFound:
    return NotFound(_("Mapping has no group (UUID: {mapping_id})"), mapping_id=mapping_id)


def threshold_has_no_group(threshold_id: str) -> NotFound:
    return NotFound(_("Threshold has no group (UUID: {threshold_id})"), threshold_id=threshold_id)


def rule_exists(noun: str, key: str, kind: str, parent_id: str, tenant_id: str | None) -> Conflict:
    """*noun* is ``Mapping`` or ``Threshold``, *kind* is ``service`` or ``field``."""
    return Conflict(
        _("{noun} '{key}' already exists for {kind} '{parent_id}', tenant: '{tenant_id}'"),
        noun=noun,
        key=key,
        kind=kind,
        parent_id=parent_id,
        tenant_id=tenant_id,
    )
