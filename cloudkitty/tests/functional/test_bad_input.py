# SPDX-License-Identifier: Apache-2.0
"""Whatever is wrong with what a command is given, it says so once, in a sentence that names the
option or the line, ends with 1, and has changed nothing."""

import os
import pathlib
import shutil
import sqlite3
from collections.abc import Callable, Sequence

import pytest
import sqlalchemy as sa
from oslo_config import cfg

from cloudkitty import period
from cloudkitty.db.engine import Database
from cloudkitty.db.models import scopes
from cloudkitty.storage.sqlalchemy import models
from cloudkitty.tests import cloud
from cloudkitty.tests.builders import HOUR, NEW_YEAR
from cloudkitty.tests.functional import commands

HOURS = 5

CLOSED = "127.0.0.1:9"
"""A port of loopback that nobody listens on."""

ONCE = ("processor", "--once")
DAEMON = ("processor",)
API = ("api",)
DBSYNC = ("dbsync", "upgrade")
STORAGE_INIT = ("storage",)

PROCESSORS = (ONCE, DAEMON)
READERS = (ONCE, DAEMON, API)
EVERY = (ONCE, DAEMON, API, DBSYNC, STORAGE_INIT)

PROGRAMS = {
    "processor": "cloudkitty-processor",
    "api": "cloudkitty-api",
    "dbsync": "cloudkitty-dbsync",
    "storage": "cloudkitty-storage-init",
}

Command = Sequence[str]


class Site:
    """A small priced cloud, of which a test spoils something."""

    def __init__(self, conf: cfg.ConfigOpts, database: Database, directory: pathlib.Path) -> None:
        cloud.configure(conf, directory, scopes=2, hours=HOURS)
        cloud.price(database)
        self.database = database
        self.directory = directory
        self.metrics = directory / "metrics.yml"
        self.usage = directory / "usage.csv"
        self.config = directory / "cloudkitty.conf"
        self.configure({})

    def configure(self, changes: commands.Sections) -> None:
        """Write the configuration file, with some options changed."""
        usual = cloud.sections(self.database.url, self.directory, hours=HOURS)
        commands.write_configuration(self.config, usual, changes)

    def run(self, command: Command) -> commands.Done:
        name, *args = command
        return commands.run_warm(name, self.config, *args)

    def content(self) -> dict[str, list[object]]:
        """What the tables that a command may write to hold."""
        with self.database.reader() as connection:
            return {
                table.name: [tuple(row) for row in connection.execute(sa.select(table)).all()]
                for table in (scopes, models.series, models.runs)
            }

    def refuses(self, command: Command, *words: str, lines: int = 1) -> None:
        """Check that the command says what is wrong, each mistake in a line, and no more."""
        before = self.content()
        complains(self.run(command), command, *words, lines=lines)
        assert self.content() == before


def complains(done: commands.Done, command: Command, *words: str, lines: int = 1) -> None:
    assert done.code == 1, done
    assert done.out == ""
    said = done.err.splitlines()
    assert len(said) == lines, done.err
    assert all(one.startswith(f"{PROGRAMS[command[0]]}: ") for one in said), done.err
    for word in words:
        assert word in done.err


@pytest.fixture
def site(conf: cfg.ConfigOpts, sqlite_database: Database, tmp_path: pathlib.Path) -> Site:
    return Site(conf, sqlite_database, tmp_path)


