# SPDX-License-Identifier: Apache-2.0
"""Purging as operators ask for it: the command, the option of the processor, and what the API says
of purged time."""

import datetime
import pathlib
from typing import Any

import pytest
from oslo_config import cfg

from cloudkitty.api.context import ApiContext
from cloudkitty.cli import purge
from cloudkitty.db.engine import Database
from cloudkitty.db.tasks import TaskStore
from cloudkitty.period import UTC, Period
from cloudkitty.processor import build
from cloudkitty.processor.sharing import LockedParts
from cloudkitty.storage import upkeep
from cloudkitty.storage.base import Query, Removed
from cloudkitty.storage.sqlalchemy import purger
from cloudkitty.task import Mode, NewTask
from cloudkitty.tests import api, cloud
from cloudkitty.tests.builders import HOUR, NEW_YEAR, frame, hour, states
from cloudkitty.tests.functional import commands
from cloudkitty.tests.functional.test_ledger import ledger
from cloudkitty.tests.functional.test_purge import ALWAYS, DAY, FEBRUARY, dump, sums

MARCH = datetime.datetime(2026, 3, 1, tzinfo=UTC)


def fill(conf: cfg.ConfigOpts, database: Database) -> None:
    """Two projects with an hour in each day of January and February, at 0.1 and 0.2."""
    driver = ledger(conf, database)
    found = states(database, "alpha", "beta")
    for name, price in (("alpha", "0.1"), ("beta", "0.2")):
        point = [("instance", {"id": name, "project_id": name}, 1, price)]
        frames = [frame(hour(24 * day + 5), point) for day in range(59)]
        driver.put({found[name].id: frames})


@pytest.fixture
def conf_file(tmp_path: pathlib.Path, sqlite_database: Database, conf: Any) -> pathlib.Path:
    fill(conf, sqlite_database)
    return commands.write_configuration(
        tmp_path / "cloudkitty.conf",
        {"database": {"connection": sqlite_database.url}, "DEFAULT": {"state_path": tmp_path}},
    )


def run(capsys: pytest.CaptureFixture[str], conf_file: pathlib.Path, *words: str) -> list[Any]:
    try:
        code: Any = purge.main(["--config-file", str(conf_file), *words])
    except SystemExit as ended:
        code = ended.code
    said = capsys.readouterr()
    return [code, said.out, said.err]


def test_the_command_says_what_it_would_do_and_does_it_once(
    conf, sqlite_database, conf_file, capsys
) -> None:
    driver = ledger(conf, sqlite_database)
    before = sums(driver, ALWAYS, ["scope", "month"])
    kept = dump(sqlite_database)
    words = ("purge", "--before", "2026-02-20")
    assert run(capsys, conf_file, *words, "--dry-run") == [
        0,
        "alpha: 31 rows\nbeta: 31 rows\n2 scopes keep points before 2026-02-01T00:00:00+00:00, in "
        "62 rows; nothing has been purged\n",
        "",
    ]
    assert dump(sqlite_database) == kept
    code, out, _err = run(capsys, conf_file, *words, "--scope", "alpha")
    assert (code, out) == (
        0,
        "31 points of 1 scopes before 2026-02-01T00:00:00+00:00 have become totals: 31 rows are "
        "gone or cut, and 0 series gone\n",
    )
    assert run(capsys, conf_file, *words)[1].startswith("31 points of 1 scopes")
    assert run(capsys, conf_file, *words)[1].startswith("0 points of 0 scopes")
    assert sums(driver, ALWAYS, ["scope", "month"]) == before


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        ((), 2, "command"),
        (("purge",), 2, "--before"),
        (("purge", "--before", "soon"), 2, "'soon' is not an instant"),
        (("purge", "--before", "2026-02-01", "--scope", "gamma"), 1, "there is no scope gamma"),
    ],
)
def test_the_command_says_what_is_wrong(conf_file, capsys, words, code, told) -> None:
    found, out, err = run(capsys, conf_file, *words)
    assert (found, out) == (code, "")
    assert told in err
    assert "Traceback" not in err


