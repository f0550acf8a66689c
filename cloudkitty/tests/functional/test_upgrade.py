# SPDX-License-Identifier: Apache-2.0
"""A database that an earlier release has made serves after its upgrade: the same bill, nothing
rated again, and more can be rated.

``samples/demo-REVISION.sql.gz`` is the database of the demo as the release with that revision of
the schema left it; each release adds its own.
"""

import gzip
import pathlib
import shutil
import sqlite3

import pytest

from cloudkitty import config
from cloudkitty.db import migration
from cloudkitty.db.engine import Database
from cloudkitty.demo import bill, month
from cloudkitty.demo.directory import StateDirectory
from cloudkitty.tests.functional import commands

SAMPLES = pathlib.Path(__file__).parent / "samples"
BILL = pathlib.Path(__file__).parents[1] / "demo-bill.txt"

REVISIONS = sorted(path.name.split(".")[0] for path in SAMPLES.glob("demo-*.sql.gz"))


@pytest.fixture(params=REVISIONS)
def state(request: pytest.FixtureRequest, tmp_path: pathlib.Path) -> StateDirectory:
    """The directory of a demo with the database of an earlier release."""
    made = StateDirectory(tmp_path / "state")
    made.open(month.MONTH.begin.isoformat()[:19], 8889)
    written = gzip.decompress((SAMPLES / f"{request.param}.sql.gz").read_bytes()).decode()
    database = sqlite3.connect(made.path / "cloudkitty.sqlite")
    database.executescript(written)
    database.close()
    return made


def test_the_bill_stays_and_nothing_is_rated_again(state: StateDirectory) -> None:
    assert commands.run("dbsync", state.conf_file, "upgrade").code == 0
    conf = config.load([], config_files=[str(state.conf_file)])
    assert bill.render(month.read_bill(conf)).strip() == BILL.read_text().strip()
    assert month.rate(conf).periods == 0
    assert bill.render(month.read_bill(conf)).strip() == BILL.read_text().strip()


def test_programs_ask_for_the_upgrade(state: StateDirectory) -> None:
    database = Database(config.load([], config_files=[str(state.conf_file)]))
    if migration.current(database) == migration.head():
        pytest.skip("the schema has not changed since that release")
    done = commands.run("processor", state.conf_file, "--once")
    assert done.code == 1
    assert "run cloudkitty-dbsync upgrade" in done.err


def test_an_upgrade_may_be_repeated(state: StateDirectory) -> None:
    copy = state.path / "before"
    assert commands.run("dbsync", state.conf_file, "upgrade").code == 0
    shutil.copy(state.path / "cloudkitty.sqlite", copy)
    assert commands.run("dbsync", state.conf_file, "upgrade").code == 0
    dumps = []
    for path in (copy, state.path / "cloudkitty.sqlite"):
        with sqlite3.connect(path) as database:
            dumps.append("\n".join(database.iterdump()))
    assert dumps[0] == dumps[1]
