# SPDX-License-Identifier: Apache-2.0
"""Fetches scopes from the identity service: the projects on which the service's own user has the
rating role.

Invariants: roles by way of groups, of inheritance and of other roles count like those given
directly; with version 3 the number of requests does not grow with projects; a list that cannot be
had whole is an error, never a shorter list.
"""

from collections.abc import Callable
from typing import Protocol

from keystoneauth1 import plugin
from oslo_config import cfg

from cloudkitty.config import ConfigurationError
from cloudkitty.fetcher.base import Fetcher, FetchError
from cloudkitty.fetcher.keystone_v2 import IdentityV2
from cloudkitty.fetcher.keystone_v3 import IdentityV3
from cloudkitty.source import http, session
from cloudkitty.source.errors import Place, Refused, SourceError

GROUP = "fetcher_keystone"

PLACE = Place("the identity service", GROUP, "auth_url", "identity")

_PATHS = {"2": "/v2.0", "3": "/v3"}


class Identity(Protocol):
    """The questions that the fetcher asks of either version of the identity service."""

    def projects(self, *, enabled_only: bool) -> set[str]:
        """Return the ids of all projects of the wanted domains, or of those not disabled."""
        ...

    def projects_with_role(self, user_id: str, role: str) -> set[str]:
        """Return the ids of the projects on which a user has a role, of whatever domain, disabled
        ones too.

        :raises FetchError: there is no such role.
        """
        ...


class KeystoneFetcher(Fetcher):
    """See the module. Ids are sorted."""

    def __init__(self, conf: cfg.ConfigOpts) -> None:
        super().__init__(conf)
        options = conf[GROUP]
        auth = session.configured_auth(conf, GROUP)
        if auth is None:
            raise ConfigurationError(
                f"[{GROUP}] auth_type: the fetcher 'keystone' needs it, such as password, with "
                "auth_url, username, password, project_name and their domains"
            )
        version: str = options.keystone_version
        if options.domains and version == "2":
            raise ConfigurationError(
                f"[{GROUP}] domains: there are none with keystone_version = 2; unset one of the two"
            )
        self._adapter = session.client(
            session.configured_session(conf, GROUP, auth), PLACE, endpoint=_endpoint(auth, version)
        )
        limit = conf.orchestrator.collector_request_timeout
        service = http.Service(self._adapter, PLACE, limit)
        self._service = service
        self._identity: Identity = (
            IdentityV2(service) if version == "2" else IdentityV3(service, options.domains)
        )

    def scopes(self) -> list[str]:
        options = self.conf[GROUP]
        enabled_only: bool = options.ignore_disabled_tenants
        try:
            if options.ignore_rating_role:
                return sorted(self._identity.projects(enabled_only=enabled_only))
            found = self._identity.projects_with_role(self._user_id(), options.rating_role)
            if found and (enabled_only or options.domains):
                found &= self._identity.projects(enabled_only=enabled_only)
            return sorted(found)
        except SourceError as error:
            raise FetchError(_explained(error)) from error

    def _user_id(self) -> str:
        """The id of the service's own user, as its token says it."""
        ask: Callable[[], str | None] = self._adapter.get_user_id
        with self._service.asking("a token"):
            found = ask()
        if not found:
            raise FetchError(
                f"[{GROUP}] auth_type: it leads to no user, and so to no roles; use password, or "
                "set ignore_rating_role to rate every project"
            )
        return found


def _endpoint(auth: plugin.BaseAuthPlugin, version: str) -> str | None:
    """The URL of the wanted version; that of the plugin may name a version, or none."""
    url: str | None = getattr(auth, "auth_url", None)
    if not url:
        return None
    url = url.rstrip("/")
    for path in _PATHS.values():
        url = url.removesuffix(path)
    return url + _PATHS[version]


def _explained(error: SourceError) -> str:
    """The error, with what the user must be allowed to do."""
    if isinstance(error, Refused) and error.status == 403:
        return (
            f"{error}; listing roles, role assignments and projects (policies identity:list_roles, "
            "identity:list_role_assignments, identity:list_projects, identity:list_domains) takes "
            f"the role admin on the project of [{GROUP}], or the role reader on the system with "
            f"system_scope = all"
        )
    return str(error)
