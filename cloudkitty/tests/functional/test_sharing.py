# SPDX-License-Identifier: Apache-2.0
"""Hosts that share the scopes: nobody asks for what another asks for, and whoever comes or goes,
the ledger is that of one undisturbed run."""

import pathlib
from collections.abc import Iterator

import pytest
from oslo_config import cfg

from cloudkitty import config
from cloudkitty.db.engine import Database
from cloudkitty.tests import cloud
from cloudkitty.tests.databases import TestServer
from cloudkitty.tests.functional import commands, hosts
from cloudkitty.tests.functional.hosts import Hosts, OwnRedis, kill
from cloudkitty.tests.functional.test_processor_daemon import Point, Site

WORKERS = 2
METRICS = 2

SCOPES = 40
"""So many that each of four workers has some."""

HOURS = 12


class Shared:
    """A cloud, and the hosts that are to rate it."""

    def __init__(self, site: Site, directory: pathlib.Path) -> None:
        self.site = site
        self.hosts = Hosts(directory)
        self._directory = directory

    def configure(self, url: str) -> pathlib.Path:
        return commands.write_configuration(
            self._directory / "shared.conf",
            cloud.sections(self.site.database.url, self._directory, hours=self.site.hours),
            {"orchestrator": {"coordination_url": url, "max_workers": WORKERS}},
        )

    def await_asking(self, *names: str, workers: int = 1) -> None:
        """Wait until so many workers of each host have asked the source for something."""

        def have_asked() -> bool:
            asking = {(one.host, one.pid) for one in self.hosts.questions()}
            return all(sum(host == name for host, _ in asking) >= workers for name in names)

        commands.wait_until(have_asked, f"{names} ask", self.hosts.log(names[0]))

    def await_end(self, *names: str) -> None:
        commands.wait_until(self.site.is_done, "everything is rated", self.hosts.log(names[0]))
        for name in names:
            assert "Traceback" not in self.hosts.said(name)
            assert " ERROR " not in self.hosts.said(name)
        assert self.site.points() == self.site.undisturbed


@pytest.fixture(scope="module")
def undisturbed(sqlite_server: TestServer, tmp_path_factory: pytest.TempPathFactory) -> list[Point]:
    """The ledger that everybody comes to: the same on every database."""
    directory = tmp_path_factory.mktemp("undisturbed")
    conf = config.load([], config_files=[])
    conf.set_override("state_path", str(directory))
    conf.set_override("scope_key", "project_id", "collect")
    database = sqlite_server.fresh(conf, directory)
    site = Site(conf, database, directory, scopes=SCOPES, hours=HOURS)
    database.dispose()
    return site.undisturbed


@pytest.fixture
def shared(
    conf: cfg.ConfigOpts,
    sqlite_database: Database,
    tmp_path: pathlib.Path,
    undisturbed: list[Point],
) -> Shared:
    site = Site(conf, sqlite_database, tmp_path, undisturbed, SCOPES, HOURS)
    return Shared(site, tmp_path)


@pytest.fixture(params=hosts.PEERS)
def grouped(request: pytest.FixtureRequest, shared: Shared, tmp_path: pathlib.Path) -> pathlib.Path:
    """A configuration for a service by which workers know of each other."""
    reason = hosts.missing(request.param)
    if reason:
        pytest.skip(reason)
    return shared.configure(hosts.url_of(request.param, tmp_path))


def test_a_host_joins_and_another_is_killed(shared: Shared, grouped: pathlib.Path) -> None:
    asking = shared.hosts
    asking.slow_down()
    with asking.host("first", grouped) as first:
        shared.await_asking("first", workers=WORKERS)
        with asking.host("second", grouped):
            shared.await_asking("second", workers=WORKERS)
            assert asking.repeated() == {}
            kill(first)
            assert not shared.site.is_done(), "it must be killed in the middle of the work"
            asking.speed_up()
            shared.await_end("second")
    # What was being asked for when it was killed has been asked for again, and nothing else.
    again = asking.repeated()
    assert set(again.values()) <= {1}
    assert len({(scope, metric) for metric, _begin, scope in again}) == len(again)


def test_four_workers_share_everything(shared: Shared, tmp_path: pathlib.Path) -> None:
    path = shared.configure(hosts.url_of("file", tmp_path))
    asking = shared.hosts
    with asking.host("first", path), asking.host("second", path):
        shared.await_end("first", "second")
    assert asking.repeated() == {}
    assert len(asking.questions()) == METRICS * SCOPES * HOURS
    assert {one.host for one in asking.questions()} == {"first", "second"}


def test_everybody_believes_in_everything(shared: Shared, tmp_path: pathlib.Path) -> None:
    path = shared.configure(hosts.url_of("file", tmp_path))
    believe = hosts.believe_in_all
    with (
        shared.hosts.host("first", path, believe),
        shared.hosts.host("second", path, believe),
    ):
        shared.await_end("first", "second")
    assert shared.hosts.repeated(), "they must have been in each other's way"


@pytest.fixture
def redis(tmp_path: pathlib.Path) -> Iterator[OwnRedis]:
    if not OwnRedis.program:
        pytest.skip("no redis server: its program is not installed")
    server = OwnRedis(tmp_path)
    yield server
    server.stop()


def test_the_service_goes_away_and_comes_back(shared: Shared, redis: OwnRedis) -> None:
    path = shared.configure(redis.url)
    said = shared.hosts.said
    shared.hosts.slow_down()
    redis.start()
    with shared.hosts.host("first", path):
        shared.await_asking("first", workers=WORKERS)
        redis.stop()
        log = shared.hosts.log("first")
        gone, back = "going on with the same share", "the service answers again"
        commands.wait_until(lambda: said("first").count(gone) == WORKERS, gone, log)
        shared.hosts.speed_up()
        shared.await_end("first")
        assert shared.hosts.repeated() == {}
        redis.start()
        commands.wait_until(lambda: said("first").count(back) == WORKERS, back, log)
    assert said("first").count(gone) == said("first").count(back) == WORKERS


@pytest.mark.parametrize("database_server", ["mysql", "postgresql"], indirect=True)
def test_a_database_has_locks_alone(
    conf: cfg.ConfigOpts, database: Database, tmp_path: pathlib.Path, undisturbed: list[Point]
) -> None:
    shared = Shared(Site(conf, database, tmp_path, undisturbed, SCOPES, HOURS), tmp_path)
    path = shared.configure(hosts.url_of(database.dialect, tmp_path))
    asking = shared.hosts
    asking.slow_down()
    with asking.host("first", path) as first:
        shared.await_asking("first", workers=WORKERS)
        with asking.host("second", path):
            kill(first)
            asking.speed_up()
            shared.await_end("second")
    again = asking.repeated()
    assert set(again.values()) <= {1}
    assert len({(scope, metric) for metric, _begin, scope in again}) == len(again)
