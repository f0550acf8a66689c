# SPDX-License-Identifier: Apache-2.0
"""The daemon, its workers and its neighbours: whatever is started, stopped or killed, the ledger
is that of one undisturbed run."""

import datetime
import os
import pathlib
import signal
import urllib.parse
from decimal import Decimal
from typing import NamedTuple

import pytest
import requests
from oslo_config import cfg

from cloudkitty import money
from cloudkitty.dataframe import Registry
from cloudkitty.db.engine import Database
from cloudkitty.db.models import scopes
from cloudkitty.storage.base import Query
from cloudkitty.storage.sqlalchemy.driver import SqlAlchemyStorage
from cloudkitty.tests import cloud
from cloudkitty.tests.builders import HOUR, NEW_YEAR
from cloudkitty.tests.functional import commands
from cloudkitty.tests.functional.live import LiveApi

SCOPES = 6
HOURS = 40

END = NEW_YEAR + HOURS * HOUR

WORKERS = 2


class Point(NamedTuple):
    """A point of the ledger, but for what has no order as texts."""

    scope: str
    begin: datetime.datetime
    metric: str
    attributes: str
    qty: str
    price: str


class Site:
    """A priced cloud with its configuration file, and the ledger that it should come to."""

    def __init__(
        self,
        conf: cfg.ConfigOpts,
        database: Database,
        directory: pathlib.Path,
        undisturbed: "list[Point] | None" = None,
        scopes: int = SCOPES,
        hours: int = HOURS,
    ) -> None:
        """*undisturbed* is the ledger to come to, if that of so many scopes and hours is known."""
        cloud.configure(conf, directory, scopes=scopes, hours=hours)
        cloud.price(database)
        self._conf = conf
        self._directory = directory
        self.scopes = scopes
        self.hours = hours
        self._end = NEW_YEAR + hours * HOUR
        self.database = database
        self.config = self.configure("cloudkitty")
        self.log = directory / "processor.log"
        self.metrics = pathlib.Path(conf.collect.metrics_conf)
        self.undisturbed = undisturbed or self._rated_once()

    def _rated_once(self) -> list[Point]:
        done = commands.run_warm("processor", self.config, "--once")
        assert (done.code, done.err) == (0, "")
        points = self.points()
        # Each hour two instances, of which one is away every tenth, and a port.
        assert len(points) == self.scopes * (3 * self.hours + -self.hours // 10)
        assert f" {len(points)} points\n" in done.out
        cloud.wipe(self.database)
        return points

    def configure(self, name: str) -> pathlib.Path:
        """Write a configuration file; those of different names share no locks."""
        return commands.write_configuration(
            self._directory / f"{name}.conf",
            cloud.sections(self.database.url, self._directory, hours=self.hours),
            {
                "orchestrator": {
                    "coordination_url": f"file://{self._directory}/{name}-locks?timeout=3",
                    "max_workers": WORKERS,
                    "batch_size": 1,
                }
            },
        )

    def horizons(self) -> dict[str, datetime.datetime | None]:
        """How far each scope has been rated."""
        columns = scopes.c.identifier, scopes.c.horizon
        with self.database.reader() as connection:
            rows = connection.execute(scopes.select().with_only_columns(*columns)).all()
        return {row.identifier: row.horizon for row in rows}

    def is_begun(self) -> bool:
        return any(self.horizons().values())

    def is_done(self) -> bool:
        reached = self.horizons().values()
        return len(reached) == self.scopes and all(one and one >= self._end for one in reached)

    def await_begin(self) -> None:
        commands.wait_until(self.is_begun, "something is rated", self.log)

    def await_end(self) -> None:
        commands.wait_until(self.is_done, "everything is rated", self.log)

    def points(self) -> list[Point]:
        """Every point in the ledger, as texts; one that is there twice is here twice."""
        store = SqlAlchemyStorage(self._conf, self.database, Registry())
        return sorted(
            Point(
                found.scope.identifier,
                found.frame.period.begin,
                point.metric,
                str(sorted(point.desc.items())),
                str(point.qty),
                str(point.price),
            )
            for found in store.retrieve(Query(NEW_YEAR, self._end), limit=None).frames
            for point in found.frame
        )

    def whole_periods(self) -> list[Point]:
        """Every point that belongs in the ledger, as far as each scope has been rated."""
        horizons = self.horizons()
        return [
            point
            for point in self.undisturbed
            if point.begin < (horizons.get(point.scope) or NEW_YEAR)
        ]


@pytest.fixture
def site(conf: cfg.ConfigOpts, database: Database, tmp_path: pathlib.Path) -> Site:
    return Site(conf, database, tmp_path)


@pytest.fixture
def sqlite_site(conf: cfg.ConfigOpts, sqlite_database: Database, tmp_path: pathlib.Path) -> Site:
    return Site(conf, sqlite_database, tmp_path)


def test_the_daemon_comes_to_the_ledger_of_a_single_run(site: Site) -> None:
    with commands.daemon(site.config, site.log) as processor:
        site.await_end()
        assert commands.stop(processor) == 0
    assert site.points() == site.undisturbed
    assert "Traceback" not in site.log.read_text()


def test_told_to_end_it_finishes_the_period_and_leaves_none_half_rated(sqlite_site: Site) -> None:
    with commands.daemon(sqlite_site.config, sqlite_site.log) as processor:
        sqlite_site.await_begin()
        assert commands.stop(processor, seconds=15) == 0
    assert not sqlite_site.is_done(), "it must be told in the middle of the work"
    assert sqlite_site.points() == sqlite_site.whole_periods()
    assert "Traceback" not in sqlite_site.log.read_text()
    done = commands.run_warm("processor", sqlite_site.config, "--once")
    assert (done.code, done.err) == (0, "")
    assert sqlite_site.points() == sqlite_site.undisturbed


def test_a_killed_worker_is_replaced_and_its_work_done(sqlite_site: Site) -> None:
    with commands.daemon(sqlite_site.config, sqlite_site.log) as processor:
        sqlite_site.await_begin()
        before = commands.children(processor.pid)
        assert len(before) >= WORKERS
        for pid in before:
            os.kill(pid, signal.SIGKILL)
        assert not sqlite_site.is_done(), "they must be killed in the middle of the work"
        sqlite_site.await_end()

        def is_replaced() -> bool:
            after = commands.children(processor.pid)
            return len(after) == len(before) and not set(before) & set(after)

        commands.wait_until(is_replaced, "every killed worker is replaced", sqlite_site.log)
        assert commands.stop(processor) == 0
    assert sqlite_site.points() == sqlite_site.undisturbed


def test_a_metrics_file_spoilt_meanwhile_stops_the_rating_until_it_is_mended(
    sqlite_site: Site,
) -> None:
    log, metrics = sqlite_site.log, sqlite_site.metrics
    good = metrics.read_text()

    def said(words: str, times: int = WORKERS) -> None:
        commands.wait_until(lambda: log.read_text().count(words) >= times, words, log)

    with commands.daemon(sqlite_site.config, log) as processor:
        sqlite_site.await_begin()
        metrics.write_text("metrics: {cpu: {unit: 1, colour: red}}\n")
        processor.send_signal(signal.SIGHUP)
        said("nothing is rated until this is put right: ")
        metrics.write_text(good)
        processor.send_signal(signal.SIGHUP)
        sqlite_site.await_end()
        said(" started\n", 2 * WORKERS)
        assert commands.stop(processor) == 0
    assert log.read_text().count("nothing is rated") == WORKERS
    assert "Traceback" not in log.read_text()
    assert sqlite_site.points() == sqlite_site.undisturbed


def test_two_daemons_that_share_no_locks_rate_everything_once(site: Site) -> None:
    other = site.configure("other")
    other_log = site.log.with_name("other.log")
    with (
        commands.daemon(site.config, site.log) as first,
        commands.daemon(other, other_log) as second,
    ):
        site.await_end()
        assert [commands.stop(first), commands.stop(second)] == [0, 0]
    assert site.points() == site.undisturbed
    for log in (site.log, other_log):
        assert "Traceback" not in log.read_text()
        assert " ERROR " not in log.read_text()


def test_a_collector_is_disabled_and_enabled_while_the_daemon_runs(sqlite_site: Site) -> None:
    site = sqlite_site
    api = LiveApi(site.config)

    def set_state(enabled: bool) -> None:
        url = f"{api.url}/v1/collector/states/csv"
        answer = requests.put(url, json={"enabled": enabled}, timeout=60)
        assert answer.json() == {"name": "csv", "enabled": enabled}

    def is_waiting() -> bool:
        answer = requests.get(f"{api.url}/v2/scope", timeout=60)
        said = [one["last_error"] or "" for one in answer.json().get("results", ())]
        return len(said) == SCOPES and all("PUT /v1/collector/states/csv" in one for one in said)

    try:
        set_state(False)
        with commands.daemon(site.config, site.log) as processor:
            commands.wait_until(is_waiting, "every scope says why it waits", site.log)
            assert not site.is_begun()
            set_state(True)
            site.await_end()
            assert commands.stop(processor) == 0
    finally:
        api.stop()
    log = site.log.read_text()
    # Each worker says it once, of each of the two services.
    assert 2 <= log.count("periods wait: ") <= 2 * WORKERS
    assert " ERROR " not in log
    assert site.points() == site.undisturbed


def test_the_api_answers_while_the_daemon_writes_the_same_file(sqlite_site: Site) -> None:
    question = urllib.parse.urlencode(
        {"begin": "2026-01-01T00:00:00", "end": END.replace(tzinfo=None), "all_tenants": "true"}
    )
    answers = [Decimal(0)]
    api = LiveApi(sqlite_site.config)
    try:
        with commands.daemon(sqlite_site.config, sqlite_site.log):
            done = False
            while not done:
                done = sqlite_site.is_done()
                answer = requests.get(f"{api.url}/v1/report/total?{question}", timeout=60)
                assert answer.status_code == 200, answer.text
                answers.append(money.amount(answer.json()))
                assert len(answers) < 10_000, sqlite_site.log.read_text()
    finally:
        api.stop()
    assert answers == sorted(answers)
    assert any(0 < answer < answers[-1] for answer in answers), "it must be asked during the work"
    assert answers[-1] == sum(Decimal(point.price) for point in sqlite_site.undisturbed)
