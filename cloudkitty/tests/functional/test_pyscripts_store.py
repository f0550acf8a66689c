# SPDX-License-Identifier: Apache-2.0
"""The store of scripts on every database."""

import datetime
import hashlib
import zlib
from typing import Any

import pytest
import sqlalchemy as sa
from oslo_db import exception as db_exception

from cloudkitty.db.engine import Database
from cloudkitty.period import UTC
from cloudkitty.rating.dated import DatedFilter
from cloudkitty.rating.errors import Conflict, Invalid, NotFound
from cloudkitty.rating.pyscripts import models
from cloudkitty.rating.pyscripts.records import NewScript, ScriptRecord
from cloudkitty.rating.pyscripts.store import ScriptStore
from cloudkitty.rating.state import ModuleStates
from cloudkitty.tests.racing import race

NOW = datetime.datetime(2026, 1, 5, 10, 0, 0, tzinfo=UTC)
HOUR = datetime.timedelta(hours=1)
NOWHERE = "00000000-0000-0000-0000-000000000000"


class Shelf:
    """A store, and short ways to use it."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.store = ScriptStore(database)

    def create(
        self, name: str = "n", data: str = "a = 0", *, force: bool = False, **more: Any
    ) -> ScriptRecord:
        new = NewScript(name=name, data=data, **more)
        return self.store.create(new, now=NOW, user="u1", force=force)

    def update(
        self, script: ScriptRecord, now: datetime.datetime = NOW, **changes: Any
    ) -> ScriptRecord:
        return self.store.update(script.script_id, changes, now=now, user="u2")

    def delete(self, script: ScriptRecord) -> None:
        self.store.delete(script.script_id, now=NOW, user="u3")

    def names(self, now: datetime.datetime = NOW, **wanted: Any) -> list[str]:
        return [one.name for one in self.store.list(DatedFilter(**wanted), now=now)]

    def revision(self) -> int:
        return ModuleStates(self.database).get("pyscripts").revision


@pytest.fixture
def shelf(database: Database) -> Shelf:
    return Shelf(database)


@pytest.fixture
def small_shelf(sqlite_database: Database) -> Shelf:
    """A shelf for what does not depend on the database."""
    return Shelf(sqlite_database)


# Creating and reading


def test_script_is_read_as_created(shelf: Shelf) -> None:
    source = "price = 'Größe €'\r\nx = 1\n\n"
    created = shelf.create(
        "a name", source, description="why", start=NOW + HOUR, end=NOW + 2 * HOUR
    )
    assert (created.created_at, created.created_by) == (NOW, "u1")
    assert (created.start, created.end) == (NOW + HOUR, NOW + 2 * HOUR)
    assert shelf.store.get(created.script_id) == created
    assert created.data == source


def test_script_has_defaults(shelf: Shelf) -> None:
    script = shelf.create()
    assert (script.start, script.end, script.description) == (NOW, None, None)
    assert (script.updated_by, script.deleted, script.deleted_by) == (None, None, None)


@pytest.mark.parametrize(
    ("source", "begins"), [("", "cf83e135"), ("a = 0", "4c612e33"), ("a = 'ü'", None)]
)
def test_checksum_is_that_of_the_source(shelf: Shelf, source: str, begins: str | None) -> None:
    checksum = shelf.create(data=source).checksum
    assert checksum == hashlib.sha512(source.encode()).hexdigest()
    assert begins is None or checksum.startswith(begins)


def test_source_is_kept_compressed(shelf: Shelf) -> None:
    source = "a = 0\n" * 40_000
    shelf.create(data=source)
    with shelf.database.reader() as connection:
        kept = connection.execute(sa.select(models.scripts.c.data)).scalar_one()
    assert zlib.decompress(kept) == source.encode()
    assert len(kept) < 1000


def test_source_that_does_not_compress_is_kept(shelf: Shelf) -> None:
    digits = "".join(hashlib.sha512(str(n).encode()).hexdigest() for n in range(4000))
    script = shelf.create(data=f"a = '{digits}'")
    assert shelf.store.get(script.script_id).data == f"a = '{digits}'"


def test_times_of_another_zone_are_kept_as_utc(shelf: Shelf) -> None:
    east = datetime.timezone(datetime.timedelta(hours=2))
    script = shelf.create(start=datetime.datetime(2026, 1, 5, 14, tzinfo=east))
    assert shelf.store.get(script.script_id).start == NOW + 2 * HOUR


@pytest.mark.parametrize(
    ("attributes", "message"),
    [
        ({"name": ""}, "name: must not be empty"),
        ({"name": "n" * 256}, "name: "),
        ({"name": "n\0"}, "name: "),
        ({"description": "d" * 257}, "description: "),
        ({"start": NOW - HOUR}, "Cannot create a rule with start in the past. "),
        ({"end": NOW - HOUR}, "Cannot create a rule with start after end. "),
        ({"start": NOW + 2 * HOUR, "end": NOW + HOUR}, "Cannot create a rule with start after"),
        ({"data": "a = 1\nif :\n"}, "Script n does not compile: line 2: invalid syntax"),
        ({"data": "a = (1,\n"}, "Script n does not compile: line 1: '(' was never closed"),
        ({"data": "return 5"}, "Script n does not compile: line 1: 'return' outside function"),
        ({"data": "\0"}, "Script n does not compile: source code string cannot contain null"),
        ({"data": "-" * 100_000 + "1"}, "Script n does not compile: "),
        ({"data": "a=1\n" * 300_000}, "data: 1200000 characters are more than"),
    ],
)
def test_wrong_script_is_refused(
    small_shelf: Shelf, attributes: dict[str, Any], message: str
) -> None:
    with pytest.raises(Invalid) as caught:
        small_shelf.create(**attributes)
    assert str(caught.value).startswith(message)
    assert caught.value.http_status == 400
    assert small_shelf.names() == []


def test_start_in_the_past_can_be_forced(small_shelf: Shelf) -> None:
    assert small_shelf.create(start=NOW - HOUR, force=True).start == NOW - HOUR
    with pytest.raises(Invalid, match="start after end"):
        small_shelf.create("m", start=NOW - HOUR, end=NOW - 2 * HOUR, force=True)


@pytest.mark.parametrize("wanted", [NOWHERE, "42", "", "\0"])
def test_unknown_script_is_not_found(shelf: Shelf, wanted: str) -> None:
    for call in (
        lambda: shelf.store.get(wanted),
        lambda: shelf.store.update(wanted, {}, now=NOW, user="u"),
        lambda: shelf.store.delete(wanted, now=NOW, user="u"),
    ):
        with pytest.raises(NotFound) as caught:
            call()
        assert str(caught.value) == f"No such script: None (UUID: {wanted})"
        assert caught.value.http_status == 404


# Names


def test_name_of_a_live_script_is_refused(shelf: Shelf) -> None:
    taken = shelf.create("n")
    with pytest.raises(Conflict) as caught:
        shelf.create("n", "b = 0")
    assert str(caught.value) == f"Script n already exists (UUID: {taken.script_id})"
    assert caught.value.http_status == 409


def test_names_differ_in_every_character(shelf: Shelf) -> None:
    for name in ("n", "N", "ñ"):
        shelf.create(name)
    assert shelf.names() == ["n", "N", "ñ"]


def test_name_of_a_deleted_script_is_free(shelf: Shelf) -> None:
    shelf.delete(shelf.create("n"))
    shelf.delete(shelf.create("n"))
    assert shelf.create("n").name == "n"


def test_of_racing_equal_names_one_is_created(shelf: Shelf) -> None:
    assert race([shelf.create] * 4) == ["Conflict", "Conflict", "Conflict", "done"]
    assert shelf.names() == ["n"]


def test_racing_ends_of_a_script_leave_one(shelf: Shelf) -> None:
    script = shelf.create()
    calls = [lambda n=n: shelf.update(script, end=NOW + n * HOUR) for n in (1, 2, 3)]
    assert race(calls) == ["Invalid", "Invalid", "done"]


def test_database_itself_refuses_a_second_live_name(shelf: Shelf) -> None:
    shelf.create("n")
    with pytest.raises(db_exception.DBDuplicateEntry), shelf.database.writer() as connection:
        row = dict(connection.execute(sa.select(models.scripts)).mappings().one())
        del row["id"]
        row["script_id"] = NOWHERE
        connection.execute(models.scripts.insert().values(row))


# Lists


def test_scripts_are_listed_in_order_of_creation(shelf: Shelf) -> None:
    for name in ("z", "a", "m"):
        shelf.create(name)
    assert shelf.names() == ["z", "a", "m"]


def test_filters(shelf: Shelf) -> None:
    shelf.create("now", description="Größe 100%")
    shelf.create("later", start=NOW + HOUR, end=NOW + 2 * HOUR)
    shelf.delete(shelf.create("deleted"))
    cases: list[tuple[dict[str, Any], list[str]]] = [
        ({}, ["now", "later"]),
        ({"deleted": True}, ["now", "later", "deleted"]),
        ({"start": NOW + HOUR}, ["later"]),
        ({"end": NOW + 3 * HOUR}, ["later"]),
        ({"end": NOW + 2 * HOUR}, []),
        ({"created_by": "u1"}, ["now", "later"]),
        ({"created_by": "u2"}, []),
        ({"deleted_by": "u3", "deleted": True}, ["deleted"]),
        ({"updated_by": "u2"}, []),
        ({"description": "GRÖSSE 100%"}, ["now"]),
        ({"description": "_"}, []),
        ({"is_active": True}, ["now"]),
        ({"is_active": True, "deleted": True}, ["now"]),
        ({"created_by": "\0"}, []),
    ]
    for wanted, names in cases:
        assert shelf.names(**wanted) == names, wanted
    assert shelf.names(now=NOW + HOUR, is_active=True) == ["now", "later"]
    assert shelf.names(now=NOW + 2 * HOUR, is_active=True) == ["now"]


def test_list_without_sources(shelf: Shelf) -> None:
    script = shelf.create()
    [listed] = shelf.store.list(DatedFilter(), now=NOW, data=False)
    assert (listed.data, listed.checksum) == (None, script.checksum)


# Changing and deleting


def test_running_script_gets_an_end(shelf: Shelf) -> None:
    script = shelf.create(description="d")
    sent = {name: getattr(script, name) for name in NewScript.__dataclass_fields__}
    changed = shelf.update(script, **sent | {"end": NOW + HOUR})
    assert (changed.end, changed.updated_by, changed.data) == (NOW + HOUR, "u2", "a = 0")
    assert shelf.store.get(script.script_id) == changed


def test_same_update_again_changes_nothing(shelf: Shelf) -> None:
    script = shelf.create()
    shelf.update(script, name="n", end=NOW + HOUR)
    before = shelf.revision()
    assert shelf.update(script, name="n", data="a = 0", end=NOW + HOUR).end == NOW + HOUR
    assert shelf.revision() == before


@pytest.mark.parametrize(
    "changes", [{"data": "a = 1"}, {"name": "m"}, {"description": "d"}, {"start": NOW + HOUR}]
)
def test_running_script_changes_in_nothing_but_its_end(
    small_shelf: Shelf, changes: dict[str, Any]
) -> None:
    with pytest.raises(Invalid) as caught:
        small_shelf.update(small_shelf.create(), end=NOW + HOUR, **changes)
    assert str(caught.value).startswith(
        "You are allowed to update only the attribute [end] as this rule is already running as it "
        "started on [2026-01-05"
    )


def test_running_script_with_an_end_does_not_change(small_shelf: Shelf) -> None:
    script = small_shelf.create(end=NOW + 2 * HOUR)
    with pytest.raises(Invalid) as caught:
        small_shelf.update(script, end=NOW + 3 * HOUR)
    assert str(caught.value) == (
        "Cannot update a rule that was already processed and has a defined end date."
    )


def test_end_of_a_running_script_lies_in_the_future(small_shelf: Shelf) -> None:
    with pytest.raises(Invalid, match="End date must be in the future"):
        small_shelf.update(small_shelf.create(), now=NOW + HOUR, end=NOW + HOUR)


def test_future_script_changes(shelf: Shelf) -> None:
    script = shelf.create(start=NOW + HOUR, description="old")
    changed = shelf.update(
        script,
        name="ignored",
        data="a = 0\nb = 1",
        start=NOW + 2 * HOUR,
        end=NOW + 3 * HOUR,
        description="new",
    )
    assert shelf.store.get(script.script_id) == changed
    assert (changed.name, changed.data, changed.description) == ("n", "a = 0\nb = 1", "new")
    assert changed.checksum == hashlib.sha512(b"a = 0\nb = 1").hexdigest()
    assert (changed.start, changed.end) == (NOW + 2 * HOUR, NOW + 3 * HOUR)


def test_future_script_keeps_its_source_and_loses_its_description(shelf: Shelf) -> None:
    script = shelf.create(start=NOW + HOUR, description="old")
    changed = shelf.update(script, name="n", data=None)
    assert (changed.data, changed.start, changed.description) == ("a = 0", NOW + HOUR, None)


def test_future_script_may_not_become_a_wrong_one(small_shelf: Shelf) -> None:
    script = small_shelf.create(start=NOW + HOUR)
    for changes, message in (
        ({"data": "a = 1\nb ="}, "line 2: invalid syntax"),
        ({"start": NOW - HOUR}, "start in the past"),
        ({"end": NOW}, "start after end"),
    ):
        with pytest.raises(Invalid, match=message):
            small_shelf.update(script, **changes)
    assert small_shelf.store.get(script.script_id) == script


def test_deleted_script_is_kept_and_not_found(shelf: Shelf) -> None:
    script = shelf.create()
    shelf.delete(script)
    [kept] = shelf.store.list(DatedFilter(deleted=True), now=NOW)
    assert (kept.deleted, kept.deleted_by, kept.data) == (NOW, "u3", "a = 0")
    for call in (
        lambda: shelf.store.get(script.script_id),
        lambda: shelf.update(script, end=NOW + HOUR),
        lambda: shelf.delete(script),
    ):
        with pytest.raises(NotFound):
            call()


# For rating


def test_every_change_moves_the_revision_by_one(shelf: Shelf) -> None:
    before = shelf.revision()
    script = shelf.create()
    shelf.update(script, end=NOW + HOUR)
    shelf.delete(script)
    assert shelf.revision() == before + 3
    with pytest.raises(NotFound):
        shelf.delete(script)
    assert shelf.revision() == before + 3


def test_live_scripts_are_loaded_in_order_of_creation_by_one_query(shelf: Shelf) -> None:
    shelf.create("b", start=NOW + HOUR, end=NOW + 2 * HOUR)
    shelf.delete(shelf.create("deleted"))
    shelf.create("a", "a = 1")
    statements: list[str] = []
    sa.event.listen(
        shelf.database.engine,
        "before_cursor_execute",
        lambda _connection, _cursor, statement, *_: statements.append(statement),
    )
    found = [(one.name, one.source, one.start, one.end) for one in shelf.store.load()]
    assert found == [("b", "a = 0", NOW + HOUR, NOW + 2 * HOUR), ("a", "a = 1", NOW, None)]
    assert len([one for one in statements if "SELECT" in one and "FROM" in one]) == 1


def test_source_that_cannot_be_read_is_named(small_shelf: Shelf) -> None:
    small_shelf.create("spoilt")
    with small_shelf.database.writer() as connection:
        connection.execute(models.scripts.update().values(data=b"rubbish"))
    with pytest.raises(ValueError, match="script spoilt cannot be read"):
        small_shelf.store.load()
