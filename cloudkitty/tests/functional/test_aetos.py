# SPDX-License-Identifier: Apache-2.0
"""Collecting usage from a Prometheus behind the identity service.

The identity service is a real one, which ``CLOUDKITTY_TEST_KEYSTONE`` names, and so is the
Prometheus. Between them stands a small proxy that does what Aetos does: it lets GET requests with
the token of an administrator pass.
"""

import urllib.parse
import uuid
from collections.abc import Iterator

import pytest
import requests
from keystoneauth1 import loading as keystone_loading
from oslo_config import cfg

from cloudkitty import money
from cloudkitty.collector.aetos import AetosCollector
from cloudkitty.collector.base import CollectError, SourceUnavailable
from cloudkitty.config import ConfigurationError
from cloudkitty.dataframe import Registry
from cloudkitty.period import Period
from cloudkitty.tests.functional import peers, tsdb
from cloudkitty.tests.functional.answering import AnsweringServer, Request, Response
from cloudkitty.tests.functional.test_api_auth import PASSWORDS, PROJECTS, Identity
from cloudkitty.tests.functional.test_prometheus import definition

HOUR = Period.of(tsdb.DAY, 3600)
PROJECTS_WITH_USAGE = [f"{number:032x}" for number in range(200)]


class Gate(AnsweringServer):
    """Passes GET requests with an administrator's token on to a Prometheus."""

    def __init__(self, prometheus: str, identity: Identity) -> None:
        self.asked: list[str] = []
        self.longest = 0
        self._identity = identity
        self._origin = prometheus.removesuffix("/api/v1")
        super().__init__(self._pass_on)

    def _pass_on(self, asked: Request) -> Response:
        self.longest = max(self.longest, len(asked.path))
        self.asked.append(urllib.parse.unquote_plus(asked.path))
        token = asked.headers.get("X-Auth-Token", "")
        roles = self._identity.roles(token) if token else None
        if roles is None:
            return Response(401, b"{}")
        if "admin" not in roles:
            return Response(403, b"{}")
        answer = requests.get(f"{self._origin}{asked.path}", timeout=60)
        return Response(answer.status_code, answer.content)


