# SPDX-License-Identifier: Apache-2.0
"""Listing scopes from a real Gnocchi, which ``CLOUDKITTY_TEST_GNOCCHI`` names, and from a server
that gives answers which a real one would not."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from keystoneauth1.adapter import Adapter
from oslo_config import cfg

from cloudkitty.config import ConfigurationError
from cloudkitty.fetcher.base import FetchError
from cloudkitty.fetcher.gnocchi import GROUP, GnocchiFetcher
from cloudkitty.source import gnocchi as source
from cloudkitty.tests.functional.gnocchi import GnocchiServer
from cloudkitty.tests.functional.scripted import ScriptedServer


class Cloud:
    """Resources of two types, which have no others."""

    def __init__(self, conf: cfg.ConfigOpts) -> None:
        self._server = GnocchiServer.named()
        self._server.configure(conf)
        self.run = self._server.run
        self.servers, self.disks = "cloudkitty_test_servers", "cloudkitty_test_disks"
        for name in (self.servers, self.disks):
            # A type cannot be removed again, as Gnocchi remembers what was of it.
            self._server.resource_type(name, farm="string")
            self._server.clear(name)

    def add(self, kind: str, project: str | None, **attributes: object) -> None:
        project_id = f"{project}-{self.run}" if project else None
        self._server.resource(kind, {}, project_id=project_id, **attributes)

    def close(self) -> None:
        for name in (self.servers, self.disks):
            self._server.clear(name)


@pytest.fixture
def cloud(conf: cfg.ConfigOpts) -> Iterator[Cloud]:
    cloud = Cloud(conf)
    yield cloud
    cloud.close()


@pytest.fixture
def server(conf: cfg.ConfigOpts) -> Iterator[ScriptedServer]:
    server = ScriptedServer()
    conf.set_override("gnocchi_auth_type", "basic", GROUP)
    conf.set_override("gnocchi_user", "admin", GROUP)
    conf.set_override("gnocchi_endpoint", server.url, GROUP)
    yield server
    server.stop()


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The requests that are made."""
    paths: list[str] = []
    original = Adapter.request

    def counting(self: Adapter, url: str, method: str, **kwargs: Any) -> Any:
        paths.append(f"{method} {url}")
        return original(self, url, method, **kwargs)

    monkeypatch.setattr(Adapter, "request", counting)
    return paths


def scopes(conf: cfg.ConfigOpts, *types: str) -> list[str]:
    conf.set_override("resource_types", list(types), GROUP)
    return GnocchiFetcher(conf).scopes()


