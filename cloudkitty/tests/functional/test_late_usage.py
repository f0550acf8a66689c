# SPDX-License-Identifier: Apache-2.0
"""A period waits a while for usage that the period before had, and is never rated in parts."""

import datetime
import pathlib
from decimal import Decimal

import pytest

from cloudkitty.collector.base import CollectError
from cloudkitty.dataframe import Registry
from cloudkitty.db.scopes import ScopeStore
from cloudkitty.processor import build, once
from cloudkitty.storage import factory
from cloudkitty.storage.base import Query
from cloudkitty.tests import cloud
from cloudkitty.tests.bench import Bench
from cloudkitty.tests.builders import HOUR, NEW_YEAR, hour
from cloudkitty.tests.functional import commands
from cloudkitty.tests.functional.test_sources import ALTERNATIVES

GRACE = datetime.timedelta(seconds=600)
SECOND = datetime.timedelta(seconds=1)

VOLUMES = {(name, "volume.size") for name in ("p", "q", "r")}


@pytest.fixture
def bench(conf, database):
    """A bench that stands one second after 06:00, with five hours rated: the sixth is due."""
    bench = Bench(conf, database)
    bench.rounds.run()
    bench.now += HOUR
    yield bench
    bench.worker.close()


def horizons(bench) -> dict[str, int]:
    """How many hours of each scope have been rated."""
    return {
        state.scope.identifier: (state.horizon - NEW_YEAR) // HOUR
        for state in ScopeStore(bench.database).find({})
    }


def said(caplog, level: str) -> list[str]:
    return [r.getMessage() for r in caplog.records if r.levelname == level]


def wait(bench, seconds: int) -> None:
    """Do rounds as a daemon would, for so many seconds."""
    end = bench.now + seconds * SECOND
    while (wake := bench.rounds.wake_at()) is not None and wake <= end:
        bench.now = max(wake, bench.now + SECOND)
        bench.rounds.run()
    bench.now = end


def test_a_period_waits_for_a_metric_that_was_there_before(bench, caplog) -> None:
    caplog.set_level("INFO")
    bench.collector.late = set(VOLUMES)
    bench.rounds.run()
    state = bench.state("p")
    assert horizons(bench) == {"p": 5, "q": 5, "r": 5}
    assert (state.failures, state.retry_at) == (0, bench.now + datetime.timedelta(seconds=60))
    assert state.last_error == (
        "waiting until 2026-01-01T06:10:00+00:00 for late usage of volume.size (collector csv)"
    )
    wait(bench, 300)
    assert horizons(bench) == {"p": 5, "q": 5, "r": 5}
    assert said(caplog, "INFO") == [
        f"project_id=p, project_id=q, project_id=r, period {hour(5)}: {state.last_error}"
    ]
    bench.collector.late.clear()
    wait(bench, 61)
    assert bench.rated() == {"p": 6, "q": 6, "r": 6}
    assert bench.state("p").last_error is None
    assert said(caplog, "WARNING") == said(caplog, "ERROR") == []


def test_after_the_grace_it_is_rated_as_it_is(bench, caplog) -> None:
    bench.collector.late = set(VOLUMES)
    bench.rounds.run()
    wait(bench, 598)
    assert horizons(bench) == {"p": 5, "q": 5, "r": 5}
    wait(bench, 2)
    assert horizons(bench) == {"p": 6, "q": 6, "r": 6}
    assert said(caplog, "WARNING") == [
        f"project_id=p, project_id=q, project_id=r, period {hour(5)}: rated without volume.size "
        "(collector csv), of which the period before had some; nothing has come within 600 s, "
        "see [collect] late_data_grace"
    ]


def test_of_what_a_scope_alone_has_stopped_using_nobody_is_warned(bench, caplog) -> None:
    caplog.set_level("INFO")
    bench.collector.late = {("q", "volume.size")}
    bench.rounds.run()
    wait(bench, 600)
    assert horizons(bench) == {"p": 6, "q": 6, "r": 6}
    assert said(caplog, "WARNING") == []
    [_waiting, done] = said(caplog, "INFO")
    assert done.startswith(f"project_id=q, period {hour(5)}: rated without volume.size ")