class Keystone(Identity):
    """The identity service, as an administrator uses it."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self._admin = {"X-Auth-Token": self.token("admin")}

    def roles(self, token: str) -> list[str] | None:
        """The names of the roles in a token, ``None`` when it is not good."""
        headers = {**self._admin, "X-Subject-Token": token}
        answer = requests.get(f"{self.url}/auth/tokens", headers=headers, timeout=60)
        if answer.status_code != 200:
            return None
        return [role["name"] for role in answer.json()["token"]["roles"]]

    def create(self, kind: str, **body: object) -> str:
        """Make a thing and return its id."""
        answer = requests.post(
            f"{self.url}/{kind}s", json={kind: body}, headers=self._admin, timeout=60
        )
        answer.raise_for_status()
        return str(answer.json()[kind]["id"])

    def delete(self, kind: str, identifier: str) -> None:
        path = f"{self.url}/{kind}s/{identifier}"
        requests.delete(path, headers=self._admin, timeout=60).raise_for_status()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tsdb.Server]:
    reason = tsdb.missing()
    if reason:
        pytest.skip(reason)
    recording = tsdb.Recording()
    for number, project in enumerate(PROJECTS_WITH_USAGE):
        labels = {"project_id": project, "id": f"r{number}"}
        recording.add("usage", labels, tsdb.every(60, "00:00:00", "01:00:00", number))
    server = tsdb.Server(tmp_path_factory.mktemp("aetos"), recording.text())
    yield server
    server.stop()


@pytest.fixture(scope="module")
def keystone() -> Keystone:
    return Keystone(peers.named("KEYSTONE"))


@pytest.fixture(scope="module")
def gate(server: tsdb.Server, keystone: Keystone) -> Iterator[Gate]:
    gate = Gate(server.url, keystone)
    yield gate
    gate.stop()


@pytest.fixture(scope="module")
def region(gate: Gate, keystone: Keystone) -> Iterator[str]:
    """A region of its own in the catalogue, in which the gate is the service."""
    region = keystone.create("region", id=f"test-{uuid.uuid4().hex[:12]}")
    service = keystone.create("service", type="metric-storage", name="aetos")
    endpoint = keystone.create(
        "endpoint", service_id=service, region_id=region, interface="public", url=gate.url
    )
    yield region
    keystone.delete("endpoint", endpoint)
    keystone.delete("service", service)
    keystone.delete("region", region)


@pytest.fixture
def aetos(conf: cfg.ConfigOpts, keystone: Keystone, region: str) -> cfg.ConfigOpts:
    conf.set_override("region_name", region, "collector_aetos")
    return credentials(conf, keystone.url, "admin")


def credentials(conf: cfg.ConfigOpts, url: str, user: str) -> cfg.ConfigOpts:
    conf.set_override("auth_type", "v3password", "collector_aetos")
    options = keystone_loading.get_auth_plugin_conf_options("v3password")
    conf.register_opts(options, "collector_aetos")
    for name, value in {
        "auth_url": url,
        "username": user,
        "password": PASSWORDS[user],
        "user_domain_id": "default",
        "project_name": PROJECTS[user],
        "project_domain_id": "default",
    }.items():
        conf.set_override(name, value, "collector_aetos")
    return conf


def fetch(conf: cfg.ConfigOpts, *scopes: str) -> dict[str, list[str]]:
    metric = definition("usage", "groupby: [id]")
    found = AetosCollector(conf, Registry()).fetch(metric, HOUR, scopes)
    return {scope: list(map(money.text, points.qty)) for scope, points in found.items()}


def test_usage_is_found_through_the_catalogue(aetos: cfg.ConfigOpts, gate: Gate) -> None:
    gate.asked.clear()
    first, second = PROJECTS_WITH_USAGE[3:5]
    assert fetch(aetos, first, second, "unknown") == {first: ["3"], second: ["4"]}
    assert gate.asked[-1] == (
        f'/api/v1/query?query=max(max_over_time(usage{{project_id=~"{first}|{second}|unknown"}}'
        "[3599999ms])) by (id, project_id)&time=2021-03-04T00:59:59.999+00:00"
    )


def test_many_scopes_fit_into_one_short_request(aetos: cfg.ConfigOpts, gate: Gate) -> None:
    gate.asked.clear()
    found = fetch(aetos, *PROJECTS_WITH_USAGE)
    assert found == {project: [str(number)] for number, project in enumerate(PROJECTS_WITH_USAGE)}
    assert len(gate.asked) == 2
    assert gate.longest < 4000


def test_a_user_who_may_not_see_all_projects(aetos: cfg.ConfigOpts, keystone: Keystone) -> None:
    credentials(aetos, keystone.url, "demo")
    with pytest.raises(SourceUnavailable, match=r"check the credentials in \[collector_aetos\]"):
        fetch(aetos, "p")


def test_a_wrong_password(aetos: cfg.ConfigOpts) -> None:
    aetos.set_override("password", "wrong", "collector_aetos")
    with pytest.raises(SourceUnavailable, match="the identity service refuses the credentials"):
        fetch(aetos, "p")


def test_a_catalogue_without_the_service(aetos: cfg.ConfigOpts) -> None:
    aetos.set_override("region_name", "nowhere", "collector_aetos")
    with pytest.raises(CollectError, match="no service of type 'metric-storage'"):
        fetch(aetos, "p")


def test_credentials_are_needed(conf: cfg.ConfigOpts) -> None:
    with pytest.raises(ConfigurationError, match=r"\[collector_aetos\] auth_type"):
        AetosCollector(conf, Registry())
