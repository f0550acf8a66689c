# SPDX-License-Identifier: Apache-2.0
"""Numbers for Prometheus, read from running services: every process is counted, once."""

import datetime
import pathlib
import signal
import socket

import requests
from oslo_config import cfg

from cloudkitty.coverage import Due
from cloudkitty.db.engine import Database
from cloudkitty.db.scopes import ScopeStore
from cloudkitty.rating.hashmap import models as tables
from cloudkitty.telemetry.exposition import Exposition
from cloudkitty.telemetry.lag import Lag
from cloudkitty.telemetry.rating import CountedRating
from cloudkitty.tests import builders, cloud
from cloudkitty.tests.bench import Bench
from cloudkitty.tests.builders import HOUR, NEW_YEAR, hour
from cloudkitty.tests.functional import commands
from cloudkitty.tests.functional.live import LiveApi, write_configuration
from cloudkitty.tests.unit.test_telemetry import plain

SCOPES = 6
HOURS = 12
WORKERS = 2

POINTS = SCOPES * (3 * HOURS - 2)
"""Each hour two instances, of which one is away every tenth, and a port."""


def scrape(url: str) -> dict[str, dict[tuple[str, ...], float]]:
    answer = requests.get(f"{url}/metrics", timeout=commands.BOUND)
    assert answer.status_code == 200
    for scope in range(SCOPES):
        assert f'"p{scope}"' not in answer.text
    return plain(answer.content)


class TestProcessor:
    def configure(
        self, conf: cfg.ConfigOpts, database: Database, directory: pathlib.Path, port: int
    ) -> pathlib.Path:
        cloud.configure(conf, directory, scopes=SCOPES, hours=HOURS)
        cloud.price(database)
        with database.writer() as connection:
            large = tables.mappings.c.value == "large"
            connection.execute(tables.mappings.delete().where(large))
        metrics = {"metrics_port": port, "metrics_host": "127.0.0.1", "max_workers": WORKERS}
        return commands.write_configuration(
            directory / "cloudkitty.conf",
            cloud.sections(database.url, directory, hours=HOURS),
            {"orchestrator": {**metrics, "batch_size": 2}},
        )

    def test_one_port_shows_what_all_workers_do(
        self, conf: cfg.ConfigOpts, sqlite_database: Database, tmp_path: pathlib.Path
    ) -> None:
        port, log = commands.free_port(), tmp_path / "processor.log"
        config = self.configure(conf, sqlite_database, tmp_path, port)
        url = f"http://127.0.0.1:{port}"

        def is_rated() -> bool:
            states = ScopeStore(sqlite_database).find({})
            end = NEW_YEAR + HOURS * HOUR
            return len(states) == SCOPES and all(
                state.horizon is not None and state.horizon >= end for state in states
            )

        # What an earlier run has left is not counted again.
        left = tmp_path / "metrics" / f"processor-{port}"
        left.mkdir(parents=True)
        (left / "counter_1.db").write_bytes(b"rubbish")
        with commands.daemon(config, log) as processor:
            commands.wait_until(is_rated, "everything is rated", log)
            wanted = {("rated",): float(SCOPES * HOURS)}
            commands.wait_until(
                lambda: scrape(url).get("cloudkitty_periods_total") == wanted, "all counted", log
            )
            found = scrape(url)
            assert found["cloudkitty_points_total"] == {(): POINTS}
            # Of the busy instance, from the eighth hour to the last but the eleventh.
            assert found["cloudkitty_unpriced_points_total"] == {("instance",): SCOPES * 4}
            asked = found["cloudkitty_source_requests_total"]["csv",]
            assert asked >= 2 * HOURS * SCOPES / 2
            assert found["cloudkitty_source_seconds_count"] == {("csv",): asked}
            steps = found["cloudkitty_step_seconds_count"]
            assert steps["collect",] == steps["rate",] == steps["store",] == asked / 2
            assert found["cloudkitty_scopes"]["closed",] == SCOPES
            assert found["cloudkitty_scope_lag_seconds_bucket"]["0.0",] == SCOPES
            assert requests.get(f"{url}/", timeout=commands.BOUND).status_code == 404
            processor.send_signal(signal.SIGHUP)
            commands.wait_until(
                lambda: log.read_text().count(" started\n") >= 2 * WORKERS, "new workers", log
            )
            commands.wait_until(lambda: is_up(url), "the port answers again", log)
            assert scrape(url)["cloudkitty_points_total"] == {(): POINTS}
            assert commands.stop(processor) == 0
        assert "Traceback" not in log.read_text()

    def test_a_port_in_use_is_told_at_the_start(
        self, conf: cfg.ConfigOpts, sqlite_database: Database, tmp_path: pathlib.Path
    ) -> None:
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
            config = self.configure(conf, sqlite_database, tmp_path, port)
            done = commands.run("processor", config)
        assert done.code == 1
        assert "[orchestrator] metrics_host, metrics_port: cannot listen on 127.0.0.1" in done.err
        assert "Traceback" not in done.err


