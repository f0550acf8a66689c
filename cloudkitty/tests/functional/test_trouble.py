# SPDX-License-Identifier: Apache-2.0
"""What becomes of bills when a source is in trouble: real services behind a proxy that spoils
answers. Whatever happens, nothing is closed in part, skipped or doubled, and what is rated after
the trouble is what an undisturbed processor rates, to the last digit."""

import pathlib
import re
import shutil
import time
from collections.abc import Iterator
from typing import NamedTuple

import pytest
from keystoneauth1 import loading as keystone_loading
from oslo_config import cfg

from cloudkitty import config as configuration
from cloudkitty.db.engine import Database
from cloudkitty.processor import build
from cloudkitty.source import sending, session
from cloudkitty.tests.builders import HOUR
from cloudkitty.tests.databases import TestServer
from cloudkitty.tests.functional import commands, faulty, peers, troubled
from cloudkitty.tests.functional.faulty import FaultyProxy
from cloudkitty.tests.functional.troubled import Cloud, Content, Site

COLLECTORS = ("ceilometer", "gnocchi", "prometheus")

UNREADABLE = "gives an answer that cannot be read|has not the form of version"
BROKEN = f"breaks off its answer|{UNREADABLE}"


class Trouble(NamedTuple):
    """What the proxy does, what the log and the state say, and how often a request may be sent;
    trouble that *passes* hits so many requests, and no period fails. Without a *fault* the
    proxy is away."""

    fault: faulty.Fault | None
    told: str = ""
    sent: int = 1
    passes: int = 0


TROUBLES = {
    "nobody listens": Trouble(None, "does not answer", 0),
    "connections that end": Trouble(faulty.hangs_up, "does not answer", 1 + sending.TRIES_AGAIN),
    "silence": Trouble(faulty.is_silent, r"does not answer: .*timed out; see \[\w+\] timeout"),
    "slowness": Trouble(faulty.is_slow, passes=1_000_000),
    "a trickle": Trouble(faulty.trickles, r"takes too long: .*collector_request_timeout"),
    "401": Trouble(faulty.answers(401), r"refuses access \(401 .*\): check the credentials in"),
    "404": Trouble(faulty.answers(404, "<html>no such page</html>"), "answers 404"),
    "429 once": Trouble(faulty.answers(429, Retry_After="1"), passes=1),
    "429": Trouble(faulty.answers(429), "answers 429", 1 + sending.TRIES_AGAIN),
    "429 for an hour": Trouble(
        faulty.answers(429, Retry_After="3600"),
        "answers 429 Too Many Requests; it wants to be left alone for 3600 s",
    ),
    "500": Trouble(faulty.answers(500, "oh no"), "answers 500", 1 + sending.TRIES_AGAIN),
    "500 twice": Trouble(faulty.answers(500, "oh no"), passes=2),
    "half of the length": Trouble(faulty.breaks_off, BROKEN),
    "half of a chunk": Trouble(faulty.breaks_off_in_a_chunk, BROKEN),
    "no last chunk": Trouble(faulty.ends_between_chunks, BROKEN),
    "half of what is compressed": Trouble(faulty.breaks_off_compressed, BROKEN),
    "half of the JSON": Trouble(faulty.is_cut_short, UNREADABLE),
    "nothing at all": Trouble(faulty.answers(200), UNREADABLE),
    "a page": Trouble(faulty.answers(200, "<html>Log in!</html>"), UNREADABLE),
    "an object": Trouble(faulty.answers(200, "{}"), UNREADABLE),
    "a list of numbers": Trouble(faulty.answers(200, "[1, 2]"), UNREADABLE),
    "a list of objects": Trouble(
        faulty.answers(200, '[{"groupby": null, "group": [], "resource_id": 3}]'), UNREADABLE
    ),
    "a circle": Trouble(
        lambda exchange: faulty.answers(302, "[]", Location=exchange.url)(exchange),
        "answers 302 Found and leads to http://",
        1 + session.REDIRECTIONS,
    ),
    "a log-in page": Trouble(faulty.leads_to_a_page, UNREADABLE, 2),
}


