# SPDX-License-Identifier: Apache-2.0
"""``cloudkitty-dbsync import-cloudkitty``: what it says, and what it refuses."""

import pathlib

import pytest
import sqlalchemy as sa

from cloudkitty.cli import dbsync
from cloudkitty.db import migration
from cloudkitty.rating.hashmap.store import HashmapStore
from cloudkitty.tests import oldservice
from cloudkitty.tests.oldservice import BEGIN, HOUR, OldService, state
from cloudkitty.tests.stored import everything

TENANTS = ["alpha", "beta"]

TRANSCRIPT = pathlib.Path(__file__).parents[1] / "import-transcript.txt"
"""Shown by ``doc/source/operator/switching.rst``."""


@pytest.fixture
def old(database_server, tmp_path):
    service = OldService(database_server.dialect, tmp_path)
    yield service
    service.drop()


@pytest.fixture
def filled(old) -> OldService:
    oldservice.fill(old, TENANTS, 30)
    return old


class Command:
    """The command with its configuration file."""

    def __init__(self, path: pathlib.Path, url: str, capsys) -> None:
        self._path = path
        self._url = url
        self._capsys = capsys
        self.configure()

    def configure(self, **collect: object) -> None:
        lines = [f"{name} = {value}" for name, value in {"collector": "csv", **collect}.items()]
        self._path.write_text(
            f"[database]\nconnection = {self._url}\n[fetcher]\nbackend = source\n[collect]\n"
            + "\n".join(lines)
        )

    def __call__(self, *args: str) -> tuple[int, str, str]:
        """Run it, and return exit code, output and errors."""
        code = dbsync.main(["--config-file", str(self._path), "import-cloudkitty", *args])
        return (code, *self._capsys.readouterr())

    def refusal(self, *args: str) -> str:
        """Run it, expecting a refusal, and return that."""
        code, out, error = self(*args)
        assert (code, out) == (1, "")
        assert error.startswith("cloudkitty-dbsync: ")
        assert error.count("\n") == 1
        return error


@pytest.fixture
def command(conf, database, tmp_path, capsys) -> Command:
    return Command(tmp_path / "import.conf", conf.database.connection, capsys)


def test_it_says_what_there_is_and_compares(command, filled) -> None:
    code, out, error = command("--from", filled.url)
    assert (code, error) == (0, "")
    lines = [line.split() for line in out.splitlines()]
    assert ["rated", "rows", "222"] in lines
    assert ["hashmap", "mappings", "6"] in lines
    assert ["alpha", "2026-01", "instance", "51", "51", "51", "51", "9.02", "9.02", "="] in lines
    assert next(line for line in lines if line[:1] == ["total"])[1:3] == ["222", "222"]
    assert "All lines are equal." in out
    assert "Dates of rules there are read as local time of UTC" in out


@pytest.mark.parametrize("database_server", ["mysql"], indirect=True)
def test_the_transcript_of_the_documentation_is_real(command, old) -> None:
    """Of MariaDB: other databases keep prices, and so their own sums, in double precision."""
    oldservice.fill(old, ["archive", "web-shop"], 72)
    _code, out, _error = command("--from", old.url)
    name = out.splitlines()[0].removeprefix("From ")
    shown = out.replace(name, "mysql://db.example.org:3306/cloudkitty")
    assert shown == TRANSCRIPT.read_text()


def test_a_dry_run_writes_nothing(command, database, filled) -> None:
    before = everything(database)
    code, out, _error = command("--from", filled.url, "--dry-run")
    assert code == 0
    assert "storage_sqlalchemy_alembic is at d875621d0384" in out
    assert ["rated", "rows", "222"] in [line.split() for line in out.splitlines()]
    assert "Nothing has been written (--dry-run)." in out
    assert everything(database) == before


def test_a_database_without_rated_rows_has_no_history(command, database, old) -> None:
    old.execute(sa.text("DROP TABLE rated_data_frames"))
    old.execute(sa.text("DROP TABLE storage_sqlalchemy_alembic"))
    old.add(oldservice.states, state("alpha", BEGIN))
    code, out, _error = command("--from", old.url)
    assert code == 0
    assert "no rated history" in out


# -- refusals -----------------------------------------------------------------------------------


@pytest.mark.parametrize("part", sorted(set(oldservice.HEADS) - {"storage_hybrid_alembic"}))
def test_an_unknown_head_is_refused(part, command, old) -> None:
    old.execute(oldservice.VERSIONS[part].update().values(version_num="0123456789ab"))
    refusal = command.refusal("--from", old.url)
    assert f"{part} is at 0123456789ab" in refusal
    assert oldservice.HEADS[part] in refusal
    assert "run its cloudkitty-storage-init and cloudkitty-dbsync upgrade first" in refusal


