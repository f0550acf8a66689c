# SPDX-License-Identifier: Apache-2.0
"""What becomes of the answers that identity services can give: a server on loopback gives them.

No release of the identity service that is still maintained has version 2.
"""

import json
from collections.abc import Iterator

import pytest
from keystoneauth1 import loading as keystone_loading
from oslo_config import cfg

from cloudkitty.config import ConfigurationError
from cloudkitty.fetcher.base import FetchError
from cloudkitty.fetcher.keystone import KeystoneFetcher
from cloudkitty.tests.functional.scripted import ScriptedServer

GROUP = "fetcher_keystone"

TOKEN = {"methods": ["password"], "expires_at": "2036-01-01T00:00:00Z", "issued_at": "2026-01-01"}


@pytest.fixture
def server(conf: cfg.ConfigOpts, monkeypatch: pytest.MonkeyPatch) -> Iterator[ScriptedServer]:
    monkeypatch.setattr("keystoneauth1.session.time.sleep", lambda seconds: None)
    server = ScriptedServer()
    token = {"token": {**TOKEN, "user": {"id": "u", "domain": {"id": "default"}}, "catalog": []}}
    server.answers["/v3/auth/tokens"] = [(201, json.dumps(token))]
    server.answers["/v3/roles"] = [(200, json.dumps({"roles": [{"id": "r1"}], "links": {}}))]
    access = {"token": {"id": "t", "expires": "2036-01-01T00:00:00Z"}, "user": {"id": "u"}}
    server.answers["/v2.0/tokens"] = [(200, json.dumps({"access": access}))]
    yield server
    server.stop()


def configure(conf: cfg.ConfigOpts, plugin: str, url: str, **options: object) -> None:
    conf.register_opts(keystone_loading.get_auth_plugin_conf_options(plugin), group=GROUP)
    values = {"auth_type": plugin, "auth_url": url, "username": "u", "password": "p", **options}
    for name, value in values.items():
        conf.set_override(name, value, GROUP)


def page(collection: str, following: str | None, *items: object, **more: object) -> tuple[int, str]:
    body = {collection: list(items), "links": {"next": following}, **more}
    return 200, json.dumps(body)


def assignment(project: str) -> dict[str, object]:
    return {"role": {"id": "r1"}, "scope": {"project": {"id": project}}}


class TestVersion3:
    @pytest.fixture(autouse=True)
    def configured(self, conf: cfg.ConfigOpts, server: ScriptedServer) -> None:
        configure(conf, "v3password", f"{server.url}/v3", user_domain_id="default")

    def test_pages_are_followed_at_the_known_host(
        self, conf: cfg.ConfigOpts, server: ScriptedServer
    ) -> None:
        elsewhere = "https://elsewhere.example/v3/role_assignments?user.id=u&marker="
        server.answers["/v3/role_assignments"] = [
            page("role_assignments", f"{elsewhere}1", assignment("b")),
            page("role_assignments", f"{elsewhere}2", assignment("c"), assignment("a")),
            page("role_assignments", None, assignment("d")),
        ]
        assert KeystoneFetcher(conf).scopes() == ["a", "b", "c", "d"]
        asked = [one for one in server.asked if one.startswith("/v3/role_assignments")]
        assert asked == [
            "/v3/role_assignments?user.id=u&effective=&role.id=r1",
            "/v3/role_assignments?user.id=u&marker=1",
            "/v3/role_assignments?user.id=u&marker=2",
        ]

    def test_pages_in_a_circle(self, conf: cfg.ConfigOpts, server: ScriptedServer) -> None:
        server.answers["/v3/role_assignments"] = [
            page("role_assignments", "http://any/v3/role_assignments?marker=1", assignment("a"))
        ]
        with pytest.raises(FetchError, match="in a circle"):
            KeystoneFetcher(conf).scopes()

    def test_a_list_that_is_cut_short(self, conf: cfg.ConfigOpts, server: ScriptedServer) -> None:
        conf.set_override("ignore_rating_role", True, GROUP)
        server.answers["/v3/projects"] = [
            page("projects", None, {"id": "a", "domain_id": "d"}, truncated=True)
        ]
        with pytest.raises(FetchError, match="list_limit"):
            KeystoneFetcher(conf).scopes()

    @pytest.mark.parametrize("answer", [(200, "nonsense"), (200, "[]"), (200, "{}"), (500, "{}")])
    def test_an_answer_of_no_use(
        self, conf: cfg.ConfigOpts, server: ScriptedServer, answer: tuple[int, str]
    ) -> None:
        server.answers["/v3/role_assignments"] = [answer]
        with pytest.raises(FetchError, match=r"the projects with role 'rating'.*fetcher_keystone"):
            KeystoneFetcher(conf).scopes()

    def test_nobody_answers(self, conf: cfg.ConfigOpts, server: ScriptedServer) -> None:
        conf.set_override("auth_url", "http://127.0.0.1:9/v3", GROUP)
        with pytest.raises(FetchError, match=r"auth_url http://127.0.0.1:9/v3 does not answer"):
            KeystoneFetcher(conf).scopes()

    def test_a_user_that_is_none(self, conf: cfg.ConfigOpts, server: ScriptedServer) -> None:
        conf.register_opts(keystone_loading.get_auth_plugin_conf_options("none"), group=GROUP)
        conf.set_override("auth_type", "none", GROUP)
        conf.set_override("endpoint", f"{server.url}/v3", GROUP)
        with pytest.raises(FetchError, match=r"auth_type: it leads to no user"):
            KeystoneFetcher(conf).scopes()
        conf.set_override("ignore_rating_role", True, GROUP)
        server.answers["/v3/projects"] = [page("projects", None, {"id": "a", "domain_id": "d"})]
        assert KeystoneFetcher(conf).scopes() == ["a"]


