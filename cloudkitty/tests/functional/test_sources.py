# SPDX-License-Identifier: Apache-2.0
"""Usage from several sources at once, and how operators steer it."""

import datetime
import pathlib
from typing import Any

import pytest
from oslo_config import cfg
from stevedore import ExtensionManager

from cloudkitty.api import service
from cloudkitty.collector import catalogue, csv
from cloudkitty.collector.base import SourceUnavailable
from cloudkitty.collector.metrics import MetricsError
from cloudkitty.config import ConfigurationError
from cloudkitty.dataframe import Registry
from cloudkitty.db.collectors import CollectorStore
from cloudkitty.db.engine import Database
from cloudkitty.doctor import examination, sources
from cloudkitty.period import Period
from cloudkitty.processor import build, once
from cloudkitty.storage import factory
from cloudkitty.storage.base import Query
from cloudkitty.task import NewTask
from cloudkitty.tests import api, cloud, guests
from cloudkitty.tests.bench import Bench
from cloudkitty.tests.builders import HOUR, NEW_YEAR, hour
from cloudkitty.tests.guests import meters

TWO_SOURCES = """
metrics:
  cpu:
    unit: instance
    alt_name: instance
    groupby: [id]
  volume.size:
    unit: GiB
    groupby: [id]
    collector: spare
    extra_args: {region: north}
"""

ALTERNATIVES = """
metrics:
  cpu:
    unit: instance
    alt_name: instance
    groupby: [id]
  volume.size:
    - {unit: GiB, groupby: [id]}
    - {unit: GiB, groupby: [id], collector: spare, extra_args: {region: south}}
"""


def bench_of(conf: cfg.ConfigOpts, database: Database, metrics: str) -> Any:
    bench = Bench(conf, database, metrics=metrics, hours=2)
    bench.spare = bench.sources.named("spare")
    return bench


def names(collector: Any) -> set[str]:
    """What a collector has been asked for since; it is forgotten."""
    found = {name for name, *_ in collector.asked}
    collector.asked.clear()
    return found


def said(caplog: pytest.LogCaptureFixture, level: str) -> list[str]:
    return [r.getMessage() for r in caplog.records if r.levelname == level]


def test_each_metric_is_asked_of_its_collector(conf, database) -> None:
    bench = bench_of(conf, database, TWO_SOURCES)
    bench.rounds.run()
    assert bench.rated() == {"p": 2, "q": 2, "r": 2}
    assert (names(bench.collector), names(bench.spare)) == ({"cpu"}, {"volume.size"})
    bench.worker.close()
    assert bench.collector.closed and bench.spare.closed


def test_a_source_that_fails_is_named_and_nothing_of_the_period_is_stored(conf, database) -> None:
    bench = bench_of(conf, database, TWO_SOURCES)
    bench.spare.down = SourceUnavailable("nobody answers")
    bench.rounds.run()
    assert bench.rated() == {}
    assert bench.state("p").last_error == "metric volume.size (collector spare): nobody answers"
    bench.worker.close()


def test_a_mapping_moves_a_service_while_the_processor_runs(conf, database) -> None:
    bench = bench_of(conf, database, ALTERNATIVES)
    bench.rounds.run()
    assert (names(bench.collector), names(bench.spare)) == ({"cpu", "volume.size"}, set())
    bench.notes.map("volume.size", "spare")
    bench.now += HOUR
    bench.rounds.run()
    assert (names(bench.collector), names(bench.spare)) == ({"cpu"}, {"volume.size"})
    bench.notes.unmap("volume.size")
    bench.now += HOUR
    bench.rounds.run()
    assert (names(bench.collector), names(bench.spare)) == ({"cpu", "volume.size"}, set())
    assert bench.rated() == {"p": 4, "q": 4, "r": 4}
    bench.worker.close()


def test_a_disabled_collector_is_not_asked_where_there_is_another(conf, database) -> None:
    bench = bench_of(
        conf,
        database,
        ALTERNATIVES.replace(
            "groupby: [id]\n  vol",
            "groupby: [id]\n    collector: spare\n    extra_args: {region: north}\n  vol",
        ),
    )
    bench.notes.set_state("csv", False)
    bench.rounds.run()
    assert (names(bench.collector), names(bench.spare)) == (set(), {"cpu", "volume.size"})
    assert bench.rated() == {"p": 2, "q": 2, "r": 2}
    bench.worker.close()