class Clock:
    """The clock of requests: pauses take no time, and each second is *haste* of them."""

    haste = 1

    def sleep(self, seconds: float) -> None:
        pass

    def monotonic(self) -> float:
        return time.monotonic() * self.haste


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(sending, "time", clock)
    return clock


@pytest.fixture
def forgetful(monkeypatch: pytest.MonkeyPatch) -> None:
    """Collectors do not remember answers for a minute: it has passed for the test's clock."""
    monkeypatch.setattr("cloudkitty.collector.recent._SECONDS", 0)


@pytest.fixture(scope="module", params=COLLECTORS)
def cloud(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Cloud]:
    yield from troubled.clouds(tmp_path_factory.mktemp(request.param), request.param)


@pytest.fixture
def proxy(cloud: Cloud) -> Iterator[FaultyProxy]:
    with faulty.in_front_of(cloud.target) as proxy:
        yield proxy


class Undisturbed(NamedTuple):
    """What an undisturbed processor stores, how often it asks in an hour, and its database after
    the first hour."""

    ledger: Content
    requests: int
    first_hour: pathlib.Path


@pytest.fixture(scope="module")
def undisturbed(
    cloud: Cloud, sqlite_server: TestServer, tmp_path_factory: pytest.TempPathFactory
) -> Undisturbed:
    directory = tmp_path_factory.mktemp("undisturbed")
    first_hour = directory / "first-hour.sqlite"
    conf = configuration.load([], config_files=[])
    database = sqlite_server.fresh(conf, directory)
    troubled.price(database, cloud.day)
    most = 0
    with faulty.in_front_of(cloud.target) as proxy:
        troubled.configure(conf, cloud.sections(directory, proxy))
        site = Site(cloud, conf, database)
        for hour in range(1, 1 + troubled.HOURS):
            proxy.asked.clear()
            site.due(hour)
            site.round()
            assert site.hours() == [hour, hour]
            most = max(most, len(proxy.asked))
            if hour == 1:
                database.dispose()
                shutil.copy(directory / "cloudkitty.sqlite", first_hour)
        site.close()
    ledger = site.ledger()
    # Both projects, each hour, both metrics; something costs something.
    assert [len(points) for *_, points in ledger] == [2] * 2 * troubled.HOURS
    assert all(price for *_, points in ledger for *_, price, _ in points)
    database.dispose()
    return Undisturbed(ledger, most, first_hour)


@pytest.fixture
def site(
    cloud: Cloud,
    proxy: FaultyProxy,
    conf: cfg.ConfigOpts,
    undisturbed: Undisturbed,
    tmp_path: pathlib.Path,
) -> Iterator[Site]:
    """A processor when the first hour has been rated."""
    path = tmp_path / "cloudkitty.sqlite"
    shutil.copy(undisturbed.first_hour, path)
    conf.set_override("connection", f"sqlite:///{path}", "database")
    troubled.configure(conf, cloud.sections(tmp_path, proxy))
    database = Database(conf)
    site = Site(cloud, conf, database)
    assert site.hours() == [1, 1]
    yield site
    site.close()
    database.dispose()


def said(caplog: pytest.LogCaptureFixture, level: str) -> list[str]:
    return [r.getMessage() for r in caplog.records if r.levelname == level]


def check_no_part(site: Site, undisturbed: Undisturbed) -> None:
    """Each period that is stored is whole, and none is missing before the horizon."""
    found = site.ledger()
    assert found == [one for one in undisturbed.ledger if one in found]
    assert len(found) == sum(site.hours())


def recover(site: Site, proxy: FaultyProxy, undisturbed: Undisturbed) -> None:
    """End the trouble; what was missed is rated, and then the last hour."""
    proxy.heal()
    if site.hours() != [2, 2]:
        site.wait()
    assert site.hours() == [2, 2]
    assert [(one.failures, one.retry_at, one.last_error) for one in site.states()] == [
        (0, None, None)
    ] * 2
    site.due(3)
    site.round()
    assert site.ledger() == undisturbed.ledger


