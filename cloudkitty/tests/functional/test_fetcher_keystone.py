# SPDX-License-Identifier: Apache-2.0
"""Fetching scopes from a real identity service, which ``CLOUDKITTY_TEST_KEYSTONE`` names (such as
``http://127.0.0.1:5000/v3``). Each test makes domains, projects, groups and users of its own, and
takes them away afterwards."""

import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from keystoneauth1 import loading as keystone_loading
from keystoneauth1 import session as keystone_session
from keystoneauth1.identity import v3
from oslo_config import cfg

from cloudkitty.config import ConfigurationError
from cloudkitty.fetcher.base import FetchError
from cloudkitty.fetcher.keystone import KeystoneFetcher
from cloudkitty.tests.functional import peers

GROUP = "fetcher_keystone"
PASSWORD = "secret"


class Identity:
    """An administrator of the identity service, who remembers what was made."""

    def __init__(self, url: str) -> None:
        self.url = url.removesuffix("/").removesuffix("/v3")
        self.run = uuid.uuid4().hex[:8]
        self._made: list[str] = []
        auth = v3.Password(
            auth_url=f"{self.url}/v3",
            username="admin",
            password="adminpass",
            project_name="admin",
            user_domain_id="default",
            project_domain_id="default",
        )
        self._session = keystone_session.Session(auth=auth)
        self.domain = self.make("domain", name="one")
        self.user = self.make("user", name="rater", domain_id=self.domain, password=PASSWORD)
        self.rating = self.role("rating")

    def ask(self, method: str, path: str, **arguments: Any) -> Any:
        return self._session.request(f"{self.url}/v3/{path}", method, **arguments)

    def make(self, kind: str, name: str, **values: Any) -> str:
        """Make something whose name ends with the name of the run, and return its id."""
        body = {kind: {"name": f"{name}-{self.run}", **values}}
        made: str = self.ask("POST", f"{kind}s", json=body).json()[kind]["id"]
        self._made.append(f"{kind}s/{made}")
        return made

    def project(self, name: str, **values: Any) -> str:
        return self.make("project", name, **{"domain_id": self.domain, **values})

    def role(self, name: str) -> str:
        found: str = self.ask("GET", f"roles?name={name}").json()["roles"][0]["id"]
        return found

    def give(self, where: str, role: str | None = None, whom: str | None = None) -> None:
        """Give a role, by default that of rating, to the user or to ``groups/ID``."""
        whom = whom or f"users/{self.user}"
        inherited = where.startswith("OS-INHERIT/")
        end = "/inherited_to_projects" if inherited else ""
        self.ask("PUT", f"{where}/{whom}/roles/{role or self.rating}{end}")

    def disable(self, kind: str, identifier: str) -> None:
        self.ask("PATCH", f"{kind}s/{identifier}", json={kind: {"enabled": False}})

    def clean(self) -> None:
        """Take away roles, and domains with all that is in them."""
        for path in reversed(self._made):
            if path.startswith("domains/"):
                self.ask("PATCH", path, json={"domain": {"enabled": False}})
            if path.startswith(("domains/", "roles/")):
                self.ask("DELETE", path)


@pytest.fixture
def identity() -> Iterator[Identity]:
    url = peers.named("KEYSTONE")
    identity = Identity(url)
    yield identity
    identity.clean()


def configure(conf: cfg.ConfigOpts, **options: object) -> None:
    """Set options of the fetcher's section, also those of the plugin."""
    plugin = keystone_loading.get_auth_plugin_conf_options("password")
    conf.register_opts(plugin, group=GROUP)
    for name, value in options.items():
        conf.set_override(name, value, GROUP)