def test_tables_without_a_head_are_refused(command, old) -> None:
    old.execute(sa.text("DROP TABLE storage_states_alembic"))
    assert "has no table storage_states_alembic" in command.refusal("--from", old.url)


def test_a_database_of_something_else_is_refused(command, old) -> None:
    oldservice.METADATA.drop_all(old.engine)
    assert "is no database of the old service" in command.refusal("--from", old.url)


def test_the_same_database_is_refused(command, conf) -> None:
    assert "is [database] connection itself" in command.refusal("--from", conf.database.connection)


def test_another_database_of_this_service_is_refused(command, conf, tmp_path, old) -> None:
    old.add(oldservice.collectors, {"service": "a", "collector": "b"})
    old.execute(sa.text(f"CREATE TABLE {migration.VERSION_TABLE} (version_num VARCHAR(32))"))
    assert "is a database of this service" in command.refusal("--from", old.url)


def test_a_target_with_rules_is_refused(command, database, filled) -> None:
    HashmapStore(database).create_service("instance")
    refusal = command.refusal("--from", filled.url)
    assert "has rules or data of its own (tables hashmap_services)" in refusal


def test_a_target_of_another_source_is_refused(command, database, filled) -> None:
    assert command("--from", filled.url)[0] == 0
    with database.writer() as connection:
        connection.execute(sa.text("UPDATE imports SET source = 'mysql://elsewhere:3306/old'"))
    assert "was filled from mysql://elsewhere:3306/old" in command.refusal("--from", filled.url)


def test_other_settings_than_before_are_refused(command, filled) -> None:
    assert command("--from", filled.url)[0] == 0
    refusal = command.refusal("--from", filled.url, "--time-zone", "Europe/Paris")
    assert "time_zone was UTC and is Europe/Paris" in refusal


def test_a_target_without_schema_is_refused(filled, tmp_path, capsys) -> None:
    url = f"sqlite:///{tmp_path}/empty.sqlite"
    refusal = Command(tmp_path / "empty.conf", url, capsys).refusal("--from", filled.url)
    assert "run cloudkitty-dbsync upgrade" in refusal


def test_another_length_of_periods_is_refused(command, filled) -> None:
    command.configure(period=600)
    refusal = command.refusal("--from", filled.url)
    assert "[collect] period: is 600, and the newest rated row lasts 3600 seconds" in refusal


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("nonsense", "write it like mysql://"),
        ("oracle://host/db", "oracle is not supported"),
        ("sqlite:////nowhere/old.sqlite", "there is no file /nowhere/old.sqlite"),
        ("mysql://root:secret@127.0.0.1:1/old", "mysql://127.0.0.1:1/old"),
    ],
)
def test_a_source_that_cannot_be_opened_is_explained(
    url, why, sqlite_database, conf, tmp_path, capsys
) -> None:
    command = Command(tmp_path / "import.conf", conf.database.connection, capsys)
    refusal = command.refusal("--from", url)
    assert why in refusal
    assert "secret" not in refusal


def test_an_unknown_time_zone_is_refused(sqlite_database, conf, tmp_path, capsys) -> None:
    command = Command(tmp_path / "import.conf", conf.database.connection, capsys)
    assert "--time-zone" in command.refusal("--from", "sqlite:///x", "--time-zone", "Mars/Base")


@pytest.mark.parametrize("arguments", [[], ["--from", "x", "--batch", "0"]])
def test_wrong_usage_ends_with_two(arguments, sqlite_database, conf, tmp_path, capsys) -> None:
    command = Command(tmp_path / "import.conf", conf.database.connection, capsys)
    with pytest.raises(SystemExit) as ended:
        command(*arguments)
    assert ended.value.code == 2


def test_rows_that_stand_for_no_point_are_a_failure(command, old) -> None:
    """The rest is brought over, and what is missing is said twice: by why, and by how much."""
    rows = list(oldservice.rated_rows(["alpha"], 3))
    backwards = rows[-1]._replace(begin=BEGIN + 9 * HOUR, end=BEGIN + 9 * HOUR)
    old.add_rated([backwards, *rows])
    code, out, _error = command("--from", old.url)
    assert code == 1
    assert "1 rated rows cannot be kept: the period ends before it begins" in out
    assert "1 lines are different, and nothing explains it." in out