@pytest.mark.parametrize("name", TROUBLES)
def test_the_bill_is_the_same_afterwards(
    site: Site,
    proxy: FaultyProxy,
    undisturbed: Undisturbed,
    caplog: pytest.LogCaptureFixture,
    clock: Clock,
    name: str,
) -> None:
    trouble = TROUBLES[name]
    if name == "silence":
        site.restart(timeout=1)
    if name == "a trickle":
        clock.haste = 1000
    site.due(2)
    if trouble.fault is None:
        proxy.vanish()
    else:
        proxy.spoil(trouble.fault, times=trouble.passes or 1_000_000)
    site.round()
    check_no_part(site, undisturbed)
    assert len(proxy.asked) <= undisturbed.requests * trouble.sent + trouble.passes % 1000
    if trouble.passes:
        assert site.hours() == [2, 2]
        assert said(caplog, "ERROR") + said(caplog, "WARNING") == []
    else:
        check_it_is_told(site, caplog, trouble)
        site.wait()
        assert [one.failures for one in site.states()] == [2, 2]
        check_no_part(site, undisturbed)
        assert len(said(caplog, "ERROR")) == 2
    clock.haste = 1
    recover(site, proxy, undisturbed)


def check_it_is_told(site: Site, caplog: pytest.LogCaptureFixture, trouble: Trouble) -> None:
    """Once in the log: whose period, of which metric, what is wrong and which option would help;
    and in the state of each scope, with the time of the next try."""
    [told] = said(caplog, "ERROR")
    for project in site.cloud.projects:
        assert f"project_id={project}" in told
    second = site.cloud.day + HOUR
    assert f", period [{second.isoformat()}" in told
    assert re.search(r": metric trouble[._](level|sent)", told)
    assert f"[{site.cloud.section}] {site.cloud.url_option}" in told
    assert re.search(trouble.told, told)
    assert told.endswith("; trying again in 10 s")
    assert "Traceback" not in caplog.text
    for state in site.states():
        assert (state.failures, state.retry_at) == (1, site.now + 10 * troubled.SECOND)
        assert state.last_error and state.last_error in told


@pytest.mark.usefixtures("forgetful")
def test_usage_that_comes_late_is_waited_for(
    site: Site, proxy: FaultyProxy, undisturbed: Undisturbed, caplog: pytest.LogCaptureFixture
) -> None:
    proxy.spoil(faulty.answers(200, site.cloud.nothing), where=site.cloud.usage)
    site.due(2)
    site.round()
    site.wait()
    check_no_part(site, undisturbed)
    assert site.hours() == [1, 1]
    for state in site.states():
        assert re.match(r"waiting until .* for late usage of trouble.level", state.last_error)
    assert said(caplog, "ERROR") + said(caplog, "WARNING") == []
    recover(site, proxy, undisturbed)


@pytest.mark.usefixtures("forgetful")
def test_a_source_that_has_forgotten_everything(
    site: Site, proxy: FaultyProxy, undisturbed: Undisturbed
) -> None:
    proxy.spoil(faulty.answers(200, site.cloud.nothing))
    site.due(2)
    site.round()
    site.wait()
    check_no_part(site, undisturbed)
    assert site.hours() == [1, 1]
    recover(site, proxy, undisturbed)


def test_what_is_listed_twice_is_not_on_the_bill_twice(
    site: Site, proxy: FaultyProxy, undisturbed: Undisturbed
) -> None:
    proxy.spoil(faulty.rewritten(site.cloud.doubled))
    site.due(2)
    site.round()
    check_no_part(site, undisturbed)
    recover(site, proxy, undisturbed)


@pytest.mark.usefixtures("forgetful")
def test_somebody_elses_usage_is_nobodys(
    site: Site, proxy: FaultyProxy, undisturbed: Undisturbed
) -> None:
    proxy.spoil(faulty.with_other_text('"' + site.cloud.projects[0], '"somebody-else'))
    site.due(2)
    site.round()
    check_no_part(site, undisturbed)
    assert site.hours()[0] == 1
    recover(site, proxy, undisturbed)


@pytest.mark.parametrize("cloud", ["prometheus"], indirect=True)
def test_a_part_of_the_usage_is_not_rated(
    site: Site, proxy: FaultyProxy, undisturbed: Undisturbed, caplog: pytest.LogCaptureFixture
) -> None:
    proxy.spoil(faulty.rewritten(lambda body: body | {"warnings": ["a store is away"]}))
    site.due(2)
    site.round()
    check_no_part(site, undisturbed)
    [told] = said(caplog, "ERROR")
    assert "the answer is said to be a part: a store is away; trying again" in told
    recover(site, proxy, undisturbed)


