# SPDX-License-Identifier: Apache-2.0
"""The commands of the page on backups keep everything, on every database."""

import pathlib
import re
import shutil
import subprocess
import uuid
from collections.abc import Iterator

import pytest
import sqlalchemy as sa
from oslo_config import cfg

from cloudkitty.dataframe import Registry
from cloudkitty.db.engine import Database
from cloudkitty.storage.base import Query
from cloudkitty.storage.sqlalchemy.driver import SqlAlchemyStorage
from cloudkitty.tests import builders
from cloudkitty.tests.databases import TestServer
from cloudkitty.tests.functional.commands import ROOT

PAGE = (ROOT / "doc" / "source" / "operator" / "backup.rst").read_text()

SAVE, RESTORE = (
    {line.split()[0]: line.strip() for line in re.findall(r"^    (\w.*)$", part, re.MULTILINE)}
    for part in PAGE.partition("Restore\n-------")[::2]
)


def line(written: str, url: sa.URL, saved: pathlib.Path) -> str:
    """A command line of the page for this database and this file; who connects is said by options
    that an operator has in a file of their own."""
    program, rest = written.split(" ", 1)
    rest = re.sub(r"/var/backups/\S+?(?=[\s\"]|$)", str(saved), rest)
    if program == "sqlite3":
        return f"{program} {rest.replace('/var/lib/cloudkitty/cloudkitty.sqlite', url.database)}"
    who = f"--host={url.host} --port={url.port}"
    if program.startswith("mariadb"):
        who += f" --protocol=tcp --user={url.username} --password={url.password or ''}"
    else:
        who += f" --username={url.username}"
        program = f"PGPASSWORD={url.password or ''} {program}"
    rest = re.sub(r"(?<![/.])cloudkitty(?![.\w])", url.database or "", rest)
    return f"{program} {who} {rest}"


def run(command: str) -> None:
    done = subprocess.run(
        ["sh", "-c", command], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, f"{command}: {done.stderr}"


@pytest.fixture
def elsewhere(database_server: TestServer, tmp_path: pathlib.Path) -> Iterator[str]:
    """The URL of a database with nothing in it."""
    if database_server.dialect == "sqlite":
        yield f"sqlite:///{tmp_path}/saved"
        return
    name = f"cloudkitty_test_{uuid.uuid4().hex[:12]}"
    database_server._admin(f"CREATE DATABASE {name}")
    url = sa.make_url(database_server.url).set(database=name)
    yield url.render_as_string(hide_password=False)
    database_server._admin(f"DROP DATABASE {name}")


def bill(conf: cfg.ConfigOpts, database: Database) -> list[tuple[object, ...]]:
    store = SqlAlchemyStorage(conf, database, Registry())
    window = Query(builders.hour(0).begin, builders.hour(9).end)
    totals = store.total(window, ["scope", "type"])
    return [(row.group, row.qty, row.price, row.points) for row in totals.rows]


def test_what_is_restored_is_what_was_saved(
    conf: cfg.ConfigOpts,
    database: Database,
    database_server: TestServer,
    elsewhere: str,
    tmp_path: pathlib.Path,
) -> None:
    save, restore = {
        "sqlite": ("sqlite3", None),
        "mysql": ("mariadb-dump", "mariadb"),
        "postgresql": ("pg_dump", "pg_restore"),
    }[database_server.dialect]
    if not shutil.which(save):
        pytest.skip(f"there is no {save}")
    store = SqlAlchemyStorage(conf, database, Registry())

    def rate(number: int) -> None:
        frame = builders.frame(builders.hour(number), [("vm", {"id": "a"}, "0.1", "0.0123456789")])
        state = builders.states(database, "p")["p"]
        assert not store.replace(builders.hour(number), {state: frame})

    rate(0)
    rate(1)
    before = bill(conf, database)
    saved, url = tmp_path / "saved", sa.make_url(database.url)
    run(line(SAVE[save], url, saved))
    # What comes after the backup is not in it.
    rate(2)
    assert bill(conf, database) != before
    database.dispose()

    if restore is not None:
        run(line(RESTORE[restore], sa.make_url(elsewhere), saved))
    conf.set_override("connection", elsewhere, "database")
    restored = Database(conf)
    try:
        assert bill(conf, restored) == before
        assert builders.states(restored, "p")["p"].horizon == builders.hour(1).end
    finally:
        restored.dispose()
