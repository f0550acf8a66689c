# SPDX-License-Identifier: Apache-2.0
"""What the API says about a ledger adds up, whatever is asked, to the last digit."""

import collections
import csv
import dataclasses
import datetime
import io
import json
import pathlib
import tracemalloc
import urllib.parse
from collections.abc import Iterator
from decimal import Decimal
from fractions import Fraction
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from oslo_config import cfg

from cloudkitty.dataframe import DataFrame, Registry
from cloudkitty.db.engine import Database
from cloudkitty.db.models import reprocessing_tasks, scopes
from cloudkitty.storage.sqlalchemy import models
from cloudkitty.tests import api
from cloudkitty.tests.builders import NEW_YEAR, frame, hour, states
from cloudkitty.tests.functional.test_ledger import Story, ledger, operations

CALENDAR = {
    "time-y": "%Y",
    "month": "%-m",
    "time-w": "%U",
    "day_of_the_year": "%-j",
}

GROUPS = ("type", "project_id", "id", "user", "meta_flavor", "nothing", "time", *CALENDAR)

COLUMNS = {"time-y": "year", "time-w": "week_of_the_year"}

ZONES = ("UTC", "Atlantic/Azores", "America/Noronha", "America/St_Johns")
"""Their new year comes within the first hours of that of UTC."""

FILTERS = {
    "type": ["instance", "volume", "other"],
    "user": ["u1", "1", "True", ""],
    "id": ["a", "b", "v"],
    "meta_flavor": ["small", "large", ""],
}


class Question(NamedTuple):
    begin: datetime.datetime
    end: datetime.datetime
    groupby: list[str]
    filters: dict[str, list[str]]
    limit: int
    zone: str

    def path(self, noun: str, **more: Any) -> str:
        query = [("begin", self.begin.isoformat()), ("end", self.end.isoformat()), *more.items()]
        return f"/v2/{noun}?{urllib.parse.urlencode(query)}"


minutes = st.sampled_from([0, 0, 0, 30])
questions = st.builds(
    lambda begin, late, length, groupby, filters, limit, zone: Question(
        NEW_YEAR + datetime.timedelta(hours=begin, minutes=late),
        NEW_YEAR + datetime.timedelta(hours=begin + length),
        groupby,
        filters,
        limit,
        zone,
    ),
    st.integers(-2, 12),
    minutes,
    st.integers(0, 20),
    st.lists(st.sampled_from(GROUPS), unique=True, max_size=3),
    st.fixed_dictionaries(
        {},
        optional={
            name: st.lists(st.sampled_from(values), min_size=1, max_size=2, unique=True)
            for name, values in FILTERS.items()
        },
    ),
    st.integers(1, 7),
    st.sampled_from(ZONES),
)


class Row(NamedTuple):
    """A point as a table of points would have it."""

    begin: datetime.datetime
    end: datetime.datetime
    scope: str
    metric: str
    groupby: str
    metadata: str
    qty: Decimal
    price: Decimal

    def value(self, name: str) -> str:
        if name in ("type", "project_id"):
            return self.metric if name == "type" else self.scope
        value = (json.loads(self.metadata) | json.loads(self.groupby)).get(name)
        return "" if value is None else str(value)


