# SPDX-License-Identifier: Apache-2.0
"""Every command that the client has for version 2, against a running server and a processor that
carries out what is asked: without authentication, and with tokens of a real identity service."""

import json
import pathlib
from collections.abc import Iterator
from decimal import Decimal
from typing import NamedTuple

import pytest

from cloudkitty import config as configuration
from cloudkitty.db.engine import Database
from cloudkitty.rating.hashmap.records import NewMapping
from cloudkitty.rating.hashmap.store import HashmapStore
from cloudkitty.rating.state import ModuleStates
from cloudkitty.tests import api, cloud
from cloudkitty.tests.builders import NEW_YEAR
from cloudkitty.tests.databases import TestServer
from cloudkitty.tests.functional import commands, live, peers
from cloudkitty.tests.functional import test_client_commands as first_version
from cloudkitty.tests.functional.live import LiveApi
from cloudkitty.tests.functional.test_client_commands import Client

HOURS = 4

WINDOW = ("-b", "2026-01-01T00:00:00Z", "-e", "2026-02-01T00:00:00Z")

LAST = "2026-01-01T03:00:00+00:00"

USAGE = """\
begin,end,metric,qty,project_id,id,flavor_id,vcpus,volume_type
2026-01-01T00:00:00Z,2026-01-01T04:00:00Z,cpu,1,alpha,a-1,small,2,
2026-01-01T00:00:00Z,2026-01-01T04:00:00Z,cpu,3,beta,b-1,large,8,
"""


class Site(NamedTuple):
    """A server and a processor on one configuration, and the identity service, if there is one."""

    live: LiveApi
    database: Database
    config: pathlib.Path
    identity: str | None

    def process(self) -> None:
        """Let the processor do what there is to do."""
        done = commands.run_warm("processor", self.config, "--once")
        assert done.code == 0, done.err

    def set_price(self, cost: str) -> None:
        """Have an instance-hour cost that since New Year."""
        store = HashmapStore(self.database)
        service = store.create_service("instance").service_id
        rule = NewMapping(service_id=service, cost=Decimal(cost), start=NEW_YEAR)
        store.create_mapping(rule, now=NEW_YEAR, user="test", force=True)
        ModuleStates(self.database).set("hashmap", enabled=True)


@pytest.fixture(scope="module", params=first_version.IDENTITIES)
def site(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    sqlite_server: TestServer,
) -> Iterator[Site]:
    identity = peers.named("KEYSTONE") if request.param == "keystone" else None
    directory = tmp_path_factory.mktemp("live")
    conf = configuration.load([], config_files=[])
    database = sqlite_server.fresh(conf, directory)
    (directory / "metrics.yml").write_text(api.METRICS)
    (directory / "usage.csv").write_text(USAGE)
    sections = cloud.sections(database.url, directory, hours=HOURS)
    config = commands.write_configuration(directory / "cloudkitty.conf", sections)
    if identity:
        text = config.read_text().replace("auth_strategy = noauth", "auth_strategy = keystone")
        config.write_text(text + live.AUTHTOKEN.format(identity=identity))
    server = LiveApi(config)
    yield Site(server, database, config, identity)
    server.stop()
    database.dispose()


@pytest.fixture
def client(site: Site, capsys: pytest.CaptureFixture[str]) -> Client:
    return first_version.administrator(site.live, site.identity, capsys, version="2")


def test_every_command(client: Client, site: Site, tmp_path: pathlib.Path) -> None:
    first_version.modules(client)
    first_version.metrics(client)
    first_version.collectors(client)
    first_version.services(client)
    first_version.scripts(client, tmp_path / "script.py")
    site.process()
    assert states(client) == {"alpha": LAST, "beta": LAST}
    assert rates(client) == {"alpha": 0, "beta": 0}
    site.set_price("0.5")
    task_of_the_past(client, site)
    scope_set_back(client, site)
    points_from_elsewhere(client, tmp_path / "frames.json")
    pages(client)
    scope_that_changes(client)
    tenants = client("report tenant list", "-b", "2026-01-01", "-e", "2026-02-01")
    assert [one["Tenant ID"] for one in tenants] == ["alpha", "beta"]
    assert client.used == first_version.commands("2")


def states(client: Client) -> dict[str, str]:
    """The last period that was rated of each scope."""
    return {one["Scope ID"]: one["State"] for one in client("scope state get")}


