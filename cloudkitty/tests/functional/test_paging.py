# SPDX-License-Identifier: Apache-2.0
"""Whoever walks the pages of a listing meets everything that was there at the start, once, whatever
is rated, priced anew, sent or added between two pages."""

import collections
import datetime
import io
import json
import pathlib
import random
import threading
import urllib.parse
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from oslo_config import cfg

from cloudkitty.db.engine import Database
from cloudkitty.db.scopes import ScopeStore
from cloudkitty.db.tasks import TaskStore
from cloudkitty.period import Period
from cloudkitty.scope import Scope
from cloudkitty.storage.base import Query, WrongMarker
from cloudkitty.task import NewTask
from cloudkitty.tests import api
from cloudkitty.tests.builders import NEW_YEAR, frame, hour, states
from cloudkitty.tests.functional.test_ledger import ledger
from cloudkitty.tests.functional.test_v2_ledger import Asker

NAMES = ("a", "b", "c")
"""The scopes; the first is rated hours ahead of the others."""

ALWAYS = "begin=2026-01-01&end=2027-01-01"

SETTINGS = settings(
    max_examples=20,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)

Point = tuple[str, str, str, str]
"""Period begin, period end, metric and attributes: what makes a point be itself."""


class Cloud:
    """Scopes that are rated up to different hours, and all that can happen to them."""

    def __init__(self, conf: cfg.ConfigOpts, database: Database) -> None:
        self.database = database
        self._drivers = [ledger(conf, database), ledger(conf, database)]
        self._scopes = ScopeStore(database)
        self._rated = dict.fromkeys(NAMES, 0)
        self._added = 0
        self._ids = {name: state.id for name, state in states(database, *NAMES).items()}
        for hours, name in zip((6, 2, 0), NAMES, strict=True):
            for _ in range(hours):
                self.rate(name)

    def _state(self, name: str) -> Any:
        found = self._scopes.find({"identifier": [name]})
        return next(state for state in found if state.id == self._ids[name])

    def _content(self, name: str, number: int, price: int) -> Any:
        series = [("instance", f"i-{n}") for n in range(3)] + [("volume", f"v-{number % 3}")]
        return frame(
            hour(number),
            [
                (metric, {"id": identifier, "project_id": name}, 1, price + (identifier == "i-1"))
                for metric, identifier in series
            ],
        )

    def rate(self, name: str) -> None:
        """Rate the next hour of a scope, in one of two processes."""
        number = self._rated[name]
        driver = self._drivers[number % 2]
        assert not driver.replace(
            hour(number), {self._state(name): self._content(name, number, number // 2)}
        )
        self._rated[name] += 1

    def price(self, name: str) -> None:
        """Give all hours of a scope other prices."""
        for number in range(self._rated[name]):
            content = {self._state(name): self._content(name, number, 100 + number % 2)}
            assert not self._drivers[0].replace(hour(number), content)

    def send(self, name: str) -> None:
        """Add a point of the first hour that has a price already."""
        self._added += 1
        key = self._scopes.posted([name], "project_id", NEW_YEAR)[name]
        point = ("instance", {"id": f"sent-{self._added}", "project_id": name}, 1, 1)
        self._drivers[0].put({key: [frame(hour(0), [point])]})

    def rename(self, name: str) -> None:
        """Let another collector ask for the usage of a scope."""
        state = self._state(name)
        self._added += 1
        moved = Scope(name, "project_id", "source", f"collector-{self._added}")
        self._scopes.change(state, scope=moved, active=True, now=NEW_YEAR)

    def add(self, name: str) -> None:
        """Add a scope."""
        self._added += 1
        scope = Scope(f"{name}-{self._added}", "project_id", "source", "csv")
        self._scopes.create(scope, rated_up_to=NEW_YEAR, active=True, now=NEW_YEAR)

    def ask(self, name: str) -> None:
        """Ask for a window of the past to be rated again, which does not happen."""
        self._added += 1
        window = Period(hour(self._added).begin, hour(self._added + 1).begin)
        TaskStore(self.database).add([NewTask(self._state(name), window, "a test")], NEW_YEAR)


events = st.tuples(
    st.sampled_from(["rate", "rate", "rate", "price", "send", "rename", "add", "ask"]),
    st.sampled_from(NAMES),
)
stories = st.lists(st.lists(events, max_size=4), max_size=8)
limits = st.lists(st.integers(1, 9), min_size=1, max_size=4)


@pytest.fixture
def ask(conf: cfg.ConfigOpts, database: Database, tmp_path: pathlib.Path) -> Asker:
    return Asker(conf, database, tmp_path)


def started(ask: Asker) -> Cloud:
    ask.forget()
    return Cloud(ask.conf, ask.database)


def walk(
    ask: Asker, path: str, sizes: list[int], between: Callable[[], None] = lambda: None
) -> Iterator[Any]:
    """Yield the pages of a listing, of these sizes over and over."""
    marker: str | None = None
    number = 0
    while number == 0 or marker is not None:
        more = {"limit": sizes[number % len(sizes)]} | ({"marker": marker} if marker else {})
        page = ask(f"{path}{'&' if '?' in path else '?'}{urllib.parse.urlencode(more)}")
        yield page
        marker = page.get("next")
        number += 1
        between()


def points(page: Any) -> list[Point]:
    return [
        (
            *one["period"].values(),
            metric,
            json.dumps([point["groupby"], point["metadata"]], sort_keys=True),
        )
        for one in page["dataframes"]
        for metric, many in one["usage"].items()
        for point in many
    ]


def everything(ask: Asker) -> list[Point]:
    return points(ask(f"/v2/dataframes?{ALWAYS}&limit=100000"))


def met_once(at_first: list[Any], walked: list[Any]) -> None:
    seen = collections.Counter(walked)
    assert {item: seen[item] for item in at_first} == dict.fromkeys(at_first, 1)
    assert set(seen.values()) == {1}


def teller(cloud: Cloud, story: list[list[tuple[str, str]]]) -> Callable[[], None]:
    """Return what lets the next events of the story happen."""
    left = iter(story)

    def happen() -> None:
        for event, name in next(left, []):
            getattr(cloud, event)(name)

    return happen


@SETTINGS
@given(story=stories, sizes=limits)
def test_every_point_is_met_once(ask: Asker, story: Any, sizes: list[int]) -> None:
    cloud = started(ask)
    at_first = everything(ask)
    assert len(set(at_first)) == 32
    walked: list[Point] = []
    happen = teller(cloud, story)
    for page in walk(ask, f"/v2/dataframes?{ALWAYS}", sizes):
        fresh = points(page)
        assert len(fresh) <= max(sizes)
        assert page["total"] == len(everything(ask))
        # The order is that of an answer as a whole, and it is always the same.
        walked += fresh
        assert [point for point in everything(ask) if point in set(walked)] == walked
        happen()
    met_once(at_first, walked)


@SETTINGS
@given(story=stories, sizes=limits, groups=st.sampled_from(["time,id,type", "id", "time-d,type"]))
def test_every_row_is_met_once(ask: Asker, story: Any, sizes: list[int], groups: str) -> None:
    cloud = started(ask)
    path = f"/v2/summary?{ALWAYS}&groupby={groups}"

    def rows(page: Any) -> list[Any]:
        return [(*row[:2], *row[4:]) for row in page["results"]]

    at_first = rows(ask(f"{path}&limit=100000"))
    walked: list[Any] = []
    happen = teller(cloud, story)
    for page in walk(ask, path, sizes):
        walked += rows(page)
        assert page["total"] == ask(f"{path}&limit=1")["total"]
        happen()
    met_once(at_first, walked)
    assert walked == sorted(walked)


@SETTINGS
@given(story=stories, sizes=limits)
@pytest.mark.parametrize(
    ("path", "identity"),
    [
        ("/v2/scope", "scope_id"),
        ("/v2/scope?active=1", "scope_id"),
        ("/v2/task/reprocesses", "id"),
        ("/v2/task/reprocesses?order=ASC", "id"),
        ("/v2/task/reprocesses/a", "id"),
    ],
)
def test_every_scope_and_task_is_met_once(
    ask: Asker, path: str, identity: str, story: Any, sizes: list[int]
) -> None:
    cloud = started(ask)
    for name in NAMES * 2:
        cloud.ask(name)
        cloud.add(name)
    at_first = [one[identity] for one in ask(path)["results"]]
    assert len(at_first) in (2, 6, 9)
    happen = teller(cloud, story)
    walked = [one[identity] for page in walk(ask, path, sizes, happen) for one in page["results"]]
    met_once(at_first, walked)


def test_points_are_met_once_while_a_processor_rates(ask: Asker) -> None:
    cloud = started(ask)
    at_first = everything(ask)
    drawn = random.Random(7)

    def rate() -> None:
        for _ in range(60):
            cloud.rate(drawn.choice(NAMES))

    writer = threading.Thread(target=rate)
    writer.start()
    try:
        walked = [p for page in walk(ask, f"/v2/dataframes?{ALWAYS}", [4]) for p in points(page)]
    finally:
        writer.join(60)
    met_once(at_first, walked)
    assert len(everything(ask)) == len(at_first) + 60 * 4


@pytest.mark.parametrize("path", ["/v2/scope?active=1", "/v2/task/reprocesses?order=asc"])
def test_offsets_hold_where_things_are_added_at_the_end(ask: Asker, path: str) -> None:
    cloud = started(ask)
    cloud.ask("a")
    cloud.ask("b")
    walked: list[Any] = []
    for _ in range(3):
        page = ask(f"{path}&limit=2&offset={len(walked)}")["results"]
        walked += [json.dumps(one) for one in page]
        cloud.add("a")
        cloud.ask("c")
    whole = ask(f"{path}&limit=100")["results"]
    assert walked == [json.dumps(one) for one in whole][: len(walked)]
    assert len(walked) >= 4


def links(ask: Asker, path: str, **headers: str) -> Iterator[Any]:
    """Follow the links from page to page."""
    url: str | None = path
    while url is not None:
        answer = ask._client.get(url, **headers)
        assert answer.status_int == 200, answer.text
        yield answer
        link = answer.headers.get("Link")
        url = None
        if link is not None:
            assert link.startswith("<http://localhost/v2/"), link
            assert link.endswith('>; rel="next"')
            url = link.removeprefix("<http://localhost").partition(">")[0]


def test_links_lead_from_page_to_page(ask: Asker) -> None:
    started(ask)
    path = f"/v2/dataframes?{ALWAYS}&limit=5&filters=type:instance,project_id:a"
    pages = [json.loads(answer.body) for answer in links(ask, path)]
    assert [len(points(page)) for page in pages] == [5, 5, 5, 3]
    assert ["next" in page for page in pages] == [True, True, True, False]
    heads = [answer.headers.get("Link") for answer in [ask._client("HEAD", path)]]
    assert heads[0] is not None


def test_links_lead_from_table_to_table(ask: Asker) -> None:
    started(ask)
    for noun in ("dataframes?", "summary?groupby=time,id&"):
        whole = ask(f"/v2/{noun}{ALWAYS}&limit=1000", Accept="text/csv")
        lines: list[str] = []
        for answer in links(ask, f"/v2/{noun}{ALWAYS}&limit=7", Accept="text/csv"):
            head, *rows = io.StringIO(answer.text, newline="").readlines()
            lines += rows if lines else [head, *rows]
        assert "".join(lines) == whole


def test_the_window_of_a_walk_is_that_of_its_first_page(ask: Asker) -> None:
    month = datetime.datetime.now(datetime.UTC).replace(
        day=1, hour=0, minute=0, second=0, microsecond=0
    )
    driver = ledger(ask.conf, ask.database)
    state = states(ask.database, "a")["a"]
    stretch = Period(month, month + datetime.timedelta(hours=1))
    content = [("m", {"id": n}, 1, 1) for n in range(3)]
    driver.put({state.id: [frame(stretch, content)]})
    first = next(links(ask, "/v2/dataframes?limit=2"))
    asked = urllib.parse.parse_qs(first.headers["Link"].partition("?")[2].partition(">")[0])
    assert asked["begin"] == [month.isoformat()]
    assert len(asked["end"]) == len(asked["marker"]) == 1


def test_an_offset_counts_from_behind_the_marker(ask: Asker) -> None:
    started(ask)
    whole = everything(ask)
    page = ask(f"/v2/dataframes?{ALWAYS}&limit=10")
    rest = ask(f"/v2/dataframes?{ALWAYS}&limit=10&offset=3&marker={page['next']}")
    assert points(rest) == whole[13:23]


def test_a_marker_shows_nothing_of_other_projects(
    conf: cfg.ConfigOpts, sqlite_database: Database, tmp_path: pathlib.Path
) -> None:
    ask = Asker(conf, sqlite_database, tmp_path)
    started(ask)
    marker = ask(f"/v2/dataframes?{ALWAYS}&limit=1")["next"]
    conf.set_override("auth_strategy", "keystone")
    member = api.Client.of(
        api.context(conf, sqlite_database, tmp_path), X_Roles="member,reader", X_Project_Id="b"
    )
    answer = json.loads(member.get(f"/v2/dataframes?{ALWAYS}&marker={marker}").body)
    assert answer["total"] == len(points(answer)) == 8
    assert all('"project_id": "b"' in point[3] for point in points(answer))


@pytest.mark.parametrize(
    "path",
    [
        f"/v2/dataframes?{ALWAYS}",
        f"/v2/summary?{ALWAYS}&groupby=id,type",
        "/v2/scope?active=1",
        "/v2/task/reprocesses?",
    ],
)
def test_a_marker_of_something_else_is_refused(
    conf: cfg.ConfigOpts, sqlite_database: Database, tmp_path: pathlib.Path, path: str
) -> None:
    ask = Asker(conf, sqlite_database, tmp_path)
    cloud = started(ask)
    cloud.ask("a")
    cloud.ask("a")
    others = [
        ask(f"/v2/dataframes?{ALWAYS}&limit=1")["next"],
        ask(f"/v2/summary?{ALWAYS}&groupby=id&limit=1")["next"],
        ask("/v2/scope?limit=1")["next"],
        ask("/v2/task/reprocesses?limit=1")["next"],
    ]
    answers = [ask._client.get(f"{path}&marker={marker}").status_int for marker in others]
    assert collections.Counter(answers) == ({400: 4} if "summary" in path else {400: 3, 200: 1})
    noun = urllib.parse.urlsplit(path).path.rpartition("/")[2]
    forged = [
        "x",
        "",
        "%20",
        "%C3%A9",
        "A",
        "AAAA",
        "W10",
        encoded([]),
        encoded([noun]),
        encoded([noun, 1, 2, 3]),
        encoded([noun, True]),
        encoded([noun, None]),
        encoded([noun, {}]),
        encoded([noun, 10**30]),
        encoded([noun, -1]),
        encoded({noun: 1}),
        encoded(noun),
        encoded([noun, *["x"] * 9]),
    ]
    for marker in forged:
        refused = ask(f"{path}&marker={marker}", 400)
        assert "(path: 'marker')" in refused["message"]
    assert "length of value" in ask(f"{path}&marker=a&marker=b", 400)["message"]


def encoded(document: Any) -> str:
    import base64

    return base64.urlsafe_b64encode(json.dumps(document).encode()).decode().rstrip("=")


def test_a_marker_far_away_is_a_place_like_any_other(ask: Asker) -> None:
    started(ask)
    for where, left in ((-(10**30), 32), (10**30, 0)):
        marker = encoded(["dataframes", where, where, "m", "a", 1, 1])
        assert len(points(ask(f"/v2/dataframes?{ALWAYS}&marker={marker}"))) == left


def test_a_ledger_pages_by_scope_too(conf: cfg.ConfigOpts, database: Database) -> None:
    Cloud(conf, database)
    driver = ledger(conf, database)
    query = Query(NEW_YEAR, hour(50).begin)
    whole = [p for f in driver.retrieve(query).frames for p in [(f.scope, *q) for q in f.frame]]
    found: list[Any] = []
    page = driver.retrieve(query, limit=5)
    while page.next is not None:
        found += [(f.scope, *q) for f in page.frames for q in f.frame]
        page = driver.retrieve(query, limit=5, after=page.next)
    found += [(f.scope, *q) for f in page.frames for q in f.frame]
    assert found == whole
    with pytest.raises(WrongMarker):
        driver.scan(query, by_metric=True, after=(0, 0, "a", 1, "m", 1)).__enter__()