class TestServer:
    def test_each_scope_once_in_order(self, cloud: Cloud, conf: cfg.ConfigOpts) -> None:
        for project in ("b", "a", "b", None):
            cloud.add(cloud.servers, project)
        cloud.add(cloud.disks, "c")
        cloud.add(cloud.disks, "a")
        found = scopes(conf, cloud.servers, cloud.disks)
        assert found == [f"{project}-{cloud.run}" for project in "abc"]
        assert scopes(conf, cloud.disks) == [f"{project}-{cloud.run}" for project in "ac"]

    @pytest.mark.parametrize("types", [[], ["", " "], ["generic"]])
    def test_no_type_means_all(self, cloud: Cloud, conf: cfg.ConfigOpts, types: list[str]) -> None:
        cloud.add(cloud.servers, "a")
        cloud.add(cloud.disks, "b")
        assert {f"a-{cloud.run}", f"b-{cloud.run}"} <= set(scopes(conf, *types))

    def test_another_attribute(self, cloud: Cloud, conf: cfg.ConfigOpts) -> None:
        conf.set_override("scope_attribute", "farm", GROUP)
        cloud.add(cloud.servers, "a", farm="north")
        cloud.add(cloud.servers, "a", farm="south")
        cloud.add(cloud.servers, "a", farm="")
        cloud.add(cloud.servers, "a")
        assert scopes(conf, cloud.servers) == ["north", "south"]

    def test_resources_without_the_attribute_alone(
        self, cloud: Cloud, conf: cfg.ConfigOpts
    ) -> None:
        cloud.add(cloud.servers, None)
        assert scopes(conf, cloud.servers) == []

    def test_what_is_known_is_not_asked_for_again(
        self,
        cloud: Cloud,
        conf: cfg.ConfigOpts,
        asked: list[str],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.setattr(source, "PAGE_SIZE", 3)
        for _ in range(9):
            cloud.add(cloud.servers, "a")
        cloud.add(cloud.servers, "b")
        assert scopes(conf, cloud.servers) == [f"{project}-{cloud.run}" for project in "ab"]
        # The first page has three of the ten; the other project is in it, or in the next.
        assert len(asked) == 2

    def test_pages(
        self, cloud: Cloud, conf: cfg.ConfigOpts, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(source, "PAGE_SIZE", 2)
        for number in range(7):
            cloud.add(cloud.servers, f"p{number}")
        assert len(scopes(conf, cloud.servers)) == 7

    def test_a_type_that_does_not_exist(self, cloud: Cloud, conf: cfg.ConfigOpts) -> None:
        with pytest.raises(FetchError, match=r"'nonsense'.*\[fetcher_gnocchi\]"):
            scopes(conf, "nonsense")

    def test_an_attribute_that_does_not_exist(self, cloud: Cloud, conf: cfg.ConfigOpts) -> None:
        conf.set_override("scope_attribute", "colour", GROUP)
        with pytest.raises(FetchError, match="has no colour attribute"):
            scopes(conf, cloud.servers)


class TestAnswers:
    PATH = "/v1/search/resource/generic"

    def test_one_page_again_and_again(self, conf: cfg.ConfigOpts, server: ScriptedServer) -> None:
        page = json.dumps([{"id": "r", "project_id": "p"}])
        server.answers[self.PATH] = [(200, page)]
        server.also_sent["Link"] = f'<{server.url}{self.PATH}?marker=r>; rel="next"'
        with pytest.raises(FetchError, match="after 'r' again and again"):
            scopes(conf)
        assert len(server.asked) == 2

    def test_no_resources(self, conf: cfg.ConfigOpts, server: ScriptedServer) -> None:
        server.answers[self.PATH] = [(200, "[]")]
        assert scopes(conf) == []

    @pytest.mark.parametrize("body", ["{}", "[1]", "nonsense", ""])
    def test_what_is_no_list_of_resources(
        self, conf: cfg.ConfigOpts, server: ScriptedServer, body: str
    ) -> None:
        server.answers[self.PATH] = [(200, body)]
        with pytest.raises(FetchError, match="gives an answer that cannot be read"):
            scopes(conf)

    def test_access_refused(self, conf: cfg.ConfigOpts, server: ScriptedServer) -> None:
        server.answers[self.PATH] = [(403, "{}")]
        with pytest.raises(FetchError, match=r"credentials in \[fetcher_gnocchi\]"):
            scopes(conf)

    def test_no_server(self, conf: cfg.ConfigOpts, server: ScriptedServer) -> None:
        conf.set_override("gnocchi_endpoint", "http://127.0.0.1:1", GROUP)
        with pytest.raises(FetchError, match=r"http://127.0.0.1:1 does not answer"):
            scopes(conf)


class TestConfiguration:
    @pytest.mark.parametrize("missing", ["gnocchi_user", "gnocchi_endpoint"])
    def test_basic_needs_user_and_endpoint(self, conf: cfg.ConfigOpts, missing: str) -> None:
        given = {"gnocchi_user": "admin", "gnocchi_endpoint": "http://127.0.0.1:1", missing: ""}
        for name, value in {**given, "gnocchi_auth_type": "basic"}.items():
            conf.set_override(name, value, GROUP)
        with pytest.raises(ConfigurationError, match=rf"\[fetcher_gnocchi\] {missing}: missing"):
            GnocchiFetcher(conf)

    def test_keystone_needs_an_auth_type(self, conf: cfg.ConfigOpts) -> None:
        with pytest.raises(ConfigurationError, match=r"\[fetcher_gnocchi\] auth_type: missing"):
            GnocchiFetcher(conf)

    def test_a_scope_attribute_is_needed(self, conf: cfg.ConfigOpts) -> None:
        conf.set_override("scope_attribute", " ", GROUP)
        with pytest.raises(ConfigurationError, match="scope_attribute: name the attribute"):
            GnocchiFetcher(conf)