def test_a_service_without_a_source_waits_and_is_not_skipped(conf, database, caplog) -> None:
    caplog.set_level("INFO")
    bench = bench_of(conf, database, TWO_SOURCES)
    bench.rounds.run()
    assert (names(bench.collector), names(bench.spare)) == ({"cpu"}, {"volume.size"})
    bench.notes.set_state("spare", False)
    bench.now += 2 * HOUR
    for _ in range(3):
        bench.rounds.run()
        bench.now += datetime.timedelta(seconds=10)
    assert bench.rated() == {"p": 2, "q": 2, "r": 2}
    assert (names(bench.collector), names(bench.spare)) == (set(), set())
    state = bench.state("p")
    for part in ("volume.size", "'spare' is disabled", "PUT /v1/collector/states/spare"):
        assert part in state.last_error
    assert (state.failures, state.horizon) == (0, hour(2).begin)
    assert len(said(caplog, "WARNING")) == 1
    assert "periods wait: service volume.size" in caplog.text
    bench.notes.set_state("spare", True)
    bench.rounds.run()
    assert bench.rated() == {"p": 4, "q": 4, "r": 4}
    assert bench.state("p").last_error is None
    assert "every service has a source again" in said(caplog, "INFO")
    assert said(caplog, "ERROR") == []
    bench.worker.close()


def test_a_mapping_to_a_collector_that_is_not_there_waits(conf, database) -> None:
    bench = bench_of(conf, database, ALTERNATIVES)
    bench.notes.map("instance", "sparr")
    bench.rounds.run()
    assert bench.rated() == {}
    for part in ("instance", "unknown collector 'sparr'; did you mean 'spare'?", "DELETE"):
        assert part in bench.state("p").last_error
    bench.worker.close()


def test_reprocessing_waits_for_a_source_without_a_failure(conf, database, caplog) -> None:
    bench = bench_of(conf, database, TWO_SOURCES)
    bench.rounds.run()
    window = Period(hour(0).begin, hour(1).begin)
    bench.tasks.add([NewTask(bench.state("p"), window, "a test")], bench.now)
    bench.notes.set_state("spare", False)
    bench.rounds.run()
    [task] = bench.tasks.list()
    assert "'spare' is disabled" in task.note
    assert said(caplog, "ERROR") == []
    bench.notes.set_state("spare", True)
    bench.now += datetime.timedelta(seconds=10)
    bench.rounds.run()
    [task] = bench.tasks.list()
    assert task.current == window.end
    bench.worker.close()


# -- as installed and configured -------------------------------------------------------------

METERED = """
metrics:
  cpu: {unit: instance, alt_name: instance, groupby: [id], metadata: [flavor]}
  requests: {unit: request, collector: meters, extra_args: {much: 7}}
"""


