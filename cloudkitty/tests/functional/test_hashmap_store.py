# SPDX-License-Identifier: Apache-2.0
"""The hashmap store on every database."""

import datetime
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
import sqlalchemy as sa
from oslo_db import exception as db_exception

from cloudkitty.dataframe import DataFrame, Registry
from cloudkitty.db.engine import Database
from cloudkitty.period import UTC, Period
from cloudkitty.rating.errors import Conflict, Invalid, NotFound
from cloudkitty.rating.hashmap import models
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
from cloudkitty.rating.hashmap.rules import RuleType
from cloudkitty.rating.hashmap.store import HashmapStore
from cloudkitty.rating.state import ModuleStates
from cloudkitty.tests.racing import race

NOW = datetime.datetime(2026, 1, 5, 10, 0, 0, tzinfo=UTC)
HOUR = datetime.timedelta(hours=1)
NOWHERE = "00000000-0000-0000-0000-000000000000"


class Shop:
    """A store with one service and one field, and short ways to make rules."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.store = HashmapStore(database)
        self.service = self.store.create_service("instance")
        self.field = self.store.create_field(self.service.service_id, "flavor")

    def mapping(self, cost: str = "1", *, force: bool = False, **attributes: Any) -> MappingRecord:
        if "service_id" not in attributes and "field_id" not in attributes:
            attributes["field_id"] = self.field.field_id
            attributes.setdefault("value", "small")
        new = NewMapping(cost=Decimal(cost), **attributes)
        return self.store.create_mapping(new, now=NOW, user="u1", force=force)

    def threshold(self, level: str = "10", **attributes: Any) -> ThresholdRecord:
        if "service_id" not in attributes and "field_id" not in attributes:
            attributes["field_id"] = self.field.field_id
        new = NewThreshold(level=Decimal(level), cost=Decimal("0.5"), **attributes)
        return self.store.create_threshold(new)

    def names(self, now: datetime.datetime = NOW, **wanted: Any) -> list[str]:
        found = self.store.list_mappings(MappingFilter(**wanted), now=now)
        return [mapping.name for mapping in found]

    def update(
        self, mapping: MappingRecord, now: datetime.datetime = NOW, **changes: Any
    ) -> MappingRecord:
        return self.store.update_mapping(mapping.mapping_id, changes, now=now, user="u2")

    def delete(self, mapping: MappingRecord) -> None:
        self.store.delete_mapping(mapping.mapping_id, now=NOW, user="u3")

    def revision(self) -> int:
        return ModuleStates(self.database).get("hashmap").revision


@pytest.fixture
def shop(database: Database) -> Shop:
    return Shop(database)


@pytest.fixture
def corner_shop(sqlite_database: Database) -> Shop:
    """A shop for what does not depend on the database."""
    return Shop(sqlite_database)


# Services, fields, groups


def test_service_is_read_as_created(shop: Shop) -> None:
    assert shop.store.get_service(shop.service.service_id) == shop.service
    assert shop.store.list_services() == [Service(shop.service.service_id, "instance")]


def test_field_is_read_as_created(shop: Shop) -> None:
    expected = Field(shop.field.field_id, "flavor", shop.service.service_id)
    assert shop.store.get_field(shop.field.field_id) == expected
    assert shop.store.list_fields(shop.service.service_id) == [expected]
    assert shop.store.list_fields("nonsense\0") == []


def test_group_is_read_as_created(shop: Shop) -> None:
    group = shop.store.create_group("compute")
    assert shop.store.get_group(group.group_id) == group
    assert shop.store.list_groups() == [Group(group.group_id, "compute")]


def test_names_are_listed_in_order_of_creation(shop: Shop) -> None:
    for name in ("z", "a", "m"):
        shop.store.create_group(name)
    assert [group.name for group in shop.store.list_groups()] == ["z", "a", "m"]


def test_taken_name_is_refused(shop: Shop) -> None:
    store, group = shop.store, shop.store.create_group("g")
    calls: list[tuple[Callable[[], object], str]] = [
        (
            lambda: store.create_service("instance"),
            f"Service instance already exists (UUID: {shop.service.service_id})",
        ),
        (
            lambda: store.create_field(shop.service.service_id, "flavor"),
            f"Field flavor already exists (UUID: {shop.field.field_id})",
        ),
        (lambda: store.create_group("g"), f"Group g already exists (UUID: {group.group_id})"),
    ]
    for call, message in calls:
        with pytest.raises(Conflict) as caught:
            call()
        assert str(caught.value) == message
        assert caught.value.http_status == 409


def test_field_name_is_free_in_another_service(shop: Shop) -> None:
    other = shop.store.create_service("volume")
    assert shop.store.create_field(other.service_id, "flavor").service_id == other.service_id


@pytest.mark.parametrize("name", ["", "x" * 256, "a\0b"])
def test_impossible_name_is_refused(corner_shop: Shop, name: str) -> None:
    with pytest.raises(Invalid, match="name: "):
        corner_shop.store.create_service(name)


@pytest.mark.parametrize("wanted", [NOWHERE, "42", "", "\0"])
def test_unknown_id_is_not_found(shop: Shop, wanted: str) -> None:
    store = shop.store
    service = f"No such service: None (UUID: {wanted})"
    group = f"No such group: None (UUID: {wanted})"
    field, mapping = f"No such field: {wanted}", f"No such mapping: {wanted}"
    threshold = f"No such threshold: {wanted}"
    calls: list[tuple[Callable[[], object], str]] = [
        (lambda: store.get_service(wanted), service),
        (lambda: store.delete_service(wanted), service),
        (lambda: store.get_field(wanted), field),
        (lambda: store.delete_field(wanted), field),
        (lambda: store.get_group(wanted), group),
        (lambda: store.delete_group(wanted), group),
        (lambda: store.get_mapping(wanted), mapping),
        (lambda: store.update_mapping(wanted, {}, now=NOW, user="u"), mapping),
        (lambda: store.delete_mapping(wanted, now=NOW, user="u"), mapping),
        (lambda: store.get_mapping_group(wanted), f"Mapping has no group (UUID: {wanted})"),
        (lambda: store.get_threshold(wanted), threshold),
        (lambda: store.update_threshold(wanted, {}), threshold),
        (lambda: store.delete_threshold(wanted), threshold),
        (lambda: store.get_threshold_group(wanted), f"Threshold has no group (UUID: {wanted})"),
    ]
    for call, message in calls:
        with pytest.raises(NotFound) as caught:
            call()
        assert str(caught.value) == message
        assert caught.value.http_status == 404


def test_deleting_a_service_deletes_all_below_it(shop: Shop) -> None:
    shop.mapping()
    shop.mapping(service_id=shop.service.service_id)
    shop.threshold()
    shop.store.delete_service(shop.service.service_id)
    assert shop.store.list_services() == []
    assert shop.names(deleted=True) == []
    assert shop.store.list_thresholds(RuleFilter()) == []
    with pytest.raises(NotFound):
        shop.store.get_field(shop.field.field_id)


def test_deleting_a_field_deletes_its_rules_only(shop: Shop) -> None:
    shop.mapping()
    shop.threshold()
    shop.mapping(service_id=shop.service.service_id, name="stays")
    shop.store.delete_field(shop.field.field_id)
    assert shop.names() == ["stays"]
    assert shop.store.list_thresholds(RuleFilter()) == []


def test_deleting_a_group_leaves_its_rules_without_group(shop: Shop) -> None:
    group = shop.store.create_group("g").group_id
    mapping, threshold = shop.mapping(group_id=group), shop.threshold(group_id=group)
    shop.store.delete_group(group)
    assert shop.store.get_mapping(mapping.mapping_id).group_id is None
    assert shop.store.get_threshold(threshold.threshold_id).group_id is None
    with pytest.raises(Conflict):
        shop.mapping()
    with pytest.raises(Conflict):
        shop.threshold()


@pytest.mark.parametrize("kind", ["mapping", "threshold"])
def test_deleting_a_group_whose_rule_would_collide_is_refused(shop: Shop, kind: str) -> None:
    group = shop.store.create_group("g").group_id
    create = getattr(shop, kind)
    create(group_id=group)
    create()
    with pytest.raises(Conflict):
        shop.store.delete_group(group)
    assert [known.group_id for known in shop.store.list_groups()] == [group]


def test_deleting_a_group_with_its_rules(shop: Shop) -> None:
    group = shop.store.create_group("g").group_id
    shop.delete(shop.mapping(group_id=group, name="deleted before"))
    shop.mapping(group_id=group)
    shop.threshold(group_id=group)
    shop.mapping(name="stays")
    shop.store.delete_group(group, recursive=True)
    assert shop.names(deleted=True) == ["stays"]
    assert shop.store.list_thresholds(RuleFilter()) == []


# Creating rules


def test_mapping_is_read_as_created(shop: Shop) -> None:
    group = shop.store.create_group("g").group_id
    created = shop.mapping(
        "-123456789012.0000000000000000000000000001",
        type=RuleType.RATE,
        group_id=group,
        tenant_id="t" * 255,
        name="a name",
        description="why",
        start=NOW + HOUR,
        end=NOW + 2 * HOUR,
    )
    assert created.cost == Decimal("-123456789012.0000000000000000000000000001")
    assert (created.created_at, created.created_by) == (NOW, "u1")
    assert shop.store.get_mapping(created.mapping_id) == created
    assert shop.store.get_mapping_group(created.mapping_id).group_id == group


def test_mapping_has_defaults(shop: Shop) -> None:
    mapping = shop.mapping(service_id=shop.service.service_id)
    assert (mapping.start, mapping.end, mapping.value) == (NOW, None, "")
    assert mapping.type is RuleType.FLAT
    assert len(mapping.name) == 32
    assert shop.store.get_mapping(mapping.mapping_id) == mapping


def test_cost_beyond_28_decimals_is_rounded_half_to_even(shop: Shop) -> None:
    mapping = shop.mapping("0.00000000000000000000000000025")
    assert mapping.cost == Decimal("0.0000000000000000000000000002")


@pytest.mark.parametrize("cost", ["1000000000000", "NaN", "Infinity"])
def test_impossible_cost_is_refused(corner_shop: Shop, cost: str) -> None:
    with pytest.raises(Invalid, match="cost: "):
        corner_shop.mapping(cost)


def test_times_of_another_zone_are_kept_as_utc(shop: Shop) -> None:
    east = datetime.timezone(datetime.timedelta(hours=2))
    mapping = shop.mapping(start=datetime.datetime(2026, 1, 5, 14, tzinfo=east))
    assert shop.store.get_mapping(mapping.mapping_id).start == NOW + 2 * HOUR


def rule_errors(shop: Shop) -> list[tuple[dict[str, Any], str]]:
    service, field = shop.service.service_id, shop.field.field_id
    return [
        ({"service_id": service, "field_id": field}, "You can only specify one parent."),
        ({"service_id": None}, "You must specify one parent."),
        ({"service_id": NOWHERE}, f"No such service: None (UUID: {NOWHERE})"),
        ({"field_id": NOWHERE, "value": "a"}, f"No such field: {NOWHERE}"),
        (
            {"field_id": field, "value": "a", "group_id": NOWHERE},
            f"No such group: None (UUID: {NOWHERE})",
        ),
        (
            {"service_id": service, "value": "a"},
            "You can't specify a value and a service_id.",
        ),
        ({"field_id": field}, "You must specify a value for a field mapping."),
        ({"field_id": field, "value": ""}, "You must specify a value for a field mapping."),
        ({"start": NOW - HOUR}, "Cannot create a rule with start in the past. "),
        ({"end": NOW - HOUR}, "Cannot create a rule with start after end. "),
        ({"start": NOW + 2 * HOUR, "end": NOW + HOUR}, "Cannot create a rule with start after"),
        ({"tenant_id": "t" * 256}, "tenant_id: "),
        ({"description": "d" * 257}, "description: "),
    ]


@pytest.mark.parametrize("number", range(13))
def test_wrong_mapping_is_refused(corner_shop: Shop, number: int) -> None:
    attributes, message = rule_errors(corner_shop)[number]
    with pytest.raises(Invalid) as caught:
        corner_shop.mapping(**attributes)
    assert str(caught.value).startswith(message)
    assert caught.value.http_status == 400
    assert corner_shop.names() == []


def test_start_in_the_past_can_be_forced(corner_shop: Shop) -> None:
    assert corner_shop.mapping(start=NOW - HOUR, force=True).start == NOW - HOUR


def test_end_before_start_cannot_be_forced(corner_shop: Shop) -> None:
    with pytest.raises(Invalid, match="start after end"):
        corner_shop.mapping(start=NOW - HOUR, end=NOW - 2 * HOUR, force=True)


def test_wrong_threshold_is_refused(corner_shop: Shop) -> None:
    service, field = corner_shop.service.service_id, corner_shop.field.field_id
    for attributes, message in (
        ({"service_id": service, "field_id": field}, "You can only specify one parent."),
        ({"service_id": None}, "You must specify one parent."),
        ({"service_id": NOWHERE}, f"No such service: None (UUID: {NOWHERE})"),
        ({"field_id": NOWHERE}, f"No such field: {NOWHERE}"),
    ):
        with pytest.raises(Invalid) as caught:
            corner_shop.threshold(**attributes)
        assert str(caught.value) == message


# Rivals


def test_name_of_a_live_mapping_is_refused(shop: Shop) -> None:
    taken = shop.mapping(name="n")
    with pytest.raises(Conflict, match=taken.mapping_id):
        shop.mapping(name="n", value="large")


def test_name_and_slot_of_a_deleted_mapping_are_free(shop: Shop) -> None:
    shop.delete(shop.mapping(name="n"))
    shop.delete(shop.mapping(name="n"))
    assert shop.mapping(name="n").name == "n"


@pytest.mark.parametrize(
    ("start", "end", "collides"),
    [
        (0, None, True),
        (0, 2, False),
        (0, 3, True),
        (2, 4, True),
        (3, 3.5, True),
        (3, None, True),
        (4, 6, False),
        (4, None, False),
        (1, 6, True),
    ],
)
def test_mapping_may_not_overlap_an_equal_one(
    shop: Shop, start: float, end: float | None, collides: bool
) -> None:
    shop.mapping(start=NOW + 2 * HOUR, end=NOW + 4 * HOUR)

    def create() -> None:
        shop.mapping(start=NOW + start * HOUR, end=None if end is None else NOW + end * HOUR)

    if not collides:
        create()
        return
    with pytest.raises(Conflict) as caught:
        create()
    assert str(caught.value) == (
        f"Mapping 'small' already exists for field '{shop.field.field_id}', tenant: 'None'"
    )


def test_open_mapping_keeps_later_ones_out(shop: Shop) -> None:
    shop.mapping()
    with pytest.raises(Conflict):
        shop.mapping(start=NOW + 1000 * HOUR)


@pytest.mark.parametrize("other", ["value", "tenant", "group", "parent"])
def test_different_mappings_may_overlap(shop: Shop, other: str) -> None:
    shop.mapping()
    attributes: dict[str, dict[str, Any]] = {
        "value": {"value": "Small"},
        "tenant": {"tenant_id": "P"},
        "group": {"group_id": shop.store.create_group("g").group_id},
        "parent": {"service_id": shop.service.service_id},
    }
    shop.mapping(**attributes[other])
    with pytest.raises(Conflict):
        shop.mapping(**attributes[other])


def test_value_null_and_empty_are_one(shop: Shop) -> None:
    shop.mapping(service_id=shop.service.service_id, value=None)
    with pytest.raises(Conflict) as caught:
        shop.mapping(service_id=shop.service.service_id, value="", tenant_id=None)
    assert "already exists for service" in str(caught.value)


@pytest.mark.parametrize("tenant", [None, "P"])
def test_equal_threshold_is_refused(shop: Shop, tenant: str | None) -> None:
    shop.threshold("10", tenant_id=tenant)
    with pytest.raises(Conflict, match=f"tenant: '{tenant}'"):
        shop.threshold("10.000", tenant_id=tenant)


def test_equal_level_in_another_group_or_project_is_accepted(shop: Shop) -> None:
    group = shop.store.create_group("g").group_id
    shop.threshold(tenant_id="P")
    shop.threshold(tenant_id="P", group_id=group)
    shop.threshold(tenant_id="Q", group_id=group)
    shop.threshold()
    assert len(shop.store.list_thresholds(RuleFilter())) == 4


def test_database_itself_refuses_a_second_global_threshold(shop: Shop) -> None:
    shop.threshold()
    copy = sa.select(models.thresholds)
    with pytest.raises(db_exception.DBDuplicateEntry), shop.database.writer() as connection:
        row = dict(connection.execute(copy).mappings().one())
        del row["id"]
        row["threshold_id"] = NOWHERE
        connection.execute(models.thresholds.insert().values(row))


def test_database_itself_refuses_a_second_live_name(shop: Shop) -> None:
    shop.mapping(name="n")
    with pytest.raises(db_exception.DBDuplicateEntry), shop.database.writer() as connection:
        row = dict(connection.execute(sa.select(models.mappings)).mappings().one())
        del row["id"]
        row["mapping_id"] = NOWHERE
        connection.execute(models.mappings.insert().values(row))


def test_of_racing_equal_mappings_one_is_created(shop: Shop) -> None:
    assert race([shop.mapping] * 4) == ["Conflict", "Conflict", "Conflict", "done"]
    assert len(shop.names()) == 1


def test_of_racing_equal_thresholds_one_is_created(shop: Shop) -> None:
    assert race([shop.threshold] * 4) == ["Conflict", "Conflict", "Conflict", "done"]


def test_first_writers_of_an_empty_database_do_not_collide(database: Database) -> None:
    store = HashmapStore(database)
    calls = [lambda name=name: store.create_service(name) for name in ("a", "b", "c", "d")]
    assert race(calls) == ["done"] * 4
    assert ModuleStates(database).get("hashmap").revision == 4


# Reading rules


def test_filters_of_mappings(shop: Shop) -> None:
    service, field = shop.service.service_id, shop.field.field_id
    group = shop.store.create_group("g").group_id
    shop.mapping(name="of service", service_id=service)
    shop.mapping(name="of field", group_id=group)
    shop.mapping(name="of P", tenant_id="P", description="Größe 100%")
    shop.mapping(name="later", value="large", start=NOW + HOUR, end=NOW + 2 * HOUR)
    shop.delete(shop.mapping(name="deleted", value="gone"))
    live = ["of service", "of field", "of P", "later"]
    cases: list[tuple[dict[str, Any], list[str]]] = [
        ({}, live),
        ({"deleted": True}, [*live, "deleted"]),
        ({"service_id": service}, ["of service"]),
        ({"service_id": service, "field_id": field}, ["of service"]),
        ({"field_id": field}, ["of field", "of P", "later"]),
        ({"field_id": NOWHERE}, []),
        ({"group_id": group}, ["of field"]),
        ({"group_id": group, "no_group": True}, ["of field"]),
        ({"no_group": True}, ["of service", "of P", "later"]),
        ({"tenant_id": "P"}, live),
        ({"tenant_id": "P", "filter_tenant": True}, ["of P"]),
        ({"filter_tenant": True}, ["of service", "of field", "later"]),
        ({"start": NOW + HOUR}, ["later"]),
        ({"end": NOW + 3 * HOUR}, ["later"]),
        ({"end": NOW + 2 * HOUR}, []),
        ({"created_by": "u1"}, live),
        ({"created_by": "u2"}, []),
        ({"deleted_by": "u3"}, []),
        ({"deleted_by": "u3", "deleted": True}, ["deleted"]),
        ({"description": "GRÖSSE 100%"}, ["of P"]),
        ({"description": "_"}, []),
        ({"is_active": True}, ["of service", "of field", "of P"]),
        ({"tenant_id": "\0", "filter_tenant": True}, []),
    ]
    for wanted, names in cases:
        assert shop.names(**wanted) == names, wanted
    assert shop.names(now=NOW + 2 * HOUR, is_active=True) == ["of service", "of field", "of P"]
    assert shop.names(now=NOW + HOUR, is_active=True) == live


def test_filters_of_thresholds(shop: Shop) -> None:
    group = shop.store.create_group("g").group_id
    of_service = shop.threshold(service_id=shop.service.service_id)
    of_group = shop.threshold(group_id=group)
    of_tenant = shop.threshold(tenant_id="P")
    cases: list[tuple[dict[str, Any], list[ThresholdRecord]]] = [
        ({}, [of_service, of_group, of_tenant]),
        ({"service_id": shop.service.service_id}, [of_service]),
        ({"field_id": shop.field.field_id}, [of_group, of_tenant]),
        ({"group_id": group}, [of_group]),
        ({"no_group": True}, [of_service, of_tenant]),
        ({"tenant_id": "P", "filter_tenant": True}, [of_tenant]),
        ({"filter_tenant": True}, [of_service, of_group]),
    ]
    for wanted, expected in cases:
        assert shop.store.list_thresholds(RuleFilter(**wanted)) == expected, wanted
    assert shop.store.get_threshold(of_group.threshold_id) == of_group
    assert shop.store.get_threshold_group(of_group.threshold_id).name == "g"


# Changing rules


def test_running_mapping_gets_an_end(shop: Shop) -> None:
    mapping = shop.mapping(type=RuleType.RATE)
    changed = shop.update(mapping, cost=mapping.cost, end=NOW + HOUR)
    assert (changed.end, changed.updated_by, changed.type) == (NOW + HOUR, "u2", RuleType.RATE)
    assert shop.store.get_mapping(mapping.mapping_id) == changed


def test_whole_running_mapping_can_be_sent_back_with_an_end(shop: Shop) -> None:
    group = shop.store.create_group("g").group_id
    mapping = shop.mapping(group_id=group, tenant_id="P", description="d")
    sent = {name: getattr(mapping, name) for name in NewMapping.__dataclass_fields__}
    assert shop.update(mapping, **sent | {"end": NOW + HOUR}).end == NOW + HOUR


def test_same_update_again_changes_nothing(shop: Shop) -> None:
    mapping = shop.mapping()
    shop.update(mapping, end=NOW + HOUR)
    before = shop.revision()
    assert shop.update(mapping, end=NOW + HOUR, cost=Decimal("1.0")).end == NOW + HOUR
    assert shop.update(mapping, cost=Decimal(0)).cost == 1
    assert shop.revision() == before


@pytest.mark.parametrize(
    "changes",
    [{"cost": Decimal(2)}, {"value": "x"}, {"tenant_id": "P"}, {"start": NOW + HOUR}],
)
def test_running_mapping_changes_in_nothing_but_its_end(
    corner_shop: Shop, changes: dict[str, Any]
) -> None:
    with pytest.raises(Invalid) as caught:
        corner_shop.update(corner_shop.mapping(), end=NOW + HOUR, **changes)
    assert str(caught.value).startswith(
        "You are allowed to update only the attribute [end] as this rule is already running as it "
        "started on [2026-01-05"
    )


@pytest.mark.parametrize("changes", [{"cost": Decimal(2)}, {"end": NOW + 3 * HOUR}])
def test_running_mapping_with_an_end_does_not_change(
    corner_shop: Shop, changes: dict[str, Any]
) -> None:
    mapping = corner_shop.mapping(end=NOW + 2 * HOUR)
    with pytest.raises(Invalid) as caught:
        corner_shop.update(mapping, **changes)
    assert str(caught.value) == (
        "Cannot update a rule that was already processed and has a defined end date."
    )


def test_end_of_a_running_mapping_lies_in_the_future(corner_shop: Shop) -> None:
    with pytest.raises(Invalid, match="End date must be in the future"):
        corner_shop.update(corner_shop.mapping(), now=NOW + HOUR, end=NOW + HOUR)


def test_future_mapping_changes(shop: Shop) -> None:
    mapping = shop.mapping(start=NOW + HOUR, description="old")
    changed = shop.update(
        mapping,
        cost=Decimal("2.5"),
        start=NOW + 2 * HOUR,
        end=NOW + 3 * HOUR,
        description="new",
        value="ignored",
        type=RuleType.RATE,
    )
    assert shop.store.get_mapping(mapping.mapping_id) == changed
    assert (changed.cost, changed.description) == (Decimal("2.5"), "new")
    assert (changed.start, changed.end) == (NOW + 2 * HOUR, NOW + 3 * HOUR)
    assert (changed.value, changed.type) == ("small", RuleType.FLAT)


def test_future_mapping_loses_a_description_that_is_not_sent(shop: Shop) -> None:
    mapping = shop.mapping(start=NOW + HOUR, end=NOW + 2 * HOUR, description="old")
    changed = shop.update(mapping, cost=mapping.cost)
    assert (changed.description, changed.start) == (None, NOW + HOUR)
    assert changed.end == NOW + 2 * HOUR
    assert shop.update(mapping, cost=mapping.cost, end=None).end is None


def test_future_mapping_stays_in_the_future(corner_shop: Shop) -> None:
    mapping = corner_shop.mapping(start=NOW + HOUR)
    with pytest.raises(Invalid, match="start in the past"):
        corner_shop.update(mapping, start=NOW - HOUR)
    with pytest.raises(Invalid, match="start after end"):
        corner_shop.update(mapping, end=NOW)


def test_future_mapping_may_not_move_onto_another(shop: Shop) -> None:
    shop.mapping(end=NOW + 2 * HOUR)
    later = shop.mapping(start=NOW + 2 * HOUR)
    with pytest.raises(Conflict):
        shop.update(later, start=NOW + HOUR)
    assert shop.update(later, start=NOW + 3 * HOUR).start == NOW + 3 * HOUR


def test_deleted_mapping_is_kept_and_read(shop: Shop) -> None:
    mapping = shop.mapping()
    shop.delete(mapping)
    kept = shop.store.get_mapping(mapping.mapping_id)
    assert (kept.deleted, kept.deleted_by) == (NOW, "u3")
    with pytest.raises(NotFound):
        shop.delete(mapping)
    with pytest.raises(NotFound):
        shop.update(mapping, end=NOW + HOUR)


def test_threshold_changes(shop: Shop) -> None:
    group = shop.store.create_group("g").group_id
    threshold = shop.threshold(type=RuleType.RATE, tenant_id="P")
    changes = {"level": Decimal(20), "cost": Decimal("0.25"), "group_id": group}
    changed = shop.store.update_threshold(threshold.threshold_id, changes)
    assert shop.store.get_threshold(threshold.threshold_id) == changed
    assert (changed.level, changed.cost, changed.group_id) == (20, Decimal("0.25"), group)
    assert (changed.type, changed.tenant_id) == (RuleType.FLAT, None)
    before = shop.revision()
    shop.store.update_threshold(threshold.threshold_id, changes)
    assert shop.revision() == before
    changes["group_id"] = None
    assert shop.store.update_threshold(threshold.threshold_id, changes).group_id is None


def test_threshold_may_not_become_another(shop: Shop) -> None:
    shop.threshold("10")
    other = shop.threshold("20")
    with pytest.raises(Conflict):
        shop.store.update_threshold(other.threshold_id, {"level": Decimal(10)})
    with pytest.raises(Invalid, match="No such group"):
        shop.store.update_threshold(other.threshold_id, {"group_id": NOWHERE})


def test_deleted_threshold_is_gone(shop: Shop) -> None:
    threshold = shop.threshold()
    shop.store.delete_threshold(threshold.threshold_id)
    with pytest.raises(NotFound):
        shop.store.get_threshold(threshold.threshold_id)
    shop.threshold()


# Revision and rating


def test_every_change_moves_the_revision_by_one(shop: Shop) -> None:
    store = shop.store
    before = shop.revision()
    mapping, threshold = shop.mapping(), shop.threshold()
    shop.update(mapping, end=NOW + HOUR)
    store.update_threshold(threshold.threshold_id, {"level": Decimal(11)})
    shop.delete(mapping)
    store.delete_threshold(threshold.threshold_id)
    group = store.create_group("g")
    store.delete_group(group.group_id)
    store.delete_field(shop.field.field_id)
    store.delete_service(shop.service.service_id)
    assert shop.revision() == before + 10


def test_refused_change_leaves_the_revision(shop: Shop) -> None:
    before = shop.revision()
    with pytest.raises(Conflict):
        shop.store.create_service("instance")
    assert shop.revision() == before


def test_rules_are_loaded_as_they_act(shop: Shop) -> None:
    group = shop.store.create_group("g").group_id
    shop.mapping("0.5")
    shop.mapping("0.4", tenant_id="P", end=NOW + HOUR)
    shop.mapping("0.25", service_id=shop.service.service_id, group_id=group)
    shop.delete(shop.mapping("100", service_id=shop.service.service_id))
    shop.threshold("2", service_id=shop.service.service_id, group_id=group)
    frame = DataFrame(Period(NOW, NOW + HOUR))
    frame.add(Registry().series("instance", groupby={}, metadata={"flavor": "small"}), Decimal(2))
    book = shop.store.load_rules()

    def price(scope: str | None, at: datetime.datetime = NOW) -> Decimal:
        rated = DataFrame.from_dict(frame.as_dict())
        return book.rules(scope, at)[0].rate(rated).price

    assert price(None) == Decimal("1.0") + Decimal("0.5") + Decimal("0.5")
    assert price("P") == Decimal("0.8") + Decimal("1.0")
    assert price("P", NOW + HOUR) == price(None)
    assert price(None, NOW - HOUR) == Decimal("0.5")


def test_number_of_queries_does_not_grow_with_rules(shop: Shop) -> None:
    statements: list[str] = []
    sa.event.listen(
        shop.database.engine,
        "before_cursor_execute",
        lambda _connection, _cursor, statement, *_: statements.append(statement),
    )

    def queries(call: Callable[[], object]) -> int:
        del statements[:]
        call()
        return len([one for one in statements if not one.startswith("BEGIN")])

    create_first = queries(lambda: shop.mapping(value="first"))
    load_first = queries(shop.store.load_rules)
    for number in range(20):
        shop.mapping(value=f"v{number}")
        shop.threshold(str(number))
    assert queries(shop.store.load_rules) == load_first == 3
    assert queries(lambda: shop.mapping(value="last")) == create_first