class Asker:
    """Asks an application without authentication; numbers are read exactly."""

    def __init__(self, conf: cfg.ConfigOpts, database: Database, directory: pathlib.Path) -> None:
        conf.set_override("auth_strategy", "noauth")
        self.conf = conf
        self.database = database
        self._client = api.Client.of(api.context(conf, database, directory))

    def __call__(self, path: str, status: int = 200, **headers: str) -> Any:
        answer = self._client.get(path, **headers)
        assert answer.status_int == status, answer.text
        if answer.content_type != "application/json":
            return answer.body.decode()
        return json.loads(answer.body, parse_float=Decimal)

    def points(self, question: Question, **filters: str) -> list[Row]:
        """Walk all pages of the data frames."""
        more = {"filters": ",".join(f"{k}:{v}" for k, v in filters.items())} if filters else {}
        found: list[Row] = []
        while True:
            path = question.path("dataframes", offset=len(found), limit=question.limit, **more)
            answer = self._client.get(path)
            if answer.status_int == 404:
                assert not found
                return []
            page = json.loads(answer.body, parse_float=Decimal)
            fresh = [*_rows(page, filters.get("project_id", ""))]
            stretches = [tuple(frame["period"].values()) for frame in page["dataframes"]]
            assert len(set(stretches)) == len(stretches)
            assert len(fresh) <= question.limit
            found += fresh
            if not fresh:
                assert len(found) == page["total"]
                return found

    def summary(self, question: Question) -> list[dict[str, Any]]:
        """Walk all pages of a summary."""
        tokens = [f"{k}:{v}" for k, values in question.filters.items() for v in values]
        more = {"filters": ",".join(tokens)} if tokens else {}
        if question.groupby:
            more["groupby"] = ",".join(question.groupby)
        found: list[dict[str, Any]] = []
        while True:
            paging = {"offset": len(found), "limit": question.limit}
            page = self(question.path("summary", response_format="object", **paging, **more))
            table = self(question.path("summary", **paging, **more))
            named = [dict(zip(table["columns"], row, strict=True)) for row in table["results"]]
            assert named == page["results"]
            found += page["results"]
            if not page["results"]:
                assert page["total"] == table["total"] == len(found)
                return found

    def forget(self) -> None:
        """Empty the ledger."""
        with self.database.writer() as connection:
            for table in (reprocessing_tasks, models.runs, models.series, scopes):
                connection.execute(table.delete())


def _rows(page: Any, scope: str) -> Iterator[Row]:
    for one in page["dataframes"]:
        begin, end = (datetime.datetime.fromisoformat(one["period"][k]) for k in ("begin", "end"))
        for metric, points in one["usage"].items():
            assert points
            for point in points:
                yield Row(
                    begin,
                    end,
                    scope,
                    metric,
                    json.dumps(point["groupby"]),
                    json.dumps(point["metadata"]),
                    Decimal(point["vol"]["qty"]),
                    Decimal(point["rating"]["price"]),
                )


@pytest.fixture
def ask(conf: cfg.ConfigOpts, database: Database, tmp_path: pathlib.Path) -> Asker:
    return Asker(conf, database, tmp_path)


def matching(points: list[Row], filters: dict[str, list[str]]) -> list[Row]:
    return [p for p in points if all(p.value(k) in values for k, values in filters.items())]


def naive_summary(question: Question, points: list[Row]) -> dict[Any, tuple[Fraction, Fraction]]:
    """Add up points one by one, by begin and end of their row and the values of their group."""
    zone = ZoneInfo(question.zone)
    sums: dict[Any, tuple[Fraction, Fraction]] = {}
    for point in points:
        local = point.begin.astimezone(zone)
        begin, end = question.begin, question.end
        if "time" in question.groupby:
            begin, end = point.begin, point.end
        elif not set(question.groupby).isdisjoint(CALENDAR):
            begin = max(begin, datetime.datetime(local.year, 1, 1, tzinfo=zone))
            end = min(end, datetime.datetime(local.year + 1, 1, 1, tzinfo=zone))
        group = tuple(
            local.strftime(CALENDAR[name]) if name in CALENDAR else point.value(name)
            for name in question.groupby
            if name != "time"
        )
        before = sums.get((begin, end, group), (Fraction(0), Fraction(0)))
        sums[begin, end, group] = (
            before[0] + Fraction(point.qty),
            before[1] + Fraction(point.price),
        )
    return sums


