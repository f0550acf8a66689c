# SPDX-License-Identifier: Apache-2.0
"""Every command that the client has for version 1, against a running server: with no authentication
and with the tokens of a real identity service."""

import importlib.metadata
import json
import pathlib
from collections.abc import Iterator
from typing import Any

import pytest
from cloudkittyclient import shell

from cloudkitty import config as configuration
from cloudkitty.tests import api
from cloudkitty.tests.databases import TestServer
from cloudkitty.tests.functional import peers
from cloudkitty.tests.functional.live import LiveApi, write_configuration
from cloudkitty.tests.functional.test_api_auth import Identity

IDENTITIES = ("noauth", "keystone")

WINDOW = ("-b", "2026-01-01", "-e", "2026-02-01")


class Client:
    """The command line client of one user, which remembers what it was used for."""

    def __init__(self, capsys: Any, *options: str, version: str = "1") -> None:
        self._capsys = capsys
        self._options = ["--os-rating-api-version", version, *options]
        self.used: set[str] = set()

    def text(self, command: str, *arguments: str) -> str:
        """Run one command, and return what it prints."""
        self.used.add(command)
        code = shell.main([*self._options, *command.split(), *arguments])
        seen = self._capsys.readouterr()
        assert code == 0, seen.err
        return str(seen.out)

    def __call__(self, command: str, *arguments: str) -> Any:
        return json.loads(self.text(command, "-f", "json", *arguments))

    def fails(self, command: str, *arguments: str) -> str:
        """Run a command that is refused, and return what it says."""
        code = shell.main([*self._options, *command.split(), *arguments])
        assert code != 0
        return str(self._capsys.readouterr().err)

    def answer(self, command: str, *arguments: str) -> Any:
        """Run a command that hands the answer of the server on instead of an exit code."""
        self.used.add(command)
        return shell.main([*self._options, *command.split(), *arguments])


@pytest.fixture(scope="module", params=IDENTITIES)
def server(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    sqlite_server: TestServer,
) -> Iterator[tuple[LiveApi, str | None]]:
    """A server with the seeded usage, and the URL of its identity service."""
    identity = peers.named("KEYSTONE") if request.param == "keystone" else None
    directory = tmp_path_factory.mktemp("live")
    conf = configuration.load([], config_files=[])
    database = sqlite_server.fresh(conf, directory)
    api.seed(api.context(conf, database, directory))
    live = LiveApi(write_configuration(directory, database.url, identity))
    yield live, identity
    live.stop()


def login(url: str, user: str, password: str) -> list[str]:
    """Options that log *user* in; the catalogue of a test deployment may name another server."""
    options = {
        "auth-url": url,
        "username": user,
        "password": password,
        "project-name": user,
        "user-domain-id": "default",
        "project-domain-id": "default",
    }
    return [word for name, value in options.items() for word in (f"--os-{name}", value)]


@pytest.fixture
def client(server: tuple[LiveApi, str | None], capsys: pytest.CaptureFixture[str]) -> Client:
    return administrator(*server, capsys)


def administrator(live: LiveApi, identity: str | None, capsys: Any, version: str = "1") -> Client:
    """The client of an administrator."""
    if identity is None:
        noauth = ["--os-auth-type", "cloudkitty-noauth", "--os-endpoint", live.url]
        return Client(capsys, *noauth, version=version)
    options = {
        "rating-endpoint-override": live.url,
        # To check a password takes the identity service longer than all else that a command does.
        "auth-type": "v3token",
        "auth-url": identity,
        "token": Identity(identity).token("admin"),
        "project-name": "admin",
        "project-domain-id": "default",
    }
    words = [word for name, value in options.items() for word in (f"--os-{name}", value)]
    return Client(capsys, *words, version=version)


@pytest.fixture
def member(server: tuple[LiveApi, str | None], capsys: pytest.CaptureFixture[str]) -> Client:
    """The client of somebody who is no administrator."""
    live, identity = server
    if identity is None:
        pytest.skip("without authentication everybody is an administrator")
    override = ["--os-rating-endpoint-override", live.url]
    return Client(capsys, *override, *login(identity, "demo", "demopass"))


def commands(version: str = "1") -> set[str]:
    """Every command that the client has for that version, as it is typed."""
    points = importlib.metadata.entry_points(group=f"openstack.rating.v{version}")
    return {point.name.removeprefix("rating_").replace("_", " ") for point in points}


def test_every_command(client: Client, tmp_path: pathlib.Path) -> None:
    modules(client)
    metrics(client)
    collectors(client)
    services(client)
    scripts(client, tmp_path / "script.py")
    reports(client)
    assert client.used == commands()


def modules(client: Client) -> None:
    listed = {one["Module"]: one for one in client("module list")}
    assert listed.keys() >= {"hashmap", "noop", "pyscripts"}
    assert listed["noop"] == {"Module": "noop", "Enabled": True, "Priority": 1}
    [enabled] = client("module enable", "hashmap")
    assert enabled["Enabled"] is True
    [ranked] = client("module set priority", "hashmap", "7")
    assert ranked == {"Module": "hashmap", "Enabled": True, "Priority": 7}
    [disabled] = client("module disable", "hashmap")
    assert disabled["Enabled"] is False
    assert client("module get", "hashmap") == [disabled]


def metrics(client: Client) -> None:
    assert [one["Metric"] for one in client("info metric list")] == ["instance", "volume.size"]
    [metric] = client("info metric get", "instance")
    assert (metric["Unit"], metric["Metadata"]) == ("instance", ["flavor_id", "vcpus"])
    assert "volume.size" in client.text("info config get")