@pytest.mark.parametrize("cloud", ["gnocchi", "prometheus"], indirect=True)
def test_the_trouble_of_one_project_is_not_that_of_others(
    site: Site, proxy: FaultyProxy, undisturbed: Undisturbed, caplog: pytest.LogCaptureFixture
) -> None:
    status, body = {
        "gnocchi": (404, '{"description": "unknown aggregation of a metric"}'),
        "prometheus": (422, '{"status": "error", "errorType": "execution", "error": "too many"}'),
    }[site.cloud.name]
    proxy.spoil(
        faulty.answers(status, body), where=rf"(aggregates|query).*{site.cloud.projects[1]}"
    )
    site.due(2)
    site.round()
    check_no_part(site, undisturbed)
    assert site.hours() == [2, 1]
    [told] = said(caplog, "ERROR")
    assert told.startswith(f"project_id={site.cloud.projects[1]}, period ")
    recover(site, proxy, undisturbed)


def test_the_command_says_what_is_wrong_and_makes_it_good_the_next_time(
    cloud: Cloud, proxy: FaultyProxy, undisturbed: Undisturbed, tmp_path: pathlib.Path
) -> None:
    path = tmp_path / "cloudkitty.sqlite"
    shutil.copy(undisturbed.first_hour, path)
    config = commands.write_configuration(
        tmp_path / "cloudkitty.conf",
        cloud.sections(tmp_path, proxy),
        {
            "database": {"connection": f"sqlite:///{path}"},
            # There is no usage later on: later periods need not be rated.
            "collect": {"wait_periods": (build.utcnow() - cloud.day) // HOUR - troubled.HOURS + 1},
        },
    )
    proxy.spoil(faulty.answers(500))
    done = commands.run_warm("processor", config, "--once")
    assert done.code == 1
    assert f"[{cloud.section}] {cloud.url_option} {cloud.url(proxy)} answers 500" in done.err
    assert "Traceback" not in done.err
    shown = commands.run_warm("status", config, "scopes").out
    assert shown.count("answers 500") == len(cloud.projects)
    proxy.heal()
    done = commands.run_warm("processor", config, "--once")
    assert (done.code, done.err) == (0, "")
    assert done.out.startswith("rated 4 periods of scopes, 8 points")
    conf = configuration.load([], config_files=[str(config)])
    database = Database(conf)
    site = Site(cloud, conf, database)
    assert site.ledger() == undisturbed.ledger
    site.close()
    database.dispose()


@pytest.mark.parametrize("cloud", ["ceilometer"], indirect=True)
def test_a_token_that_has_expired_is_replaced(
    cloud: Cloud,
    proxy: FaultyProxy,
    conf: cfg.ConfigOpts,
    undisturbed: Undisturbed,
    tmp_path: pathlib.Path,
) -> None:
    identity = peers.named("KEYSTONE")
    path = tmp_path / "cloudkitty.sqlite"
    shutil.copy(undisturbed.first_hour, path)
    conf.set_override("connection", f"sqlite:///{path}", "database")
    conf.register_opts(keystone_loading.get_auth_plugin_conf_options("v3password"), cloud.section)
    with faulty.in_front_of(identity) as gate:
        options = {
            "auth_type": "v3password",
            "auth_url": f"{gate.url}/v3",
            "username": "cloudkitty",
            "password": "ratingpass",
            "user_domain_id": "default",
            "project_name": "service",
            "project_domain_id": "default",
        }
        troubled.configure(conf, cloud.sections(tmp_path, proxy) | {cloud.section: options})
        conf.set_override(cloud.url_option, cloud.url(proxy), cloud.section)
        database = Database(conf)
        site = Site(cloud, conf, database)
        site.due(2)
        site.round()
        assert len(gate.asked) == 1
        proxy.spoil(faulty.answers(401), times=1)
        site.due(3)
        site.round()
        assert site.hours() == [3, 3]
        assert len(gate.asked) == 2
        site.close()
    assert site.ledger() == undisturbed.ledger
    database.dispose()
