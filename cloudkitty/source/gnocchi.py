# SPDX-License-Identifier: Apache-2.0
"""Asks Gnocchi, the time series database, through its API version 1.

Invariants: lists are read page by page to their end; numbers are exact; every error says what was
asked, of whom, and which option would help.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import parse_qs, quote, urlsplit

from keystoneauth1 import http_basic, plugin
from oslo_config import cfg
from requests.utils import parse_header_links

from cloudkitty.config import ConfigurationError
from cloudkitty.source import http, session
from cloudkitty.source.errors import Malformed, Place, Refused

Item = Mapping[str, Any]
"""A JSON object of an answer."""

BASIC = "basic"
KEYSTONE = "keystone"

PAGE_SIZE = 1000
"""Resources asked for in one request; as many as Gnocchi gives by default."""

ATTRIBUTES = frozenset(
    {
        "id",
        "type",
        "project_id",
        "user_id",
        "creator",
        "original_resource_id",
        "started_at",
        "ended_at",
        "revision_start",
    }
)
"""What every resource has, whatever its type, and can be grouped by."""


class Gnocchi:
    """The questions that are asked. Several threads may use one object."""

    def __init__(
        self, conf: cfg.ConfigOpts, group: str, timeout: float = session.DEFAULT_TIMEOUT
    ) -> None:
        """Build the session by a section of the configuration; nothing is asked yet. *timeout*
        is that of a request, unless the section sets one.

        :raises ConfigurationError: the section does not say how to reach Gnocchi.
        """
        self._place = Place("Gnocchi", group, "gnocchi_endpoint", "metric")
        options = conf[group]
        self._service = http.Service(
            session.client(
                session.configured_session(
                    conf,
                    group,
                    _auth(conf, group),
                    pool=options.http_pool_maxsize,
                    timeout=timeout,
                ),
                self._place,
                endpoint=options.gnocchi_endpoint or None,
                interface=options.interface,
                region_name=options.region_name or None,
            ),
            self._place,
            conf.orchestrator.collector_request_timeout,
        )

    def attributes(self, resource_type: str) -> frozenset[str] | None:
        """Return what resources of a type have, ``None`` when there is no such type.

        :raises SourceError: there is no usable answer.
        """
        try:
            with self._service.asking(f"resource type {resource_type!r}"):
                path = f"/v1/resource_type/{quote(resource_type, safe='')}"
                own = frozenset(self._service.get(path).json()["attributes"])
        except Refused as error:
            if error.status == 404 and "does not exist" in http.sentence(error.body):
                return None
            raise
        return own | ATTRIBUTES

    def aggregates(
        self, what: str, body: object, params: Sequence[tuple[str, object]]
    ) -> Iterator[Item]:
        """Yield the groups of an aggregation while they arrive; *what* names it in errors.

        :raises SourceError: there is no usable answer.
        """
        with self._service.asking(what):
            yield from self._service.post("/v1/aggregates", body, params).listed()

    def search(
        self,
        resource_type: str,
        query: object,
        attributes: Sequence[str],
        *,
        sort: Sequence[str] = ("id:asc",),
        history: bool = False,
    ) -> Iterator[Item]:
        """Yield *attributes* of the resources that match, or with *history* of all their
        revisions that match.

        :raises SourceError: there is no usable answer, or paging does not get on.
        """
        marker: str | None = None
        while True:
            page, following = self.page(
                resource_type, query, attributes, sort=sort, history=history, marker=marker
            )
            yield from page
            if following is None:
                return
            if following == marker:
                raise Malformed(
                    f"asking for resources of type {resource_type!r}: Gnocchi gives the page after "
                    f"{marker!r} again and again"
                )
            marker = following

    def page(
        self,
        resource_type: str,
        query: object,
        attributes: Sequence[str],
        *,
        sort: Sequence[str] = ("id:asc",),
        history: bool = False,
        marker: str | None = None,
    ) -> tuple[list[Item], str | None]:
        """Return the page after *marker*, and the marker of the next one, if there is any."""
        params: list[tuple[str, object]] = [("attrs", name) for name in attributes]
        params += [("sort", key) for key in sort]
        params.append(("limit", PAGE_SIZE))
        if history:
            params.append(("history", "true"))
        if marker is not None:
            params.append(("marker", marker))
        with self._service.asking(f"resources of type {resource_type!r}"):
            path = f"/v1/search/resource/{quote(resource_type, safe='')}"
            answer = self._service.post(path, query, params)
            page = answer.json()
            if not isinstance(page, list) or not all(isinstance(one, Mapping) for one in page):
                raise TypeError("expected a list of resources")
            return page, _next_marker(answer.headers.get("Link", "")) if page else None

    def close(self) -> None:
        """Close the connections that are kept."""
        self._service.close()


def _auth(conf: cfg.ConfigOpts, group: str) -> plugin.BaseAuthPlugin:
    options = conf[group]
    if options.gnocchi_auth_type == BASIC:
        for name in ("gnocchi_user", "gnocchi_endpoint"):
            if not options[name]:
                raise ConfigurationError(
                    f"[{group}] {name}: missing; gnocchi_auth_type = basic needs gnocchi_user and "
                    "gnocchi_endpoint"
                )
        return http_basic.HTTPBasicAuth(
            endpoint=options.gnocchi_endpoint, username=options.gnocchi_user, password=""
        )
    auth = session.configured_auth(conf, group)
    if auth is None:
        raise ConfigurationError(
            f"[{group}] auth_type: missing; give it and its options (auth_type = password, "
            "auth_url, username, ...) for tokens of the identity service, or "
            "gnocchi_auth_type = basic with gnocchi_user and gnocchi_endpoint"
        )
    return auth


def _next_marker(link: str) -> str | None:
    """The marker in a ``Link`` header that leads to the next page."""
    for one in parse_header_links(link) if link else ():
        if one.get("rel") == "next":
            found = parse_qs(urlsplit(one["url"]).query).get("marker")
            return found[0] if found else None
    return None