def every(*cases: Sequence[Command]) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Run a test with each of these commands."""
    return pytest.mark.parametrize("command", *cases, ids=" ".join)


# -- the configuration file --------------------------------------------------------------------


@every(EVERY)
def test_a_configuration_file_that_is_not_there(command: Command, site: Site) -> None:
    site.config.unlink()
    site.refuses(command, "--config-file", str(site.config))


def test_a_configuration_file_that_cannot_be_read(site: Site) -> None:
    site.config.unlink()
    site.config.mkdir()
    site.refuses(ONCE, "--config-file", str(site.config), "Is a directory")


def test_a_configuration_file_that_is_no_text(site: Site) -> None:
    site.config.write_bytes(b"[DEFAULT]\nhost = \xff\xfe\n")
    site.refuses(ONCE, "--config-file", "not UTF-8")


@every(EVERY)
def test_a_line_of_the_configuration_file_that_is_no_option(command: Command, site: Site) -> None:
    number = len(site.config.read_text().splitlines()) + 1
    with site.config.open("a") as file:
        file.write("nonsense\n")
    site.refuses(command, f"{site.config}:{number}", "'nonsense'")


@every(EVERY)
def test_a_value_that_does_not_fit_its_option(command: Command, site: Site) -> None:
    site.configure({"collect": {"period": "abc"}})
    site.refuses(command, "[collect] period", "abc")


def test_a_first_period_that_is_no_instant(site: Site) -> None:
    site.configure({"collect": {"first_period": "yesterday"}})
    site.refuses(ONCE, "[collect] first_period", "'yesterday'", "'month'", "'now'")


# -- the metrics file --------------------------------------------------------------------------


@every(READERS)
def test_a_metrics_file_that_is_not_there(command: Command, site: Site) -> None:
    site.metrics.unlink()
    site.refuses(command, "[collect] metrics_conf", str(site.metrics), "No such file")


@every(READERS)
def test_a_metrics_file_that_is_no_yaml(command: Command, site: Site) -> None:
    site.metrics.write_text("metrics:\n  cpu: [unit\n  disk: 1\n")
    site.refuses(command, f"{site.metrics}: line 3, column 7: ")


@every(READERS)
def test_every_mistake_of_a_metrics_file_at_once(command: Command, site: Site) -> None:
    site.metrics.write_text(
        "metrics:\n  cpu: {unit: 1, colour: red}\n  disk: {unit: GiB, factor: half}\n"
    )
    site.refuses(
        command,
        f"{site.metrics}: metrics -> cpu -> unit: ",
        f"{site.metrics}: metrics -> cpu -> colour: ",
        f"{site.metrics}: metrics -> disk -> factor: ",
        lines=3,
    )


# -- names of plugins --------------------------------------------------------------------------


@every(READERS)
def test_a_collector_that_does_not_exist(command: Command, site: Site) -> None:
    site.configure({"collect": {"collector": "crystal-ball"}})
    site.refuses(command, "[collect] collector: no collector named 'crystal-ball'", "csv")


@every(PROCESSORS)
def test_a_fetcher_that_does_not_exist(command: Command, site: Site) -> None:
    site.configure({"fetcher": {"backend": "dog"}})
    site.refuses(command, "[fetcher] backend: no fetcher named 'dog'", "source")


@every((*READERS, STORAGE_INIT))
def test_a_storage_that_does_not_exist(command: Command, site: Site) -> None:
    site.configure({"storage": {"backend": "paper"}})
    site.refuses(command, "[storage] backend: no storage named 'paper'", "sqlalchemy")


@every((ONCE, API))
def test_a_plugin_that_cannot_be_imported(
    command: Command, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    about = site.directory / "broken-1.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: broken\nVersion: 1\n")
    (about / "entry_points.txt").write_text("[cloudkitty.collector.backends]\nbroken = broken:It\n")
    (site.directory / "broken.py").write_text("import no_such_library\n")
    site.configure({"collect": {"collector": "broken"}})
    monkeypatch.setenv("PYTHONPATH", str(site.directory))
    name, *args = command
    done = commands.run(name, site.config, *args)
    complains(done, command, "[collect] collector: collector 'broken'", "no_such_library")


@every(PROCESSORS)
def test_no_scope_to_rate(command: Command, site: Site) -> None:
    site.configure({"fetcher": {"backend": "source"}, "fetcher_source": {"sources": ""}})
    site.refuses(command, "[fetcher_source] sources", "at least one scope id")


# -- the database ------------------------------------------------------------------------------


@every(READERS)
def test_a_database_without_tables(command: Command, site: Site) -> None:
    site.configure({"database": {"connection": f"sqlite:///{site.directory}/empty.sqlite"}})
    site.refuses(command, "run cloudkitty-dbsync upgrade", "[database] connection")


@every(EVERY)
def test_a_database_that_is_newer_than_the_program(command: Command, site: Site) -> None:
    newer = site.directory / "newer.sqlite"
    site.database.dispose()
    shutil.copy(site.directory / "cloudkitty.sqlite", newer)
    connection = sqlite3.connect(newer)
    connection.execute("UPDATE cloudkitty_schema_version SET version_num = '9999'")
    connection.commit()
    connection.close()
    site.configure({"database": {"connection": f"sqlite:///{newer}"}})
    site.refuses(command, "9999", "newer than this program", "upgrade the program")


@every(EVERY)
@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("oracle://host/name", "oracle is not supported; use sqlite, mysql or postgresql"),
        ("nonsense", "[database] connection: Could not parse"),
    ],
    ids=["unknown", "no-url"],
)
def test_a_database_of_unknown_kind(url: str, words: str, command: Command, site: Site) -> None:
    site.configure({"database": {"connection": url}})
    site.refuses(command, "[database] connection: ", words)


@every(EVERY)
@pytest.mark.parametrize("kind", ["mysql", "postgresql"], ids="closed_{}".format)
def test_a_database_server_that_does_not_answer(kind: str, command: Command, site: Site) -> None:
    site.configure({"database": {"connection": f"{kind}://user:secret@{CLOSED}/name"}})
    site.refuses(command, "[database] connection", CLOSED, "onnection refused")
    assert "secret" not in site.run(command).err


@every(EVERY)
def test_a_database_file_that_is_something_else(command: Command, site: Site) -> None:
    letter = site.directory / "letter.txt"
    letter.write_text("Dear cloud, " * 1000)
    site.configure({"database": {"connection": f"sqlite:///{letter}"}})
    site.refuses(command, "[database] connection", str(letter), "file is not a database")


# -- the state directory -----------------------------------------------------------------------


@every(EVERY)
def test_a_state_directory_that_is_not_there(command: Command, site: Site) -> None:
    missing = site.directory / "missing"
    site.configure({"DEFAULT": {"state_path": missing}, "database": {"connection": None}})
    site.refuses(command, "[DEFAULT] state_path", f"there is no directory {missing}")
    assert not missing.exists()


def test_a_state_directory_that_is_a_file(site: Site) -> None:
    site.configure({"DEFAULT": {"state_path": site.usage}})
    site.refuses(DAEMON, "[orchestrator] coordination_url", str(site.usage), "Not a directory")


@pytest.mark.skipif(os.geteuid() == 0, reason="the superuser may write everywhere")
def test_a_state_directory_that_may_not_be_written_to(site: Site) -> None:
    locks = site.directory / "locks"
    locks.mkdir(mode=0o500)
    site.refuses(DAEMON, "[orchestrator] coordination_url", str(locks), "cannot be written to")


def test_a_lock_service_of_unknown_kind(site: Site) -> None:
    site.configure({"orchestrator": {"coordination_url": "gopher://host"}})
    site.refuses(DAEMON, "[orchestrator] coordination_url", "gopher")


# -- usage -------------------------------------------------------------------------------------


def test_a_usage_file_that_is_not_there(site: Site) -> None:
    site.usage.unlink()
    site.refuses(ONCE, "[collector_csv] file", str(site.usage), "No such file")


def test_the_daemon_waits_for_a_usage_file_that_is_not_there(site: Site) -> None:
    site.usage.unlink()
    log = site.directory / "processor.log"
    said = f"[collector_csv] file: cannot read {site.usage}: No such file"
    with commands.daemon(site.config, log) as processor:
        commands.wait_until(lambda: said in log.read_text(), "the error is told", log)
        assert commands.stop(processor) == 0
    assert log.read_text().count(said) == 1
    assert "Traceback" not in log.read_text()
    assert not any(site.content().values())


def spoil(site: Site, hour: int, change: Callable[[list[str]], None]) -> int:
    """Change the cells of the second row that begins in an hour; return its line's number."""
    rows = [row.split(",") for row in site.usage.read_text().splitlines()]
    begin = (NEW_YEAR + hour * HOUR).isoformat()
    number = [number for number, cells in enumerate(rows) if cells[0] == begin][1]
    change(rows[number])
    site.usage.write_text("\n".join(map(",".join, rows)) + "\n")
    return number + 1


