# SPDX-License-Identifier: Apache-2.0
"""Fixtures of the fault matrix."""

import io
import json
import pathlib
import signal
import time
from collections.abc import Callable, Iterator

import pytest
from oslo_config import cfg

from cloudkitty import config
from cloudkitty.db.engine import Database
from cloudkitty.processor import build, once
from cloudkitty.processor.locks import share_of
from cloudkitty.tests.databases import TestServer
from cloudkitty.tests.functional.faults.child import Child
from cloudkitty.tests.functional.faults.servers import SERVERS, Server, place
from cloudkitty.tests.functional.faults.site import Ledger, Site, Verdict


def rated_alone(
    server: TestServer, directory: pathlib.Path, prepare: Callable[[Site], None]
) -> Ledger:
    """Return the ledger of a run that nothing disturbs: the same on every database."""
    conf = config.load([], config_files=[])
    conf.set_override("state_path", str(directory))
    conf.set_override("scope_key", "project_id", "collect")
    database = server.fresh(conf, directory)
    site = Site(conf, database, directory)
    prepare(site)
    # Here, so that what the workers need is imported before they fork.
    share = share_of(conf)
    processor = build.build(conf, database=database, share=share)
    once.rate_all(processor, io.StringIO())
    share.close()
    processor.worker.close()
    ledger = site.ledger()
    database.dispose()
    return ledger


@pytest.fixture(scope="session")
def undisturbed(sqlite_server: TestServer, tmp_path_factory: pytest.TempPathFactory) -> Ledger:
    """What every ledger should come to."""
    return rated_alone(sqlite_server, tmp_path_factory.mktemp("undisturbed"), lambda _site: None)


class Trial:
    """One fault on one database, timed from when it is over to when everything is rated."""

    def __init__(self, site: Site, undisturbed: Ledger, request: pytest.FixtureRequest) -> None:
        self.site = site
        self._undisturbed = undisturbed
        self._properties = request.node.user_properties
        self._over = time.monotonic()
        self._seconds: float | None = None

    def over(self) -> None:
        """Note that the fault is over, and recovery begins."""
        self._over = time.monotonic()

    def recovers(self, fault: str, *living: Child) -> None:
        """Wait until all is rated; make sure that it is right, and have it in the table."""
        self.site.await_end(*living)
        self.recovered()
        self.tell(fault, self.site.compare(self._undisturbed))

    def recovered(self) -> None:
        """Note that everything is rated."""
        self._seconds = time.monotonic() - self._over

    def tell(self, fault: str, verdict: Verdict) -> None:
        """As ``recovers``, of what has been compared already."""
        result = {"fault": fault, "seconds": self._seconds, **verdict._asdict()}
        result["database"] = self.site.database.dialect
        self._properties.append(("fault", json.dumps(result)))
        assert verdict == Verdict(0, 0, 0), self.site.said()
        assert "Traceback" not in self.site.said()


@pytest.fixture
def site(conf: cfg.ConfigOpts, database: Database, tmp_path: pathlib.Path) -> Site:
    return Site(conf, database, tmp_path)


@pytest.fixture
def trial(site: Site, undisturbed: Ledger, request: pytest.FixtureRequest) -> Iterator[Trial]:
    yield Trial(site, undisturbed, request)


@pytest.fixture(scope="session", params=SERVERS, ids=lambda kind: kind.dialect)
def own_server(request: pytest.FixtureRequest) -> Iterator[Server]:
    """A server of each kind that these tests may break."""
    kind: type[Server] = request.param
    if not kind.program():
        pytest.skip(f"no {kind.dialect} server: its program is not installed")
    with place() as directory:
        server = kind(directory)
        server.start()
        yield server
        server.end(signal.SIGKILL)


@pytest.fixture(scope="session")
def own_database(own_server: Server, tmp_path_factory: pytest.TempPathFactory) -> TestServer:
    return TestServer(
        own_server.dialect, tmp_path_factory.mktemp(own_server.dialect), own_server.url
    )


@pytest.fixture
def breakable(
    own_database: TestServer,
    conf: cfg.ConfigOpts,
    tmp_path: pathlib.Path,
    undisturbed: Ledger,
    request: pytest.FixtureRequest,
) -> Iterator[Trial]:
    """A trial on the server of these tests."""
    database = own_database.fresh(conf, tmp_path)
    yield Trial(Site(conf, database, tmp_path), undisturbed, request)
    database.dispose()