def rates(client: Client) -> dict[str, float]:
    groups = ("-g", "project_id")
    return {one["Project id"]: one["Rate"] for one in client("summary get", *WINDOW, *groups)}


def task_of_the_past(client: Client, site: Site) -> None:
    """Two hours of one scope are rated again by the processor."""
    begin, end = "2026-01-01T01:00:00Z", "2026-01-01T03:00:00Z"
    bounds = ("--start-reprocess-time", begin, "--end-reprocess-time", end)
    assert client("tasks reprocessing get") == []
    client.text(
        "tasks reprocessing create", "--scope-id", "alpha", *bounds, "--reason", "new prices"
    )
    [waiting] = client("tasks reprocessing get")
    assert (waiting["Current reprocessing time"], rates(client)["alpha"]) == ("", 0)
    site.process()
    assert rates(client) == {"alpha": 2 * 0.5, "beta": 0}
    assert client("tasks reprocessing get", "--scope-id", "alpha") == [
        {
            "Scope ID": "alpha",
            "Reason": "new prices",
            "Start reprocessing time": "2026-01-01T01:00:00",
            "End reprocessing time": "2026-01-01T03:00:00",
            "Current reprocessing time": "2026-01-01T02:00:00",
        }
    ]
    assert client("tasks reprocessing get", "--scope-id", "beta", "--order", "ASC") == []
    refused = client.fails(
        "tasks reprocessing create", "--scope-id", "gamma", *bounds, "--reason", "x"
    )
    assert "scopes gamma do not exist" in refused


def scope_set_back(client: Client, site: Site) -> None:
    """What was rated after the first hour is rated again by the processor, at its price."""
    client.text("scope state reset", "--scope-id", "beta", "2026-01-01T00:00:00Z")
    assert states(client) == {"alpha": LAST, "beta": "2026-01-01T00:00:00+00:00"}
    assert len(client("dataframes get", *WINDOW, "--filter", "project_id:beta")) == 1
    site.process()
    assert states(client) == {"alpha": LAST, "beta": LAST}
    assert rates(client) == {"alpha": 2 * 0.5, "beta": 3 * 3 * 0.5}
    points = client("dataframes get", *WINDOW, "--filter", "project_id:beta")
    assert [(one["Begin"][11:13], one["Quantity"], one["Price"]) for one in points] == [
        ("00", 3, 0),
        ("01", 3, 1.5),
        ("02", 3, 1.5),
        ("03", 3, 1.5),
    ]
    assert "is not the start of a period" in client.fails(
        "scope state reset", "--all-scopes", "2026-01-01T00:20:00Z"
    )


def points_from_elsewhere(client: Client, file: pathlib.Path) -> None:
    point = {
        "vol": {"unit": "licence", "qty": 2},
        "rating": {"price": 9.5},
        "groupby": {"id": "l-1", "project_id": "alpha"},
        "metadata": {"vendor": "x"},
    }
    period = {"begin": "2026-01-01T00:00:00+00:00", "end": "2026-01-01T01:00:00+00:00"}
    file.write_text(json.dumps({"dataframes": [{"period": period, "usage": {"licence": [point]}}]}))
    for _ in range(2):
        client.text("dataframes add", str(file))
        [added] = client("dataframes get", *WINDOW, "--filter", "type:licence")
        assert (added["Quantity"], added["Price"], added["Unit"]) == (2, 9.5, "licence")
        assert added["Group By"] == 'id="l-1" project_id="alpha"'
    assert rates(client)["alpha"] == 2 * 0.5 + 9.5


def scope_that_changes(client: Client) -> None:
    changed = client.answer(
        "scope patch", "-id", "beta", "--collector", "other", "--active", "false"
    )
    assert (changed["scope_id"], changed["collector"], changed["active"]) == (
        "beta",
        "other",
        False,
    )
    [one] = client("scope state get", "--collector", "other", "--scope-key", "project_id")
    assert (one["Scope ID"], one["Fetcher"], one["State"]) == ("beta", "csv", LAST)
    assert client("scope state get", "--scope-id", "alpha")[0]["Collector"] == "csv"


def pages(client: Client) -> None:
    """Offsets that the client sends page over points as they are."""
    whole = client("dataframes get", *WINDOW)
    assert whole == [
        one
        for n in range(0, len(whole), 4)
        for one in client("dataframes get", *WINDOW, "--offset", str(n), "--limit", "4")
    ]