def test_the_zone_of_bills_has_its_own_months(conf) -> None:
    now = NEW_YEAR + 100 * DAY
    assert upkeep.boundary(FEBRUARY, now, conf) == FEBRUARY
    conf.set_override("billing_time_zone", "Europe/Paris", "api")
    assert upkeep.boundary(FEBRUARY, now, conf) == FEBRUARY - HOUR
    # Not what was rated last, whatever is asked for.
    assert upkeep.boundary(MARCH, FEBRUARY + 2 * HOUR, conf) == NEW_YEAR - HOUR


def test_between_steps_others_have_their_turn() -> None:
    pauses: list[float] = []
    steps = [Removed(frozenset({number}), 1, 1, 0) for number in range(3)]
    assert list(upkeep.gently(steps, pauses.append)) == steps
    assert len(pauses) == 3
    assert all(0 < pause <= upkeep.LONGEST_PAUSE for pause in pauses)


def test_what_is_to_be_rated_again_stays(conf, sqlite_database, conf_file, capsys) -> None:
    state = states(sqlite_database, "beta")["beta"]
    task = NewTask(state, Period(NEW_YEAR, NEW_YEAR + DAY), "why", Mode.RATE, False)
    TaskStore(sqlite_database).add([task], MARCH)
    code, out, _err = run(capsys, conf_file, "purge", "--before", "2026-02-01")
    assert (code, out.splitlines()[1:]) == (
        0,
        ["scopes with unfinished tasks of reprocessing, which stay as they are: 1"],
    )
    assert ledger(conf, sqlite_database).purgeable(FEBRUARY) == {"beta": 31}


def test_the_processor_purges_when_nothing_else_is_due(
    conf, database, tmp_path, monkeypatch
) -> None:
    monkeypatch.setattr(purger, "RUNS_AT_ONCE", 40)
    cloud.configure(conf, tmp_path, scopes=3, hours=50)
    cloud.price(database)
    now = NEW_YEAR + 60 * HOUR

    def rounds() -> None:
        """A round of each of two workers, which share the scopes."""
        for number in (0, 1):
            share = LockedParts(2, first=number)
            processor = build.build(conf, database=database, clock=lambda: now, share=share)
            processor.rounds.run()

    rounds()
    driver = ledger(conf, database)
    before = sums(driver, ALWAYS, ["scope", "type", "day_of_the_year"])
    assert sum(row[3] for row in before[0]) == 3 * (50 + 45 + 50)
    conf.set_override("retention_days", 20, "storage")
    now = FEBRUARY + 19 * DAY
    rounds()
    assert driver.purgeable(FEBRUARY)
    now = FEBRUARY + 21 * DAY
    rounds()
    assert driver.purgeable(FEBRUARY) == {}
    assert sums(driver, ALWAYS, ["scope", "type", "day_of_the_year"]) == before


def test_it_looks_again_after_an_hour(conf, sqlite_database, tmp_path) -> None:
    cloud.configure(conf, tmp_path, scopes=1, hours=1)
    conf.set_override("retention_days", 1, "storage")
    now = MARCH
    processor = build.build(conf, database=sqlite_database, clock=lambda: now)
    fill(conf, sqlite_database)
    driver = ledger(conf, sqlite_database)
    retention = processor.rounds._retention
    assert retention is not None
    assert retention.step()
    assert not retention.step()
    state = states(sqlite_database, "gamma")["gamma"]
    driver.put({state.id: [frame(hour(3), [("m", {}, 1, 1)])]})
    now += HOUR / 2
    assert not retention.step()
    now += HOUR
    assert retention.step()
    assert driver.purgeable(FEBRUARY) == {}


class Site:
    """An API before and after January was purged."""

    def __init__(self, conf: Any, database: Database, directory: pathlib.Path) -> None:
        conf.set_override("auth_strategy", "noauth")
        fill(conf, database)
        self.context: ApiContext = api.context(conf, database, directory)
        self.client = api.Client.of(self.context)

    def purge(self) -> None:
        assert list(self.context.storage.purge(FEBRUARY, UTC))

    def get(self, path: str) -> tuple[int, Any]:
        answer = self.client.get(path)
        return answer.status_int, answer.json

    def asked(self, method: str, path: str, body: Any) -> tuple[int, Any]:
        answer = self.client(method, path, json=body)
        return answer.status_int, answer.json