def test_it_waits_once_not_in_every_period(bench) -> None:
    bench.collector.late = set(VOLUMES)
    bench.rounds.run()
    wait(bench, 600)
    bench.now = NEW_YEAR + 7 * HOUR + SECOND
    bench.rounds.run()
    assert horizons(bench) == {"p": 7, "q": 7, "r": 7}


def test_only_the_scopes_wait_that_miss_something(bench) -> None:
    bench.collector.late = {("q", "cpu")}
    bench.rounds.run()
    assert horizons(bench) == {"p": 6, "q": 5, "r": 6}
    assert "instance" not in bench.state("q").last_error
    assert "cpu (collector csv)" in bench.state("q").last_error
    bench.collector.late.clear()
    wait(bench, 61)
    assert bench.rated() == {"p": 6, "q": 6, "r": 6}


def test_all_usage_of_a_scope_may_be_late(bench) -> None:
    bench.collector.late = {("q", "cpu"), ("q", "volume.size")}
    bench.rounds.run()
    assert horizons(bench) == {"p": 6, "q": 5, "r": 6}
    assert "cpu (collector csv), volume.size (collector csv)" in bench.state("q").last_error


def test_old_periods_do_not_wait(bench, caplog) -> None:
    bench.now += 5 * HOUR + GRACE
    bench.collector.late = set(VOLUMES)
    bench.rounds.run()
    assert horizons(bench) == {"p": 11, "q": 11, "r": 11}
    assert said(caplog, "WARNING") == []


def test_a_failure_while_waiting_is_a_failure(bench) -> None:
    bench.collector.late = set(VOLUMES)
    bench.rounds.run()
    bench.collector.bad_scopes["q"] = CollectError("not now")
    wait(bench, 61)
    assert bench.state("q").failures == 1
    assert bench.state("p").failures == 0
    assert "waiting" in bench.state("p").last_error
    bench.collector.bad_scopes.clear()
    bench.collector.late.clear()
    wait(bench, 120)
    assert bench.rated() == {"p": 6, "q": 6, "r": 6}


def test_a_scope_that_is_set_back_while_it_waits_has_not_waited_for_the_past(bench, caplog) -> None:
    bench.collector.late = set(VOLUMES)
    bench.rounds.run()
    assert bench.storage.rewind(bench.state("p"), hour(2).begin)
    bench.rounds.run()
    wait(bench, 300)
    # The source has nothing for the hours before either, so that there is nothing to wait for.
    assert horizons(bench) == {"p": 6, "q": 5, "r": 5}
    assert said(caplog, "WARNING") == []


def test_a_grace_of_nothing_waits_for_nothing(conf, database) -> None:
    conf.set_override("late_data_grace", 0, "collect")
    bench = Bench(conf, database)
    bench.rounds.run()
    bench.collector.late = set(VOLUMES)
    bench.now += HOUR
    bench.rounds.run()
    assert horizons(bench) == {"p": 6, "q": 6, "r": 6}
    bench.worker.close()


def test_the_ledger_knows_what_was_used_before_this_process_began(
    bench, conf, database, monkeypatch
) -> None:
    again = Bench(conf, database, hours=6)
    again.collector.late = {("q", "volume.size")}
    asked = []
    total = again.storage.total

    def counted(*arguments, **more):
        asked.append(arguments)
        return total(*arguments, **more)

    monkeypatch.setattr(again.storage, "total", counted)
    again.rounds.run()
    assert horizons(again) == {"p": 6, "q": 5, "r": 6}
    assert "volume.size (collector csv)" in again.state("q").last_error
    assert len(asked) == 1
    again.collector.late.add(("p", "volume.size"))
    again.now += HOUR
    again.rounds.run()
    assert horizons(again) == {"p": 6, "q": 7, "r": 7}
    again.worker.close()


def test_what_was_never_used_is_not_waited_for(conf, database) -> None:
    bench = Bench(conf, database)
    bench.collector.late = {("q", "volume.size")}
    for _ in range(3):
        bench.rounds.run()
        bench.now += HOUR
    assert horizons(bench) == {"p": 7, "q": 7, "r": 7}
    bench.worker.close()