@settings(
    max_examples=30,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(story=operations, asked=st.lists(questions, min_size=3, max_size=6))
def test_a_summary_is_the_sum_of_the_points(ask, story, asked) -> None:
    ask.forget()
    played = Story(ask.conf, ask.database)
    for operation in story:
        played.play(operation)
    for question in asked:
        ask.conf.set_override("billing_time_zone", question.zone, "api")
        points = [
            p
            for name in (*played.names, *played.put_names)
            for p in ask.points(question, project_id=name)
        ]
        unscoped = collections.Counter(point._replace(scope="") for point in points)
        assert collections.Counter(ask.points(question)) == unscoped
        wanted = matching(points, question.filters)
        if all(len(values) == 1 for values in question.filters.values()):
            single = {name: values[0] for name, values in question.filters.items()}
            some = ask.points(question, **single)
            assert collections.Counter(some) == collections.Counter(
                point._replace(scope="") for point in wanted
            )
        rows = ask.summary(question)
        columns = [COLUMNS.get(name, name) for name in question.groupby if name != "time"]
        found = {
            (
                datetime.datetime.fromisoformat(row["begin"]),
                datetime.datetime.fromisoformat(row["end"]),
                tuple(row[column] for column in columns),
            ): (Fraction(row["qty"]), Fraction(row["rate"]))
            for row in rows
        }
        assert len(found) == len(rows)
        assert list(found) == sorted(found)
        assert found == naive_summary(question, wanted)


@settings(
    max_examples=15,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(story=operations, begin=st.integers(-1, 8), length=st.integers(0, 12))
def test_both_versions_agree(ask, story, begin, length) -> None:
    ask.forget()
    played = Story(ask.conf, ask.database)
    for operation in story:
        played.play(operation)
    question = Question(hour(begin).begin, hour(begin + length).begin, ["project_id"], {}, 5, "UTC")
    ask.conf.set_override("billing_time_zone", "UTC", "api")
    window = urllib.parse.urlencode(
        {"begin": question.begin.isoformat(), "end": question.end.isoformat()}
    )
    by_project = {row["project_id"]: row["rate"] for row in ask.summary(question)}
    names = (*played.names, *played.put_names)
    for name in names:
        total = ask(f"/v1/report/total?{window}&tenant_id={name}")
        assert Decimal(total) == by_project.get(name, 0)
    first = ask(f"/v1/storage/dataframes?{window}")["dataframes"]
    second = [
        p
        for name in (*played.names, *played.put_names)
        for p in ask.points(question, project_id=name)
    ]
    assert collections.Counter(
        (
            item["begin"],
            item["tenant_id"],
            resource["service"],
            json.dumps({k: str(v) for k, v in resource["desc"].items()}, sort_keys=True),
            Decimal(resource["volume"]),
            Decimal(resource["rating"]),
        )
        for item in first
        for resource in item["resources"]
    ) == collections.Counter(
        (
            point.begin.replace(tzinfo=None).isoformat(),
            point.scope,
            point.metric,
            json.dumps(
                {
                    k: str(v)
                    for k, v in (json.loads(point.metadata) | json.loads(point.groupby)).items()
                },
                sort_keys=True,
            ),
            point.qty,
            point.price,
        )
        for point in second
    )


WIDE = Question(hour(-5).begin, hour(100).begin, [], {}, 100, "UTC")


def fill(ask: Asker, *contents: list[tuple[str, dict[str, Any], Any, Any]]) -> None:
    """Rate one hour after the other for the project ``p``."""
    driver = ledger(ask.conf, ask.database)
    for number, content in enumerate(contents):
        state = states(ask.database, "p")["p"]
        assert not driver.replace(hour(number), {state: frame(hour(number), content)})


def test_no_digit_is_lost_on_the_way(ask) -> None:
    huge = "98765432109876543210.1234567890123456789012345678"
    fill(ask, *([("m", {"id": 1}, huge, "0.0000000000000000000000000001")],) * 3)
    [row] = ask(WIDE.path("summary"))["results"]
    assert str(row[2]) == "296296296329629629630.3703703670370370367037037034"
    assert f"{row[3]:f}" == "0.0000000000000000000000000003"
    [first, *_others] = ask(WIDE.path("dataframes"))["dataframes"]
    [point] = first["usage"]["m"]
    assert str(point["vol"]["qty"]) == huge


def test_sums_larger_than_an_amount(ask) -> None:
    fill(ask, *([("m", {"id": 1}, "9" * 40, 1)],) * 2)
    [row] = ask(WIDE.path("summary"))["results"]
    assert row[2] == 2 * (10**40 - 1)


def test_extremes_and_means_are_of_points(ask) -> None:
    fill(
        ask,
        [("m", {"id": 1}, 1, "0.5"), ("m", {"id": 2}, 4, "-2")],
        [("m", {"id": 1}, 1, "0.5")],
    )
    fields = (
        "MIN(qty) AS a,MAX(qty) AS b,MIN(price) AS c,MAX(price) AS d,AVG(qty) AS e,COUNT(qty) AS f"
    )
    [row] = ask(WIDE.path("summary", custom_fields=fields))["results"]
    assert row[2:] == [1, 4, -2, Decimal("0.5"), 2, 3]


def test_years_of_the_billing_zone_stay_apart(ask) -> None:
    ask.conf.set_override("billing_time_zone", "America/New_York", "api")
    fill(ask, *([("m", {"id": 1}, 1, 1)],) * 8)
    rows = ask(WIDE.path("summary", groupby="time-m"))["results"]
    border = "2026-01-01T05:00:00+00:00"
    assert [row[2:] for row in rows] == [[5, 5, "12"], [3, 3, "1"]]
    assert rows[0][1] == rows[1][0] == border


def test_a_window_of_all_time_is_no_more_work(ask) -> None:
    fill(ask, [("m", {"id": 1}, 1, 1)])
    always = "begin=0001-01-01&end=9999-12-31T23:59:59"
    rows = ask(f"/v2/summary?{always}&groupby=time-d,time-y")["results"]
    assert [row[4:] for row in rows] == [["1", "2026"]]


def test_comma_separated_values_are_the_same_points(ask) -> None:
    odd = 'a "quoted", split\r\nname'
    fill(ask, [("m", {"id": odd, "meta_x": None}, "1.50", 2)], [("m", {"id": odd}, 1, 2)])
    rows = list(csv.DictReader(io.StringIO(ask(WIDE.path("dataframes"), Accept="text/csv"))))
    assert [json.loads(row["groupby"]) for row in rows] == [{"id": odd}] * 2
    assert json.loads(rows[0]["metadata"]) == {"meta_x": None}
    assert [row["qty"] for row in rows] == ["1.5", "1"]
    [row] = csv.DictReader(
        io.StringIO(ask(WIDE.path("summary", groupby="id"), Accept="text/csv"), newline="")
    )
    assert (row["id"], row["qty"]) == (odd, "2.5")


def test_walking_pages_while_periods_are_added(ask) -> None:
    content = [("m", {"id": n}, 1, 1) for n in range(5)]
    fill(ask, content, content)
    driver = ledger(ask.conf, ask.database)
    seen: list[Row] = []
    for number in range(2, 6):
        path = WIDE.path("dataframes", offset=len(seen), limit=5)
        seen += _rows(ask(path), "")
        state = states(ask.database, "p")["p"]
        driver.replace(hour(number), {state: frame(hour(number), content)})
    assert len(seen) == len(set(seen)) == 20
    assert {point.begin for point in seen} == {hour(n).begin for n in range(4)}


@pytest.mark.parametrize("steady", [True, False], ids=["equal amounts", "other amounts each hour"])
def test_memory_does_not_grow_with_an_answer(
    conf: cfg.ConfigOpts,
    database: Database,
    tmp_path: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
    steady: bool,
) -> None:
    monkeypatch.setattr("cloudkitty.storage.sqlalchemy.points.RUNS_KEPT", 500)
    monkeypatch.setattr("cloudkitty.storage.sqlalchemy.points.ROWS_AHEAD", 100)
    asker = Asker(conf, database, tmp_path)
    registry = Registry()
    driver = ledger(conf, database)
    many = [registry.series("m", groupby={"id": f"{n:050}"}, metadata={}) for n in range(60)]
    state = states(database, "p")["p"]
    for number in range(200):
        one = DataFrame(hour(number))
        for series in many:
            one.add(series, Decimal(1 if steady else number % 7), Decimal(1))
        driver.replace(hour(number), {state: one})
        state = dataclasses.replace(state, horizon=hour(number).end)

    def peak(hours: int) -> tuple[int, int]:
        question = WIDE._replace(end=hour(hours).begin)
        tracemalloc.start()
        try:
            answer = asker._client.get(question.path("dataframes", limit=10**6))
            size = sum(map(len, answer.app_iter))
            return size, tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    peak(1)
    short_size, short = peak(20)
    long_size, long = peak(200)
    assert long_size > 9 * short_size
    assert long < 1.5 * short + 200_000