@pytest.fixture
def site(
    conf: cfg.ConfigOpts, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> pathlib.Path:
    """A cloud of CSV files whose metrics file, which is returned, also names a collector of
    others."""
    (tmp_path / "site").mkdir()
    guests.install(tmp_path / "site")
    monkeypatch.syspath_prepend(tmp_path / "site")
    monkeypatch.setattr(ExtensionManager, "ENTRY_POINT_CACHE", {})
    cloud.configure(conf, tmp_path, scopes=2, hours=3)
    path = tmp_path / "metrics.yml"
    path.write_text(METERED)
    return path


def rate(conf: cfg.ConfigOpts, database: Database) -> None:
    processor = build.build(conf, database=database, clock=lambda: NEW_YEAR + 10 * HOUR)
    try:
        assert not once.rate_all(processor).failed
    finally:
        processor.worker.close()


@pytest.mark.usefixtures("site")
def test_files_and_a_collector_of_others_make_one_bill(conf, database, monkeypatch) -> None:
    closed = []
    for collector in (csv.CsvCollector, meters.Meters):
        monkeypatch.setattr(collector, "close", lambda self: closed.append(self))
    conf.set_override("wait_periods", 8, "collect")
    rate(conf, database)
    assert sorted(type(one).__name__ for one in closed) == ["CsvCollector", "Meters"]
    storage = factory.build(conf, database, Registry())
    rows = storage.total(Query(NEW_YEAR, NEW_YEAR + 3 * HOUR), ["type", "scope"]).rows
    # In each of two projects, two hours: one instance, two in the second hour; seven requests.
    assert {row.group: row.qty for row in rows} == {
        ("instance", "p0"): 3,
        ("instance", "p1"): 3,
        ("requests", "p0"): 14,
        ("requests", "p1"): 14,
    }


def test_the_api_reads_a_file_with_several_sources(site, conf, sqlite_database) -> None:
    conf.set_override("auth_strategy", "noauth")
    client = api.Client.deployed(service.prepare(conf))
    found = client.get("/v1/info/metrics").json["metrics"]
    assert [one["metric_id"] for one in found] == ["instance", "requests"]
    assert client.get("/v1/info/config").json["metrics"]["requests"]["collector"] == "meters"
    for name, enabled in (("csv", True), ("meters", True), ("unable", False)):
        assert client.get(f"/v1/collector/states/{name}").json == {
            "name": name,
            "enabled": enabled,
        }


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("meter", r"metrics -> requests -> collector: unknown collector 'meter'; did you mean"),
        ("broken", r"metrics -> requests -> collector: collector 'broken' cannot be"),
    ],
)
def test_a_wrong_name_is_found_at_the_start(site, conf, sqlite_database, name, expected) -> None:
    site.write_text(METERED.replace("meters", name))
    for prepare in (lambda: build.build(conf), lambda: service.prepare(conf)):
        with pytest.raises(MetricsError, match=expected):
            prepare()


def test_a_collector_that_cannot_work_is_found_at_the_start(site, conf, sqlite_database) -> None:
    site.write_text(METERED.replace("meters", "unable"))
    with pytest.raises(ConfigurationError, match=r"\[collector_unable\] url: must be set"):
        build.build(conf)


def test_a_default_that_no_metric_uses_need_not_work(site, conf, sqlite_database) -> None:
    conf.set_override("file", [], "collector_csv")
    conf.set_override("backend", "source", "fetcher")
    conf.set_override("sources", ["p0"], "fetcher_source")
    site.write_text("metrics: {requests: {unit: request, collector: meters}}")
    build.build(conf).close()


def asked_by_doctor(conf: cfg.ConfigOpts, database: Database) -> dict[str, list[str]]:
    """By collector the services that the doctor asks it for."""
    notes = CollectorStore(database).notes()
    obstacles, found = sources.plan(conf, catalogue.metrics_file(conf), notes)
    asked = {one.name: [metric.service for metric in one.metrics] for one in found}
    for one in found:
        assert one.build(conf, Registry()).fetch is not None
    return asked | {str(one): [] for one in obstacles}


@pytest.mark.usefixtures("site")
def test_the_doctor_asks_each_source_for_its_own_metrics(conf, sqlite_database) -> None:
    assert asked_by_doctor(conf, sqlite_database) == {"csv": ["instance"], "meters": ["requests"]}


def test_the_doctor_follows_what_is_noted_about_collectors(site, conf, sqlite_database) -> None:
    site.write_text(METERED.replace(", collector: meters, extra_args: {much: 7}", ""))
    notes = CollectorStore(sqlite_database)
    notes.map("requests", "meters")
    assert asked_by_doctor(conf, sqlite_database) == {"csv": ["instance"], "meters": ["requests"]}
    notes.unmap("requests")
    assert asked_by_doctor(conf, sqlite_database) == {"csv": ["instance", "requests"]}
    notes.set_state("csv", False)
    [instance, requests] = asked_by_doctor(conf, sqlite_database)
    assert instance.startswith("error    metric instance: service instance has no source")
    assert requests.startswith("error    metric requests: service requests has no source")
    found = examination.examine(conf, NEW_YEAR + 5 * HOUR)
    assert [str(one) for one in found if "no source" in str(one)] == [instance, requests]


def test_the_doctor_names_a_source_that_is_not_there(site, conf, sqlite_database) -> None:
    site.write_text(METERED.replace("meters", "meter"))
    found = [str(one) for one in examination.examine(conf, NEW_YEAR + 5 * HOUR)]
    [named] = [one for one in found if "unknown collector" in one]
    assert named.startswith("error    metrics file: ")
    assert "unknown collector 'meter'; did you mean 'meters'?" in named
