# SPDX-License-Identifier: Apache-2.0
"""Rules, modules, scopes and reprocessing of an existing service are, once brought over, what they
were there."""

import datetime
import hashlib
import zlib
from decimal import Decimal

import pytest
import sqlalchemy as sa

from cloudkitty.db.collectors import CollectorStore
from cloudkitty.db.scopes import ScopeStore
from cloudkitty.db.tasks import TaskStore
from cloudkitty.period import UTC, Period
from cloudkitty.rating.dated import DatedFilter
from cloudkitty.rating.hashmap.records import MappingFilter, NewMapping, RuleFilter
from cloudkitty.rating.hashmap.store import HashmapStore
from cloudkitty.rating.pyscripts.store import ScriptStore
from cloudkitty.rating.state import ModuleStates
from cloudkitty.scope import Scope
from cloudkitty.task import TaskState
from cloudkitty.tests import api, builders, importing, oldservice
from cloudkitty.tests.importing import bring
from cloudkitty.tests.oldservice import BEGIN, HOUR, OldService, state

H = "/v1/rating/module_config/hashmap"
NOW = datetime.datetime(2026, 2, 2, tzinfo=UTC)
NOON = datetime.datetime(2026, 1, 1, 12)


@pytest.fixture
def old(database_server, tmp_path):
    service = OldService(database_server.dialect, tmp_path)
    yield service
    service.drop()


@pytest.fixture
def conf(conf):
    importing.configure(conf)
    return conf


@pytest.fixture
def filled(old) -> OldService:
    oldservice.fill_rules(old)
    return old


def read(old: OldService, table: sa.Table) -> list:
    with old.engine.connect() as connection:
        return connection.execute(sa.select(table).order_by(*table.primary_key)).all()


# -- hashmap ----------------------------------------------------------------------------------


def test_listings_of_version_1_show_the_rules_of_the_source(
    conf, database, filled, tmp_path
) -> None:
    assert bring(conf, database, filled.url).well
    client = api.Client.of(api.context(conf, database, tmp_path))
    services = {row.id: row for row in read(filled, oldservice.services)}
    fields = {row.id: row for row in read(filled, oldservice.fields)}
    groups = {row.id: row for row in read(filled, oldservice.groups)}
    assert client.get(f"{H}/services").json["services"] == [
        {"service_id": row.service_id, "name": row.name} for row in services.values()
    ]
    [instance, volume] = [row.service_id for row in services.values()]
    assert client.get(f"{H}/fields?service_id={volume}").json["fields"] == []
    assert client.get(f"{H}/fields?service_id={instance}").json["fields"] == [
        {"field_id": row.field_id, "name": row.name, "service_id": instance}
        for row in fields.values()
    ]
    assert client.get(f"{H}/groups").json["groups"] == [
        {"group_id": row.group_id, "name": row.name} for row in groups.values()
    ]

    def common(row) -> dict:
        return {
            "service_id": services[row.service_id].service_id if row.service_id else None,
            "field_id": fields[row.field_id].field_id if row.field_id else None,
            "group_id": groups[row.group_id].group_id if row.group_id else None,
            "tenant_id": row.tenant_id,
            "type": row.map_type,
            "cost": Decimal(str(row.cost)),
        }

    def moment(value) -> str | None:
        return value.isoformat() if value else None

    found = client.get(f"{H}/mappings?deleted=true").json["mappings"]
    for mapping in found:
        mapping["cost"] = Decimal(mapping["cost"])
        mapping["value"] = mapping["value"] or None
    wanted = [
        {
            **common(row),
            "mapping_id": row.mapping_id,
            "value": row.value,
            "name": row.name,
            "description": row.description,
            "start": moment(row.start),
            "end": moment(row.end),
            "created_at": moment(row.created_at),
            "deleted": moment(row.deleted),
            "created_by": row.created_by,
            "updated_by": row.updated_by,
            "deleted_by": row.deleted_by,
        }
        for row in read(filled, oldservice.mappings)
    ]
    if filled.dialect != "sqlite":  # where it keeps costs as binary fractions, see below
        assert found == wanted
    assert [m["mapping_id"] for m in found] == [m["mapping_id"] for m in wanted]
    live = client.get(f"{H}/mappings").json["mappings"]
    assert [m["mapping_id"] for m in live] == [m["mapping_id"] for m in wanted if not m["deleted"]]
    thresholds = [
        threshold
        for parent in (f"service_id={volume}", f"field_id={next(iter(fields.values())).field_id}")
        for threshold in client.get(f"{H}/thresholds?{parent}").json["thresholds"]
    ]
    assert [(t["threshold_id"], Decimal(t["level"]), t["tenant_id"]) for t in thresholds] == [
        (row.threshold_id, Decimal(str(row.level)), row.tenant_id)
        for row in read(filled, oldservice.thresholds)
        if row.service_id
    ]


