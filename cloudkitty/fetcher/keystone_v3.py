# SPDX-License-Identifier: Apache-2.0
"""Asks version 3 of the identity service which projects there are, and on which a user has a role.

Invariants: each question is one listing, read to its last page; a list that the service has cut
short is an error.
"""

from collections.abc import Iterator, Sequence
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from cloudkitty.fetcher.base import FetchError
from cloudkitty.source.http import Service

Query = list[tuple[str, str]]


class IdentityV3:
    """See ``keystone.Identity``. *domains* restricts ``projects`` to those of the domains with
    these ids, unless it is empty."""

    def __init__(self, service: Service, domains: Sequence[str]) -> None:
        self._service = service
        self._domains = list(dict.fromkeys(domains))

    def projects(self, *, enabled_only: bool) -> set[str]:
        wanted: Query = [("enabled", "true")] if enabled_only else []
        with self._service.asking("projects"):
            found = [
                project
                for domain in self._domains or [""]
                for project in self._list(
                    "projects", wanted + ([("domain_id", domain)] if domain else [])
                )
            ]
            owners = {project["id"]: project["domain_id"] for project in found}
        disabled = self._disabled_domains() if enabled_only else set()
        return {project for project, domain in owners.items() if domain not in disabled}

    def _disabled_domains(self) -> set[str]:
        """A project may be enabled, and nobody can use it as its domain is not."""
        with self._service.asking("disabled domains"):
            return {domain["id"] for domain in self._list("domains", [("enabled", "false")])}

    def projects_with_role(self, user_id: str, role: str) -> set[str]:
        # Not with names, which would have domains: the service looks each up by itself.
        query: Query = [("user.id", user_id), ("effective", ""), ("role.id", self._role(role))]
        with self._service.asking(f"the projects with role {role!r} of user {user_id}"):
            scopes = [entry["scope"] for entry in self._list("role_assignments", query)]
            # The others are roles on domains and on the system.
            return {scope["project"]["id"] for scope in scopes if "project" in scope}

    def _role(self, name: str) -> str:
        with self._service.asking(f"the role {name!r}"):
            found = [role["id"] for role in self._list("roles", [("name", name)])]
        if not found:
            raise FetchError(
                f"[fetcher_keystone] rating_role: the identity service has no role {name!r}; make "
                "it and give it to the service's user on the projects to rate, or set "
                "ignore_rating_role to rate every project"
            )
        return str(found[0])

    def _list(self, path: str, query: Query) -> Iterator[dict[str, Any]]:
        """Yield the members of a collection, page by page.

        Of the link to the next page only the query counts: its host may be one that the service
        has behind a proxy, and the token is not for others.
        """
        pages: set[str] = set()
        while True:
            answer = self._service.get(f"/{path}", query).json()
            yield from answer[path]
            if answer.get("truncated"):
                raise ValueError(f"{path} are cut short: raise list_limit of the identity service")
            following = urlsplit((answer.get("links") or {}).get("next") or "").query
            if not following:
                return
            if following in pages:
                raise ValueError(f"the pages of {path} go in a circle at {following!r}")
            pages.add(following)
            query = parse_qsl(following, keep_blank_values=True)