def test_a_new_scope_waits_for_nothing(bench) -> None:
    bench.now = NEW_YEAR + HOUR + SECOND
    bench.fetcher.listed = ["s"]
    bench.collector.late = {("s", "cpu")}
    bench.rounds.run()
    assert horizons(bench)["s"] == 1


TWO_METERS = """
metrics:
  net.in: {unit: MB, alt_name: network, groupby: [id]}
  net.out: {unit: MB, alt_name: network, groupby: [id]}
"""


def test_one_of_two_meters_of_a_service_is_waited_for(conf, database) -> None:
    bench = Bench(conf, database, metrics=TWO_METERS)
    bench.rounds.run()
    bench.collector.late = {("p", "net.out")}
    bench.now += HOUR
    bench.rounds.run()
    assert horizons(bench) == {"p": 5, "q": 6, "r": 6}
    assert bench.state("p").last_error.endswith("usage of net.out (collector csv)")
    bench.worker.close()


def test_a_service_that_comes_from_elsewhere_since_is_waited_for(conf, database) -> None:
    bench = Bench(conf, database, metrics=ALTERNATIVES)
    bench.rounds.run()
    bench.notes.map("volume.size", "spare")
    bench.sources.named("spare").late = set(VOLUMES)
    bench.now += HOUR
    bench.rounds.run()
    assert horizons(bench) == {"p": 5, "q": 5, "r": 5}
    assert "volume.size (collector spare)" in bench.state("p").last_error
    bench.worker.close()


def test_usage_that_comes_late_into_a_file_is_on_the_bill(conf, database, tmp_path) -> None:
    cloud.configure(conf, tmp_path, scopes=2, hours=3)
    conf.set_override("wait_periods", 1, "collect")
    usage = pathlib.Path(conf.collector_csv.file[0])
    whole = usage.read_text()
    late = [
        line
        for line in whole.splitlines()
        if line.startswith("2026-01-01T02:00") and "port" in line
    ]
    lacking = "\n".join(line for line in whole.splitlines() if line not in late)
    now = NEW_YEAR + 3 * HOUR

    def rate(seconds: int) -> once.Summary:
        processor = build.build(conf, database=database, clock=lambda: now + seconds * SECOND)
        try:
            return once.rate_all(processor)
        finally:
            processor.worker.close()

    usage.write_text(lacking + "\n")
    first = rate(60)
    assert (first.periods, first.waiting, list(first.failed)) == (4, 2, [])
    usage.write_text(whole)
    second = rate(120)
    assert (second.periods, second.waiting) == (2, 0)
    storage = factory.build(conf, database, Registry())
    [row] = storage.total(Query(NEW_YEAR, now, metrics=["network.out"])).rows
    # 1.000003 MB in the first hour, twice and three times that; the second project twice as much.
    assert row.qty == Decimal("1.000003") * 6 * 3


def test_the_command_says_who_waits_and_ends_well(conf, sqlite_database, tmp_path) -> None:
    cloud.configure(conf, tmp_path, scopes=2, hours=3)
    config = commands.write_configuration(
        tmp_path / "cloudkitty.conf",
        cloud.sections(sqlite_database.url, tmp_path, hours=3),
        # The last period was due within the last hour.
        {"collect": {"late_data_grace": 7200}},
    )
    usage = tmp_path / "usage.csv"
    whole = usage.read_text().splitlines(keepends=True)
    late = [row for row in whole if row.startswith("2026-01-01T02:00") and ",p1,port" in row]
    usage.write_text("".join(row for row in whole if row not in late))
    done = commands.run_warm("processor", config, "--once")
    assert (done.code, done.out) == (
        0,
        "rated 5 periods of scopes, 13 points\nscopes that wait for late usage, see above: 1\n",
    )
    assert "project_id=p1, period [2026-01-01T02:00:00" in done.err
    usage.write_text("".join(whole))
    assert commands.run_warm("processor", config, "--once").out.startswith("rated 1 periods")
