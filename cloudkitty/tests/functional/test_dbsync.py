# SPDX-License-Identifier: Apache-2.0
"""The commands that make and describe the schema, on every database."""

import pathlib
from collections.abc import Callable

import pytest
import sqlalchemy as sa
from oslo_config import cfg

from cloudkitty.cli import dbsync, storage
from cloudkitty.db import migration
from cloudkitty.db.engine import Database

Command = Callable[..., int]


@pytest.fixture
def options(database: Database, conf: cfg.ConfigOpts, tmp_path: pathlib.Path) -> list[str]:
    """What names a configuration file whose database has no table at all."""
    with database.writer() as connection:
        metadata = sa.MetaData()
        metadata.reflect(connection)
        metadata.drop_all(connection)
    database.dispose()
    path = tmp_path / "cloudkitty.conf"
    connection_url = conf.database.connection
    path.write_text(
        f"[DEFAULT]\nstate_path = {tmp_path}\n[database]\nconnection = {connection_url}\n"
    )
    yield ["--config-file", str(path)]
    # The server is shared: leave it as it was found.
    migration.upgrade(Database(conf))


def run(options: list[str], *args: str) -> int:
    return dbsync.main([*options, *args])


def test_upgrade_brings_an_empty_database_to_the_head(
    options: list[str], database: Database
) -> None:
    assert run(options, "upgrade") == 0
    assert migration.current(database) == migration.head()


def test_commands_may_be_repeated_in_any_order(options: list[str], database: Database) -> None:
    for _ in range(2):
        assert storage.main(options) == 0
        assert run(options, "upgrade") == 0
    migration.require_head(database)


def test_storage_init_is_enough_by_itself(
    options: list[str], database: Database, capsys: pytest.CaptureFixture[str]
) -> None:
    assert storage.main(options) == 0
    migration.require_head(database)
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("module", ["cloudkitty", "hashmap"])
def test_version_shows_the_revision(
    module: str, options: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(options, "upgrade", "--module", module) == 0
    assert run(options, "version", "--module", module) == 0
    assert capsys.readouterr().out == f"{migration.head()} (head)\n"


def test_version_shows_an_older_revision_without_mark(
    options: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(options, "upgrade", "--module", "cloudkitty", "--revision", "0001") == 0
    assert run(options, "version", "--module", "cloudkitty") == 0
    assert capsys.readouterr().out == "0001\n"
    assert run(options, "upgrade") == 0


def test_version_of_a_database_without_schema_is_silent(
    options: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(options, "version", "--module", "cloudkitty") == 0
    assert capsys.readouterr() == ("", "")


def test_stamp_records_without_running(options: list[str], database: Database) -> None:
    assert run(options, "stamp", "--module", "cloudkitty") == 0
    assert migration.current(database) == migration.head()
    with database.reader() as connection:
        assert sa.inspect(connection).get_table_names() == [migration.VERSION_TABLE]
    with database.writer() as connection:
        connection.exec_driver_sql(f"DROP TABLE {migration.VERSION_TABLE}")


@pytest.fixture
def sqlite_options(tmp_path: pathlib.Path) -> list[str]:
    path = tmp_path / "cloudkitty.conf"
    path.write_text(f"[DEFAULT]\nstate_path = {tmp_path}\n")
    return ["--config-file", str(path)]


@pytest.mark.parametrize("module", ["noop", "nonsense"])
@pytest.mark.parametrize("command", ["upgrade", "stamp", "version"])
def test_module_without_schema_is_refused(
    command: str, module: str, sqlite_options: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(sqlite_options, command, "--module", module) == 1
    assert f"--module: '{module}'" in capsys.readouterr().err


def test_a_revision_without_module_is_refused(
    sqlite_options: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(sqlite_options, "upgrade", "--revision", "0001") == 1
    assert "--revision 0001" in capsys.readouterr().err


@pytest.mark.parametrize("revision", ["head", "base"])
def test_head_and_base_need_no_module(revision: str, sqlite_options: list[str]) -> None:
    assert run(sqlite_options, "upgrade", "--revision", revision) == 0


def test_unknown_revision_is_refused(
    sqlite_options: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(sqlite_options, "upgrade", "--module", "cloudkitty", "--revision", "77") == 1
    assert "77" in capsys.readouterr().err


def test_wrong_usage_ends_with_two(sqlite_options: list[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        run(sqlite_options, "version")
    assert ended.value.code == 2


@pytest.mark.parametrize("command", [dbsync.main, storage.main])
def test_unreachable_database_is_explained(
    command: Command, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "cloudkitty.conf"
    path.write_text(f"[database]\nconnection = sqlite:///{tmp_path}/missing/cloudkitty.sqlite\n")
    args = ["upgrade"] if command is dbsync.main else []
    assert command(["--config-file", str(path), *args]) == 1
    error = capsys.readouterr().err
    assert "[database] connection" in error
    assert "Traceback" not in error


def test_unknown_storage_is_refused(
    tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "cloudkitty.conf"
    path.write_text("[storage]\nbackend = nonsense\n")
    assert storage.main(["--config-file", str(path)]) == 1
    assert "[storage] backend" in capsys.readouterr().err
