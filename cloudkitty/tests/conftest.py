# SPDX-License-Identifier: Apache-2.0
"""Fixtures that every test may use."""

import pathlib
from collections import Counter
from collections.abc import Iterator

import pytest
from oslo_config import cfg

from cloudkitty import config
from cloudkitty.db.engine import Database
from cloudkitty.tests.databases import DIALECTS, TestServer, TestServers, missing
from cloudkitty.tests.functional.faults.report import table, told


@pytest.fixture
def conf(tmp_path: pathlib.Path) -> cfg.ConfigOpts:
    """A configuration with defaults, and its own state directory."""
    conf = config.load([], config_files=[])
    conf.set_override("state_path", str(tmp_path))
    conf.set_override("scope_key", "project_id", "collect")
    return conf


@pytest.fixture(scope="session")
def database_servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestServers]:
    """What the fixtures below share."""
    servers = TestServers(tmp_path_factory.mktemp)
    yield servers
    servers.drop()


@pytest.fixture(scope="session", params=DIALECTS)
def database_server(request: pytest.FixtureRequest, database_servers: TestServers) -> TestServer:
    """One database server of each kind."""
    reason = missing(request.param)
    if reason:
        pytest.skip(reason)
    return database_servers.of(request.param)


@pytest.fixture
def database(
    database_server: TestServer, conf: cfg.ConfigOpts, tmp_path: pathlib.Path
) -> Iterator[Database]:
    """An empty migrated database, once for each kind of server."""
    database = database_server.fresh(conf, tmp_path)
    yield database
    database.dispose()


@pytest.fixture(scope="session")
def sqlite_server(database_servers: TestServers) -> TestServer:
    return database_servers.of("sqlite")


@pytest.fixture
def sqlite_database(
    sqlite_server: TestServer, conf: cfg.ConfigOpts, tmp_path: pathlib.Path
) -> Iterator[Database]:
    """An empty migrated SQLite database, for tests that need just one."""
    database = sqlite_server.fresh(conf, tmp_path)
    yield database
    database.dispose()


@pytest.hookimpl(trylast=True)
def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say what each fault of the fault matrix has left behind, how many tests each kind of database
    had, and how many were skipped."""
    faults = told(terminalreporter)
    if faults:
        terminalreporter.section("faults")
        terminalreporter.write(table(faults))
    ran: Counter[str] = Counter()
    for outcome in ("passed", "failed"):
        for report in terminalreporter.getreports(outcome):
            parameters = report.nodeid.partition("[")[2].rstrip("]").split("-")
            ran.update(dialect for dialect in DIALECTS if dialect in parameters)
    counts = ", ".join(f"{dialect} {ran[dialect]}" for dialect in DIALECTS)
    skipped = len(terminalreporter.getreports("skipped"))
    terminalreporter.write_line(f"tests by database: {counts}; skipped: {skipped}")