def test_costs_keep_every_digit(conf, database, filled) -> None:
    """SQLite kept them as binary fractions: there, as many digits as it takes to tell them
    apart."""
    assert bring(conf, database, filled.url).well
    costs = [m.cost for m in HashmapStore(database).list_mappings(MappingFilter(), now=NOW)]
    long = "0.1" if filled.dialect == "sqlite" else "0.1000000000000000000000000001"
    assert list(map(str, costs)) == ["0.0125", "0.01", long, "1.5", "0.002"]


def test_dates_of_rules_are_local_times_of_the_old_server(conf, database, filled) -> None:
    brought = bring(conf, database, filled.url, zone="Europe/Paris")
    assert "local time of Europe/Paris" in brought.text
    found = HashmapStore(database).list_mappings(MappingFilter(deleted=True), now=NOW)
    by_name = {(m.name, m.deleted is not None): m for m in found}
    winter, summer = by_name["m2", False], by_name["m3", False]
    assert winter.start == datetime.datetime(2026, 1, 1, 11, tzinfo=UTC)
    assert winter.end == datetime.datetime(2026, 6, 30, 22, tzinfo=UTC)
    assert summer.start == datetime.datetime(2025, 6, 30, 22, tzinfo=UTC)
    assert by_name["m1", False].start == datetime.datetime(1969, 12, 31, 23, tzinfo=UTC)
    assert by_name["m3", True].deleted == datetime.datetime(2026, 1, 1, 12, tzinfo=UTC)
    [script] = ScriptStore(database).list(DatedFilter(), now=NOW)
    assert script.start == datetime.datetime(2026, 1, 1, 11, tzinfo=UTC)


def test_rules_can_be_added_and_deleted_afterwards(conf, database, filled) -> None:
    """Keys go on behind those of the source, and names and slots are those of live rules."""
    bring(conf, database, filled.url)
    store = HashmapStore(database)
    service = store.create_service("image")
    field = store.create_field(service.service_id, "size")
    new = NewMapping(field_id=field.field_id, value="1", cost=Decimal(1), name="new")
    store.create_mapping(new, now=NOW, user="someone")
    for mapping in store.list_mappings(MappingFilter(), now=NOW):
        store.delete_mapping(mapping.mapping_id, now=NOW, user="someone")
    for one in store.list_services():
        store.delete_service(one.service_id)
    assert store.list_mappings(MappingFilter(deleted=True), now=NOW) == []


def test_a_rival_of_a_rule_that_was_brought_over_is_refused(conf, database, filled) -> None:
    bring(conf, database, filled.url)
    store = HashmapStore(database)
    [field, *_rest] = store.list_fields(store.list_services()[0].service_id)
    new = NewMapping(field_id=field.field_id, value="small", cost=Decimal(1))
    with pytest.raises(Exception, match="already exists"):
        store.create_mapping(new, now=NOW, user="someone")


def _mapping(number: int, **more) -> dict:
    return {
        "mapping_id": f"rival-{number}",
        "value": "huge",
        "cost": Decimal(number),
        "map_type": "flat",
        "field_id": 4,
        **oldservice._audited(f"rival {number}", NOON),
        **more,
    }


def test_of_mappings_that_overlap_the_later_one_wins_as_it_did(conf, database, filled) -> None:
    filled.add(oldservice.mappings, _mapping(1), _mapping(2), _mapping(3, tenant_id="alpha"))
    brought = bring(conf, database, filled.url)
    assert brought.text.count("the second one wins") == 1
    book = HashmapStore(database).load_rules()

    def price(scope_id: str | None) -> Decimal:
        usage = builders.frame(builders.hour(800), [("instance", {"flavor": "huge"}, 1, 0)])
        return book.rules(scope_id, NOW)[0].rate(usage).price

    assert (price(None), price("alpha")) == (2, 3)