def collectors(client: Client) -> None:
    noted = {"Service": "compute", "Collector": "gnocchi"}
    assert client("collector-mapping create", "compute", "gnocchi") == [noted]
    assert client("collector-mapping get", "compute") == [noted]
    assert client("collector-mapping list") == [noted]
    assert client("collector-mapping list", "--collector", "other") == []
    client.text("collector-mapping delete", "compute")
    assert client("collector-mapping list") == []
    assert client("collector state get", "gnocchi") == [{"Collector": "gnocchi", "State": False}]
    assert client("collector enable", "gnocchi") == [{"Collector": "gnocchi", "State": True}]
    assert client("collector disable", "gnocchi") == [{"Collector": "gnocchi", "State": False}]


def services(client: Client) -> None:
    assert {"flat", "rate"} <= set(client.text("hashmap mapping-types list", "-f", "value").split())
    [service] = client("hashmap service create", "instance")
    identifier = service["Service ID"]
    assert client("hashmap service list") == [service]
    assert client("hashmap service get", identifier) == [service]
    [field] = client("hashmap field create", identifier, "flavor_id")
    assert client("hashmap field list", identifier) == [field]
    assert client("hashmap field get", field["Field ID"]) == [field]
    [group] = client("hashmap group create", "base")
    assert client("hashmap group list") == [group]
    mappings(client, field["Field ID"], group["Group ID"])
    thresholds(client, identifier, group["Group ID"])
    client.text("hashmap group delete", "--recursive", group["Group ID"])
    assert client("hashmap mapping list", "--field-id", field["Field ID"]) == []
    client.text("hashmap field delete", field["Field ID"])
    client.text("hashmap service delete", identifier)
    assert client("hashmap service list") == []


def mappings(client: Client, field: str, group: str) -> None:
    parent = ("--field-id", field, "-g", group)
    [mapping] = client(
        "hashmap mapping create", *parent, "--value", "tiny", "-t", "rate", "-p", "alpha", "0.1"
    )
    identifier = mapping["Mapping ID"]
    assert (mapping["Value"], mapping["Cost"], mapping["Type"]) == ("tiny", "0.1", "rate")
    assert mapping["Project ID"] == "alpha"
    filters = ("-p", "alpha", "--filter-tenant")
    assert [one["Mapping ID"] for one in client("hashmap mapping list", *parent[:2])] == [
        identifier
    ]
    assert len(client("hashmap mapping list", "-g", group, *filters)) == 1
    assert client("hashmap mapping list", *parent[:2], "--no-group") == []
    # A price that runs can be given an end, and nothing else.
    [ended] = client("hashmap mapping update", identifier, "--end", "3000-01-01")
    assert ended["Cost"] == "0.1"
    assert "Cannot update a rule" in client.fails(
        "hashmap mapping update", identifier, "--cost", "9"
    )
    assert client("hashmap mapping get", identifier)[0]["Mapping ID"] == identifier
    assert len(client("hashmap group mappings get", group)) == 1
    client.text("hashmap mapping delete", identifier)
    assert client("hashmap group mappings get", group) == []


def thresholds(client: Client, service: str, group: str) -> None:
    [threshold] = client("hashmap threshold create", "-s", service, "-g", group, "10", "0.25")
    identifier = threshold["Threshold ID"]
    assert (threshold["Level"], threshold["Cost"], threshold["Type"]) == ("10", "0.25", "flat")
    [raised] = client("hashmap threshold update", identifier, "--cost", "0.5", "-l", "20")
    assert (raised["Level"], raised["Cost"]) == ("20", "0.5")
    assert client("hashmap threshold get", identifier) == [raised]
    assert client("hashmap threshold list", "-s", service) == [raised]
    assert len(client("hashmap group thresholds get", group)) == 1
    client.text("hashmap threshold delete", identifier)
    assert client("hashmap threshold list", "-s", service) == []


def scripts(client: Client, source: pathlib.Path) -> None:
    source.write_text("# Größe\nprice = 1\n")
    later = ("--start", "3000-01-01", "--description", "a price")
    [script] = client("pyscript create", "by command", str(source), *later)
    identifier = script["Script ID"]
    assert script["Data"] == source.read_text()
    assert script["Script Start Date"] == "3000-01-01T00:00:00"
    assert client("pyscript list") == [script]
    assert client("pyscript get", identifier) == [script]
    source.write_text("price = 2\n")
    [changed] = client("pyscript update", identifier, "-d", str(source))
    assert changed["Data"] == "price = 2\n"
    assert changed["Checksum"] != script["Checksum"]
    assert "does not compile" in client.fails("pyscript create", "broken", "price = (")
    client.text("pyscript delete", identifier)
    assert client("pyscript list") == []


def reports(client: Client) -> None:
    tenants = client("report tenant list", *WINDOW)
    assert [one["Tenant ID"] for one in tenants] == ["alpha", "beta"]
    assert "8.45" in client.text("total get", "-a", *WINDOW)
    assert "1.25" in client.text("total get", "-t", "alpha", "-s", "volume.size", *WINDOW)
    groups = ("-g", "tenant_id", "res_type")
    summary = client("summary get", "-a", *WINDOW, *groups)
    assert [one["Rate"] for one in summary] == ["0.2", "1.25", "7.0"]
    frames = client("dataframes get", "-p", "beta", "-r", "volume.size", *WINDOW)
    assert frames[0]["Project ID"] == "beta"


def test_rules_are_for_administrators(member: Client) -> None:
    assert "rating:module_config" in member.fails("hashmap service list")
    assert "rating:list_modules" in member.fails("module list")


def test_other_projects_are_for_administrators(member: Client) -> None:
    assert "report:get_total" in member.fails("total get", "-a")
    assert "0.0" in member.text("total get", *WINDOW)
    assert member("info metric list")