class TestVersion2:
    @pytest.fixture(autouse=True)
    def configured(self, conf: cfg.ConfigOpts, server: ScriptedServer) -> None:
        configure(conf, "v2password", f"{server.url}/v2.0", keystone_version="2")
        tenants = [{"id": name, "enabled": name != "b"} for name in "abc"]
        server.answers["/v2.0/tenants"] = [
            (200, json.dumps({"tenants": tenants[:2], "tenants_links": []})),
            (200, json.dumps({"tenants": tenants[2:], "tenants_links": []})),
            (200, json.dumps({"tenants": [], "tenants_links": []})),
        ]
        for name, roles in {"a": ["member"], "b": ["rating", "x"], "c": ["rating"]}.items():
            body = {"roles": [{"id": "1", "name": role} for role in roles]}
            server.answers[f"/v2.0/tenants/{name}/users/u/roles"] = [(200, json.dumps(body))]

    def test_tenants_with_the_role(self, conf: cfg.ConfigOpts, server: ScriptedServer) -> None:
        assert KeystoneFetcher(conf).scopes() == ["b", "c"]
        asked = [one for one in server.asked if one.startswith("/v2.0/tenants?")]
        assert asked == [
            "/v2.0/tenants?limit=1000",
            "/v2.0/tenants?limit=1000&marker=b",
            "/v2.0/tenants?limit=1000&marker=c",
        ]

    def test_every_tenant(self, conf: cfg.ConfigOpts) -> None:
        conf.set_override("ignore_rating_role", True, GROUP)
        assert KeystoneFetcher(conf).scopes() == ["a", "b", "c"]

    def test_every_tenant_that_is_not_disabled(self, conf: cfg.ConfigOpts) -> None:
        conf.set_override("ignore_rating_role", True, GROUP)
        conf.set_override("ignore_disabled_tenants", True, GROUP)
        assert KeystoneFetcher(conf).scopes() == ["a", "c"]

    def test_a_service_without_pages(self, conf: cfg.ConfigOpts, server: ScriptedServer) -> None:
        conf.set_override("ignore_rating_role", True, GROUP)
        body = {"tenants": [{"id": "b"}, {"id": "a"}]}
        server.answers["/v2.0/tenants"] = [(200, json.dumps(body))]
        assert KeystoneFetcher(conf).scopes() == ["a", "b"]

    def test_domains_are_refused(self, conf: cfg.ConfigOpts) -> None:
        conf.set_override("domains", ["d"], GROUP)
        with pytest.raises(ConfigurationError, match=r"\[fetcher_keystone\] domains"):
            KeystoneFetcher(conf)