def is_up(url: str) -> bool:
    try:
        return requests.get(f"{url}/metrics", timeout=commands.BOUND).ok
    except requests.ConnectionError:
        return False


class TestBench:
    """A processor in this process."""

    def test_failures_and_what_is_waited_for(
        self, conf: cfg.ConfigOpts, sqlite_database: Database
    ) -> None:
        exposition = Exposition()
        bench = Bench(conf, sqlite_database, telemetry=CountedRating(exposition.registry))
        bench.collector.late = {("q", "volume.size"), ("p", "volume.size"), ("r", "volume.size")}
        bench.rounds.run()
        found = plain(exposition.text())
        # Nobody waits for what was never there.
        assert found["cloudkitty_periods_total"] == {("rated",): 15}
        assert found["cloudkitty_source_empty_answers_total"] == {("volume.size", "csv"): 5}
        assert found["cloudkitty_unpriced_points_total"] == {("instance",): 15}
        bench.now += HOUR
        bench.collector.late = {("q", "cpu")}
        bench.collector.bad_scopes["r"] = ValueError("the id is not liked")
        bench.rounds.run()
        found = plain(exposition.text())
        assert found["cloudkitty_periods_total"] == {
            ("rated",): 16,
            ("waiting",): 1,
            ("failed",): 1,
        }
        assert sum(found["cloudkitty_source_failures_total"].values()) >= 2
        assert found["cloudkitty_retries_total"] == {(): 0}
        bench.now += datetime.timedelta(seconds=61)
        bench.rounds.run()
        assert plain(exposition.text())["cloudkitty_retries_total"] == {(): 2}
        bench.worker.close()


def test_lag_is_that_of_now(database: Database) -> None:
    states = builders.states(database, "a", "b", "c", "d")
    store = ScopeStore(database)
    store.set_active(states["d"], False, NEW_YEAR)
    store.note_failure([states["b"]], "no", NEW_YEAR, NEW_YEAR)
    exposition = Exposition()
    now = [NEW_YEAR]
    exposition.ask(Lag(database, lambda: Due(3600, 2 * HOUR, now[0]), buckets=(0, 3600, 7200)))
    found = plain(exposition.text())
    assert found["cloudkitty_scope_lag_seconds_bucket"] == {
        ("0.0",): 3,
        ("3600.0",): 3,
        ("7200.0",): 3,
        ("+Inf",): 3,
    }
    now[0] = hour(3).end
    found = plain(exposition.text())
    assert found["cloudkitty_scope_lag_seconds_bucket"]["3600.0",] == 0
    assert found["cloudkitty_scope_lag_seconds_bucket"]["7200.0",] == 3
    assert found["cloudkitty_scope_lag_seconds_sum"] == {(): 3 * 7200}
    assert {key: n for key, n in found["cloudkitty_scopes"].items() if n} == {
        ("late",): 2,
        ("failing",): 1,
        ("inactive",): 1,
    }


class TestApi:
    def test_all_workers_are_counted(
        self, conf: cfg.ConfigOpts, sqlite_database: Database, tmp_path: pathlib.Path
    ) -> None:
        config = write_configuration(tmp_path, sqlite_database.url)
        config.write_text(config.read_text().replace("port = 0\n", "port = 0\nmetrics = true\n"))
        live = LiveApi(config)
        try:
            for _ in range(20):
                # A connection each, so that no worker gets all of them.
                assert requests.get(f"{live.url}/v2/scope", timeout=60).status_code == 404
            requests.get(f"{live.url}/v1/rating/modules/hashmap", timeout=60)
            requests.get(f"{live.url}/v2/summary", timeout=60)
            requests.post(f"{live.url}/v1/rating/quote", json={"resources": []}, timeout=60)
            requests.get(f"{live.url}/nowhere/at/all", timeout=60)
            found = scrape(live.url)
            counted = found["cloudkitty_api_requests_total"]
            assert counted["GET", "/v2/scope", "404"] == 20
            assert counted["GET", "/v1/rating/modules/{}", "200"] == 1
            assert counted["GET", "none", "404"] == 1
            assert found["cloudkitty_api_query_seconds_count"]["sums",] == 1
            assert found["cloudkitty_api_quote_seconds_count"] == {(): 1}
            live.process.send_signal(signal.SIGHUP)
            for _ in range(20):
                requests.get(f"{live.url}/v2/scope", timeout=60)
            counted = scrape(live.url)["cloudkitty_api_requests_total"]
            assert counted["GET", "/v2/scope", "404"] == 40
        finally:
            assert live.stop() == 0

    def test_unless_told_to_it_shows_nothing(
        self, conf: cfg.ConfigOpts, sqlite_database: Database, tmp_path: pathlib.Path
    ) -> None:
        live = LiveApi(write_configuration(tmp_path, sqlite_database.url))
        try:
            assert requests.get(f"{live.url}/metrics", timeout=60).status_code == 404
        finally:
            live.stop()
        assert not (tmp_path / "metrics").exists()