@pytest.fixture
def fetcher_conf(conf: cfg.ConfigOpts, identity: Identity) -> cfg.ConfigOpts:
    """The run's user, who may read the whole system."""
    identity.give("system", identity.role("reader"))
    configure(
        conf,
        auth_type="password",
        auth_url=f"{identity.url}/v3",
        username=f"rater-{identity.run}",
        password=PASSWORD,
        user_domain_id=identity.domain,
        system_scope="all",
    )
    return conf


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The requests that are made, but for tokens and versions."""
    paths: list[str] = []
    original = keystone_session.Session.request

    def counting(self: Any, url: str, method: str, **kwargs: Any) -> Any:
        if not url.rstrip("/").endswith(("/v3", "/auth/tokens")):
            paths.append(f"{method} {url}")
        return original(self, url, method, **kwargs)

    monkeypatch.setattr(keystone_session.Session, "request", counting)
    return paths


def scopes(conf: cfg.ConfigOpts) -> list[str]:
    return KeystoneFetcher(conf).scopes()


def test_projects_on_which_the_user_has_the_role(
    fetcher_conf: cfg.ConfigOpts, identity: Identity
) -> None:
    rated = [identity.project(f"rated{n}") for n in range(3)]
    identity.project("other")
    for project in rated:
        identity.give(f"projects/{project}")
    member = identity.project("member")
    identity.give(f"projects/{member}", identity.role("member"))
    assert scopes(fetcher_conf) == sorted(rated)


def test_requests_do_not_grow_with_projects(
    fetcher_conf: cfg.ConfigOpts, identity: Identity, asked: list[str]
) -> None:
    rated = [identity.project(f"rated{n}") for n in range(12)]
    for project in rated:
        identity.give(f"projects/{project}")
    asked.clear()
    assert scopes(fetcher_conf) == sorted(rated)
    assert asked == ["GET /roles", "GET /role_assignments"]


def test_a_role_of_a_group(fetcher_conf: cfg.ConfigOpts, identity: Identity) -> None:
    group = identity.make("group", "raters", domain_id=identity.domain)
    identity.ask("PUT", f"groups/{group}/users/{identity.user}")
    project = identity.project("grouped")
    identity.give(f"projects/{project}", whom=f"groups/{group}")
    assert scopes(fetcher_conf) == [project]


def test_an_inherited_role(fetcher_conf: cfg.ConfigOpts, identity: Identity) -> None:
    parent = identity.project("parent")
    child = identity.project("child", parent_id=parent)
    identity.give(f"OS-INHERIT/projects/{parent}")
    assert scopes(fetcher_conf) == [child]


def test_a_role_on_a_domain_that_its_projects_inherit(
    fetcher_conf: cfg.ConfigOpts, identity: Identity
) -> None:
    projects = [identity.project(f"any{n}") for n in range(2)]
    identity.give(f"OS-INHERIT/domains/{identity.domain}")
    assert scopes(fetcher_conf) == sorted(projects)


def test_an_implied_role(fetcher_conf: cfg.ConfigOpts, identity: Identity) -> None:
    prior = identity.make("role", "accountant")
    identity.ask("PUT", f"roles/{prior}/implies/{identity.rating}")
    project = identity.project("implied")
    identity.give(f"projects/{project}", prior)
    assert scopes(fetcher_conf) == [project]


def test_a_role_of_another_name(fetcher_conf: cfg.ConfigOpts, identity: Identity) -> None:
    special = identity.make("role", "billed")
    project, other = identity.project("special"), identity.project("usual")
    identity.give(f"projects/{project}", special)
    identity.give(f"projects/{other}")
    configure(fetcher_conf, rating_role=f"billed-{identity.run}")
    assert scopes(fetcher_conf) == [project]


def test_a_role_on_a_domain_alone_rates_no_project(
    fetcher_conf: cfg.ConfigOpts, identity: Identity
) -> None:
    identity.project("unrated")
    identity.give(f"domains/{identity.domain}")
    assert scopes(fetcher_conf) == []


def test_domains(fetcher_conf: cfg.ConfigOpts, identity: Identity, asked: list[str]) -> None:
    second = identity.make("domain", "two")
    here = identity.project("here")
    there = identity.project("there", domain_id=second)
    for project in (here, there):
        identity.give(f"projects/{project}")
    assert scopes(fetcher_conf) == sorted([here, there])
    configure(fetcher_conf, domains=[second])
    asked.clear()
    assert scopes(fetcher_conf) == [there]
    assert len(asked) == 3
    configure(fetcher_conf, domains=[second, identity.domain])
    assert scopes(fetcher_conf) == sorted([here, there])


def test_disabled_projects(
    fetcher_conf: cfg.ConfigOpts, identity: Identity, asked: list[str]
) -> None:
    second = identity.make("domain", "two")
    enabled, disabled = identity.project("enabled"), identity.project("disabled")
    hidden = identity.project("hidden", domain_id=second)
    for project in (enabled, disabled, hidden):
        identity.give(f"projects/{project}")
    identity.disable("project", disabled)
    identity.disable("domain", second)
    assert scopes(fetcher_conf) == sorted([enabled, disabled, hidden])
    configure(fetcher_conf, ignore_disabled_tenants=True)
    asked.clear()
    assert scopes(fetcher_conf) == [enabled]
    assert len(asked) == 4


def test_every_project(fetcher_conf: cfg.ConfigOpts, identity: Identity) -> None:
    one, two = identity.project("one"), identity.project("two")
    identity.disable("project", two)
    configure(fetcher_conf, ignore_rating_role=True)
    assert {one, two} < set(scopes(fetcher_conf))
    assert identity.domain not in scopes(fetcher_conf)
    configure(fetcher_conf, domains=[identity.domain])
    assert scopes(fetcher_conf) == sorted([one, two])
    configure(fetcher_conf, ignore_disabled_tenants=True)
    assert scopes(fetcher_conf) == [one]


def test_the_seeded_service_user(conf: cfg.ConfigOpts, identity: Identity) -> None:
    """An administrator of one project, as most clouds have it; the URL without version."""
    configure(
        conf,
        auth_type="password",
        auth_url=f"{identity.url}/",
        username="cloudkitty",
        password="ratingpass",
        user_domain_id="default",
        project_name="service",
        project_domain_id="default",
    )
    found = {
        identity.ask("GET", f"projects/{project}").json()["project"]["name"]
        for project in scopes(conf)
    }
    assert found == {"admin", "demo"}


@pytest.mark.parametrize("every", [False, True])
def test_a_user_who_may_not_list(conf: cfg.ConfigOpts, identity: Identity, every: bool) -> None:
    project = identity.project("own")
    identity.give(f"projects/{project}")
    configure(
        conf,
        auth_type="password",
        auth_url=f"{identity.url}/v3",
        username=f"rater-{identity.run}",
        password=PASSWORD,
        user_domain_id=identity.domain,
        project_id=project,
        ignore_rating_role=every,
    )
    with pytest.raises(FetchError) as caught:
        scopes(conf)
    for part in ("403", "[fetcher_keystone]", "identity:list_role_assignments", "system_scope"):
        assert part in str(caught.value)


def test_a_role_that_there_is_not(fetcher_conf: cfg.ConfigOpts) -> None:
    configure(fetcher_conf, rating_role="ratting")
    with pytest.raises(FetchError, match=r"\[fetcher_keystone\] rating_role.*no role 'ratting'"):
        scopes(fetcher_conf)


def test_a_wrong_password(fetcher_conf: cfg.ConfigOpts) -> None:
    configure(fetcher_conf, password="wrong")
    with pytest.raises(FetchError, match=r"refuses the credentials in \[fetcher_keystone\]"):
        scopes(fetcher_conf)


def test_no_credentials(conf: cfg.ConfigOpts) -> None:
    with pytest.raises(ConfigurationError, match=r"\[fetcher_keystone\] auth_type"):
        KeystoneFetcher(conf)