def test_names_that_were_given_twice_are_kept_and_said(conf, database, filled) -> None:
    filled.add(oldservice.mappings, _mapping(1, name="m1"))
    brought = bring(conf, database, filled.url)
    assert "rival-1 has a name that another one has: m1" in brought.text
    names = [m.name for m in HashmapStore(database).list_mappings(MappingFilter(), now=NOW)]
    assert names.count("m1") == 2


def test_of_equal_thresholds_the_one_that_acted_is_kept(conf, database, filled) -> None:
    """Two for everybody with one level were accepted there; the later one acted."""
    filled.add(
        oldservice.thresholds,
        {
            "threshold_id": "later",
            "level": Decimal(40),
            "service_id": 9,
            "cost": Decimal("0.8"),
            "map_type": "rate",
        },
        {
            "threshold_id": "without",
            "level": None,
            "service_id": 9,
            "cost": Decimal("0.8"),
            "map_type": "rate",
        },
    )
    brought = bring(conf, database, filled.url)
    assert "is left out: it never acted, because later has" in brought.text
    assert "threshold without has no level" in brought.text
    found = HashmapStore(database).list_thresholds(RuleFilter())
    assert [(t.level, t.tenant_id, t.cost) for t in found] == [
        (Decimal("4.5"), None, Decimal("0.9")),
        (Decimal(40), "beta", Decimal("0.9")),
        (Decimal(40), None, Decimal("0.8")),
    ]


# -- scripts, modules, collectors ---------------------------------------------------------------


def test_scripts_are_those_of_the_source(conf, database, filled) -> None:
    bring(conf, database, filled.url)
    live, deleted = ScriptStore(database).list(DatedFilter(deleted=True), now=NOW)
    assert (live.name, live.data) == ("discount", oldservice.SOURCE)
    assert live.checksum == hashlib.sha512(oldservice.SOURCE.encode()).hexdigest()
    assert (deleted.name, deleted.data, deleted.deleted_by) == ("discount", "", "carol")


def test_scripts_that_would_stop_rating_are_named(conf, database, filled) -> None:
    filled.add(
        oldservice.scripts,
        {
            "script_id": "broken",
            "data": zlib.compress(b"if"),
            "checksum": "",
            **oldservice._audited("broken", NOON),
        },
        {
            "script_id": "garbled",
            "data": b"no zlib",
            "checksum": "",
            **oldservice._audited("garbled", NOON),
        },
    )
    brought = bring(conf, database, filled.url)
    assert "script broken (broken): Script broken does not compile: line 1" in brought.text
    assert "script garbled (garbled) cannot be read and is left out" in brought.text
    names = [script.name for script in ScriptStore(database).list(DatedFilter(), now=NOW)]
    assert names == ["discount", "broken"]


def test_modules_keep_state_and_priority(conf, database, filled) -> None:
    before = ModuleStates(database).get("hashmap").revision
    bring(conf, database, filled.url)
    states = ModuleStates(database).read()
    assert {name: (s.enabled, s.priority) for name, s in states.items()} == {
        "hashmap": (True, 100),
        "pyscripts": (False, 1),
        "a-guest": (True, 3),
    }
    assert states["hashmap"].revision > before


def test_collector_mappings_are_those_of_the_source(conf, database, filled) -> None:
    bring(conf, database, filled.url)
    assert [tuple(m) for m in CollectorStore(database).mappings()] == [("compute", "gnocchi")]


# -- scopes -----------------------------------------------------------------------------------


def scope(name: str, *rest: str) -> Scope:
    return Scope(name, *(rest or ("project_id", "source", "csv")))