def stopped_before(site: Site, hour: int, *words: str) -> None:
    """Check that everything before this hour has been rated and nothing from it on, and that the
    reason was told once."""
    done = site.run(ONCE)
    assert done.code == 1
    error, summary = done.err.splitlines()
    for word in ("ERROR", "project_id=p0, project_id=p1", f"[collector_csv] file: {site.usage}"):
        assert word in error
    for word in words:
        assert word in error
    assert summary == (
        "cloudkitty-processor: not up to date, see above: project_id=p0, project_id=p1"
    )
    end = NEW_YEAR + hour * HOUR
    with site.database.reader() as connection:
        horizons = connection.execute(sa.select(scopes.c.horizon)).scalars().all()
        begins = connection.execute(sa.select(models.runs.c.begin)).scalars().all()
    assert horizons == [end, end]
    assert max(begins) == period.epoch(end - HOUR)


def test_a_wrong_quantity_in_the_middle_of_the_usage(site: Site) -> None:
    line = spoil(site, 3, lambda cells: cells.__setitem__(3, "much"))
    stopped_before(site, 3, f"line {line}, column qty: ", "'much'")


def test_a_wrong_instant_in_the_middle_of_the_usage(site: Site) -> None:
    line = spoil(site, 3, lambda cells: cells.__setitem__(1, "later"))
    stopped_before(site, 3, f"line {line}, column end: ", "'later'")


