# SPDX-License-Identifier: Apache-2.0
"""Asks version 2 of the identity service, which knows projects as tenants, and no domains, groups
or inheritance.

It has no listing of a user's roles: they are asked for one tenant after the other.
"""

from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

from cloudkitty.source.http import Service

PAGE = 1000


class IdentityV2:
    """See ``keystone.Identity``."""

    def __init__(self, service: Service) -> None:
        self._service = service

    def projects(self, *, enabled_only: bool) -> set[str]:
        with self._service.asking("tenants"):
            return {
                tenant["id"]
                for tenant in self._tenants()
                if not enabled_only or tenant.get("enabled", True)
            }

    def projects_with_role(self, user_id: str, role: str) -> set[str]:
        return {
            tenant
            for tenant in sorted(self.projects(enabled_only=False))
            if role in self._roles(tenant, user_id)
        }

    def _roles(self, tenant: str, user_id: str) -> set[str]:
        with self._service.asking(f"the roles of user {user_id} on tenant {tenant}"):
            url = f"/tenants/{quote(tenant, safe='')}/users/{quote(user_id, safe='')}/roles"
            return {role["name"] for role in self._service.get(url).json()["roles"]}

    def _tenants(self) -> Iterator[dict[str, Any]]:
        """Yield every tenant. The end is a page without anything new: a service may have pages of
        its own size, or none at all."""
        query, seen = [("limit", str(PAGE))], set[str]()
        while True:
            page = self._service.get("/tenants", query).json()["tenants"]
            fresh = [tenant for tenant in page if tenant["id"] not in seen]
            if not fresh:
                return
            yield from fresh
            seen |= {tenant["id"] for tenant in fresh}
            query = [("limit", str(PAGE)), ("marker", fresh[-1]["id"])]