ANSWERED = (
    "/v2/summary?begin=2026-01-01&end=2026-03-01&groupby=type,project_id",
    "/v2/summary?begin=2026-01-05&end=2026-02-09&groupby=time-d",
    "/v2/summary?begin=2025-01-01&end=2027-01-01&groupby=time-w,type",
    "/v2/summary?begin=2026-01-05&end=2026-01-09&groupby=time-m&filters=project_id:beta",
    "/v2/summary?begin=2026-01-01&end=2027-01-01&groupby=time-y&response_format=object"
    "&custom_fields=MIN(price)%20AS%20a,MAX(qty)%20AS%20b,AVG(price)%20AS%20c,COUNT(qty)%20AS%20d",
    "/v1/report/summary?begin=2026-01-01T00:00:00&end=2026-02-01T00:00:00"
    "&groupby=res_type,tenant_id&all_tenants=true",
    "/v1/report/total?begin=2026-01-01T00:00:00&end=2026-03-01T00:00:00&all_tenants=true",
    "/v1/report/total?begin=2026-01-03T00:00:00&end=2026-01-07T00:00:00&tenant_id=alpha",
    "/v1/report/tenants?begin=2026-01-01T00:00:00&end=2026-02-01T00:00:00",
    "/v2/dataframes?begin=2026-02-01&end=2026-02-03",
    "/v1/storage/dataframes?begin=2026-02-01T00:00:00&end=2026-02-03T00:00:00",
)

REFUSED = (
    "/v2/summary?begin=2026-01-01&end=2026-03-01&groupby=id",
    "/v2/summary?begin=2026-01-01&end=2026-03-01&groupby=time",
    "/v2/summary?begin=2026-01-01&end=2026-03-01&filters=id:alpha",
    "/v2/dataframes?begin=2026-01-01&end=2026-03-01",
    "/v2/unpriced?begin=2026-01-01&end=2026-03-01",
    "/v1/storage/dataframes?begin=2026-01-01T00:00:00&end=2026-02-01T00:00:00",
    "/v1/report/tenants?begin=2026-01-03T05:10:00&end=2026-01-03T09:00:00",
)


def test_reports_of_purged_time_are_what_they_were_or_are_refused(
    conf, sqlite_database, tmp_path
) -> None:
    site = Site(conf, sqlite_database, tmp_path)
    before = {path: site.get(path) for path in ANSWERED}
    assert all(status == 200 and answer for status, answer in before.values())
    was = {path: site.get(path)[0] for path in REFUSED}
    assert set(was.values()) == {200}
    site.purge()
    assert {path: site.get(path) for path in ANSWERED} == before
    for path in REFUSED[:-1]:
        status, answer = site.get(path)
        assert status == 400
        text = answer["faultstring" if path.startswith("/v1") else "message"]
        assert "before 2026-02-01T00:00:00+00:00 have been purged" in text
    # A point a day is known by its hour: there is nothing in this window, and that is known.
    assert site.get(REFUSED[-1]) == (200, [])


def test_changes_of_purged_time_are_refused(conf, sqlite_database, tmp_path) -> None:
    site = Site(conf, sqlite_database, tmp_path)
    driver = ledger(conf, sqlite_database)
    for number in (0, 1):
        state = states(sqlite_database, "alpha")["alpha"]
        start = hour(0) if number == 0 else Period(FEBRUARY, FEBRUARY + HOUR)
        if number:
            assert driver.rewind(state, FEBRUARY)
            state = states(sqlite_database, "alpha")["alpha"]
        point = [("m", {"id": 1, "project_id": "alpha"}, 1, 1)]
        assert not driver.replace(start, {state: frame(start, point)})
    site.purge()
    before = dump(sqlite_database)
    window = {"start_reprocess_time": "2026-01-01T00:00:00", "reason": "why"}
    asked = {
        "rated again": (
            "POST",
            "/v2/task/reprocesses",
            {"scope_ids": ["alpha"], "end_reprocess_time": "2026-01-02T00:00:00", **window},
        ),
        "set back": (
            "PUT",
            "/v2/scope",
            {"scope_id": "alpha", "last_processed_timestamp": "2026-01-01T00:00:00"},
        ),
    }
    for words, (method, path, body) in asked.items():
        status, answer = site.asked(method, path, body)
        assert status == 400
        assert words in answer["message"]
        assert "before 2026-02-01T00:00:00+00:00 have been purged" in answer["message"]
    assert dump(sqlite_database) == before
    assert driver.total(Query(NEW_YEAR, FEBRUARY)).rows[0].points == 31 + 31 + 1