def test_usage_that_is_not_sorted(site: Site) -> None:
    line = spoil(site, 3, lambda cells: cells.__setitem__(0, NEW_YEAR.isoformat()))
    stopped_before(site, 3, f"line {line}, column begin: ", "sort by begin")


def test_mended_usage_is_rated_from_where_it_stopped(site: Site) -> None:
    good = site.usage.read_text()
    spoil(site, 3, lambda cells: cells.__setitem__(3, "much"))
    site.run(ONCE)
    site.usage.write_text(good)
    done = site.run(ONCE)
    assert (done.code, done.err) == (0, "")
    mended = site.content()[models.runs.name]
    cloud.wipe(site.database)
    site.run(ONCE)
    assert [row[1:] for row in site.content()[models.runs.name]] == [row[1:] for row in mended]


def test_a_metering_api_that_does_not_answer(site: Site) -> None:
    site.metrics.write_text("metrics: {cpu: {unit: x, extra_args: {kind: presence}}}\n")
    site.configure(
        {
            "collect": {"collector": "ceilometer"},
            "collector_ceilometer": {"endpoint": f"http://{CLOSED}"},
        }
    )
    done = site.run(ONCE)
    assert done.code == 1
    error, summary = done.err.splitlines()
    for word in ("project_id=p0", "metric cpu", f"[collector_ceilometer] endpoint http://{CLOSED}"):
        assert word in error
    assert "not up to date" in summary
    assert site.content()[models.runs.name] == []


# -- help --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (
            ("processor",),
            ["Collects usage, rates it", "max_workers", "--once", "Rate all that is due"],
        ),
        (
            ("api",),
            [
                "Serve the rating API over HTTP.",
                "--port PORT",
                "Port to listen on",
                "--host-ip ADDRESS",
                "Address to bind",
                "--workers WORKERS",
                "Worker processes",
            ],
        ),
        (
            ("dbsync",),
            [
                "Bring the database schema up to date",
                "upgrade             bring the schema up to date",
                "version             print where the schema stands",
            ],
        ),
        (("dbsync", "upgrade"), ["--revision REVISION", "revision to reach", "--module MODULE"]),
        (("storage",), ["Make the configured storage ready for use.", "--config-file PATH"]),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else None,
)
def test_help_tells_what_a_command_does_and_takes(
    command: Command, words: Sequence[str], site: Site
) -> None:
    done = site.run((*command, "--help"))
    assert (done.code, done.err) == (0, "")
    told = " ".join(done.out.split())
    for word in words:
        assert " ".join(word.split()) in told


@pytest.mark.parametrize("name", [*PROGRAMS, "demo"])
def test_a_fresh_process_says_nothing_but_its_help(name: str) -> None:
    """What importing libraries may say is not among it."""
    done = commands.run_bare(name, "--help")
    assert (done.code, done.err) == (0, "")
    assert done.out.startswith(f"usage: {PROGRAMS.get(name, 'cloudkitty-demo')} ")
