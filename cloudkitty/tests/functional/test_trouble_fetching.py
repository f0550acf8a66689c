# SPDX-License-Identifier: Apache-2.0
"""What becomes of the list of scopes when what it is fetched from is in trouble: the last one
stays, whatever the answer; real services behind a proxy that spoils answers."""

import datetime
import pathlib
from collections.abc import Iterator

import pytest
from keystoneauth1 import loading as keystone_loading
from oslo_config import cfg

from cloudkitty import plugins
from cloudkitty.db.engine import Database
from cloudkitty.db.scopes import ScopeStore
from cloudkitty.fetcher.base import Fetcher
from cloudkitty.processor.rounds import FETCH_RETRY, ScopeSource
from cloudkitty.processor.schedule import Schedule
from cloudkitty.source import sending
from cloudkitty.tests.builders import HOUR, NEW_YEAR
from cloudkitty.tests.functional import faulty, peers
from cloudkitty.tests.functional.faulty import FaultyProxy
from cloudkitty.tests.functional.gnocchi import GnocchiServer
from cloudkitty.tests.functional.test_trouble import TROUBLES, Clock

FETCHERS = ("keystone", "gnocchi", "prometheus")

RESOURCE_TYPE = "cloudkitty_trouble_scopes"
"""Nothing else makes resources of it while these tests look at what there is."""

NAMES = (
    "nobody listens",
    "silence",
    "a trickle",
    "401",
    "429 for an hour",
    "500",
    "half of a chunk",
    "a page",
    "an object",
    "a list of objects",
    "a circle",
)


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(sending, "time", clock)
    return clock


@pytest.fixture(params=FETCHERS)
def proxy(request: pytest.FixtureRequest) -> Iterator[FaultyProxy]:
    """In front of the service that the fetcher asks."""
    target = peers.named(request.param.upper())
    if request.param == "gnocchi":
        resources = GnocchiServer.named()
        resources.resource_type(RESOURCE_TYPE)
        resources.resource(RESOURCE_TYPE, {}, project_id="trouble")
    with faulty.in_front_of(target) as proxy:
        yield proxy
    if request.param == "gnocchi":
        resources.clear(RESOURCE_TYPE)


@pytest.fixture
def fetcher(proxy: FaultyProxy, conf: cfg.ConfigOpts, request: pytest.FixtureRequest) -> Fetcher:
    name = request.node.callspec.params["proxy"]
    section = f"fetcher_{name}"
    # It asks for a token, too, through the proxy.
    plugin = keystone_loading.get_auth_plugin_conf_options("v3password")
    if name == "keystone":
        conf.register_opts(plugin, section)
    options = {
        "keystone": {
            "auth_type": "v3password",
            "auth_url": f"{proxy.url}/v3",
            "username": "cloudkitty",
            "password": "ratingpass",
            "user_domain_id": "default",
            "project_name": "service",
            "project_domain_id": "default",
            "timeout": 20,
        },
        "gnocchi": {
            "gnocchi_auth_type": "basic",
            "gnocchi_user": "admin",
            "gnocchi_endpoint": proxy.url,
            "resource_types": [RESOURCE_TYPE],
            "timeout": 20,
        },
        "prometheus": {
            "prometheus_url": f"{proxy.url}/api/v1",
            "metric": "up",
            "scope_attribute": "job",
            "timeout": 20,
        },
    }[name]
    conf.set_override("backend", name, "fetcher")
    for option, value in options.items():
        conf.set_override(option, value, section)
    return fetcher_of(conf)


def fetcher_of(conf: cfg.ConfigOpts) -> Fetcher:
    name = conf.fetcher.backend
    made: Fetcher = plugins.load_class(plugins.FETCHERS, name, "[fetcher] backend")(conf)
    return made


@pytest.mark.parametrize("name", NAMES)
def test_the_last_list_stays(
    proxy: FaultyProxy,
    fetcher: Fetcher,
    conf: cfg.ConfigOpts,
    sqlite_database: Database,
    tmp_path: pathlib.Path,
    clock: Clock,
    caplog: pytest.LogCaptureFixture,
    name: str,
) -> None:
    store = ScopeStore(sqlite_database)
    source = ScopeSource(conf, fetcher, store, Schedule.of(conf))
    source.refresh(NEW_YEAR)
    known = store.find({})
    assert known
    assert caplog.records == [one for one in caplog.records if one.levelname == "DEBUG"]
    if name == "silence":
        conf.set_override("timeout", 1, f"fetcher_{conf.fetcher.backend}")
        source = ScopeSource(conf, fetcher_of(conf), store, Schedule.of(conf))
    fault = TROUBLES[name].fault
    calm = len(proxy.asked)
    proxy.asked.clear()
    if fault is None:
        proxy.vanish()
    else:
        proxy.spoil(fault)
    if name == "a trickle":
        clock.haste = 1000
    source.refresh(NEW_YEAR + HOUR)
    assert store.find({}) == known
    assert len(proxy.asked) <= calm * (1 + sending.TRIES_AGAIN)
    told = [one.getMessage() for one in caplog.records if one.levelname == "ERROR"]
    [error] = told
    assert error.startswith("the list of scopes could not be fetched: ")
    assert f"[fetcher_{conf.fetcher.backend}]" in error
    clock.haste = 1
    proxy.heal()
    source.refresh(NEW_YEAR + HOUR + datetime.timedelta(seconds=FETCH_RETRY))
    assert store.find({}) == known
    assert [one.getMessage() for one in caplog.records if one.levelname == "ERROR"] == told