def test_horizons_are_the_ends_of_the_last_closed_periods(conf, database, old) -> None:
    old.add(
        oldservice.states,
        state("alpha", BEGIN),
        state("beta", BEGIN + HOUR, active=False),
        state("gamma", BEGIN, scope_key=None, fetcher=None, collector=None),
        state("delta", BEGIN, collector="gnocchi", fetcher="keystone"),
    )
    brought = bring(conf, database, old.url)
    assert brought.well
    first = (BEGIN + HOUR).replace(tzinfo=UTC)
    found = {s.scope: s for s in ScopeStore(database).find({})}
    assert {name: (s.horizon, s.active) for name, s in found.items()} == {
        scope("alpha"): (first, True),
        scope("beta"): (first + HOUR, False),
        scope("gamma"): (first, True),
        scope("delta", "project_id", "keystone", "gnocchi"): (first, True),
    }
    assert {s.toggled_at for s in found.values()} == {datetime.datetime(2025, 5, 1, tzinfo=UTC)}
    assert "1 active scopes have another scope_key" in brought.text
    assert "project_id/keystone/gnocchi" in brought.text


def test_a_state_that_was_never_completed_is_the_completed_one(conf, database, old) -> None:
    old.add(
        oldservice.states,
        state("alpha", BEGIN + HOUR),
        state("alpha", BEGIN, scope_key=None, fetcher=None, collector=None),
    )
    assert "two states" in bring(conf, database, old.url).text
    [alpha] = ScopeStore(database).find({})
    assert alpha.horizon == (BEGIN + 2 * HOUR).replace(tzinfo=UTC)


def test_periods_of_another_length(conf, database, old) -> None:
    conf.set_override("period", 600, "collect")
    old.add(oldservice.states, state("alpha", BEGIN))
    bring(conf, database, old.url)
    [alpha] = ScopeStore(database).find({})
    assert alpha.horizon == (BEGIN + datetime.timedelta(minutes=10)).replace(tzinfo=UTC)


def test_history_belongs_to_the_scope_that_is_configured_here(conf, database, old) -> None:
    old.add_rated(oldservice.rated_rows(["alpha"], 2))
    old.add(
        oldservice.states,
        state("alpha", BEGIN + 9 * HOUR, collector="gnocchi"),
        state("alpha", BEGIN + HOUR),
    )
    assert bring(conf, database, old.url).well
    starts = {s.scope.collector: s.starts_at for s in ScopeStore(database).find({})}
    assert starts == {
        "csv": BEGIN.replace(tzinfo=UTC),
        "gnocchi": (BEGIN + 10 * HOUR).replace(tzinfo=UTC),
    }


def test_rows_of_a_scope_without_state_leave_it_inactive(conf, database, old) -> None:
    old.add_rated(oldservice.rated_rows(["gone"], 2))
    brought = bring(conf, database, old.url)
    assert "project_id=gone has rated rows and no state: brought over inactive" in brought.text
    [gone] = ScopeStore(database).find({})
    assert (gone.active, gone.horizon) == (False, (BEGIN + 2 * HOUR).replace(tzinfo=UTC))


# -- what was asked to be rated again -----------------------------------------------------------


def test_the_history_of_reprocessing(conf, database, old) -> None:
    """There the end of a window is its last period's start."""
    old.add(oldservice.states, state("alpha", BEGIN + 9 * HOUR))

    def asked(name, start, end, current):
        return {
            "identifier": name,
            "start_reprocess_time": BEGIN + start * HOUR,
            "end_reprocess_time": BEGIN + end * HOUR,
            "current_reprocess_time": None if current is None else BEGIN + current * HOUR,
            "reason": f"{name} {start}",
        }

    old.add(
        oldservice.schedule,
        asked("alpha", 0, 2, 2),
        asked("alpha", 4, 6, 4),
        asked("gone", 0, 1, None),
    )
    assert bring(conf, database, old.url).well
    first = BEGIN.replace(tzinfo=UTC)
    tasks = TaskStore(database).list(newest_first=False)
    assert [(t.reason, t.window, t.current, t.state) for t in tasks] == [
        ("alpha 0", Period(first, first + 3 * HOUR), first + 3 * HOUR, TaskState.DONE),
        (
            "alpha 4",
            Period(first + 4 * HOUR, first + 7 * HOUR),
            first + 5 * HOUR,
            TaskState.CANCELLED,
        ),
        ("gone 0", Period(first, first + 2 * HOUR), None, TaskState.CANCELLED),
    ]
    assert "ask for it again" in (tasks[1].note or "")
    assert TaskStore(database).unfinished() == []
