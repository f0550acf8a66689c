# SPDX-License-Identifier: Apache-2.0
"""What the version document says about one version of the API."""

from typing import Literal, TypedDict

from cloudkitty.rest.request import Request

Status = Literal["CURRENT", "SUPPORTED", "EXPERIMENTAL", "DEPRECATED"]


class Link(TypedDict):
    """Where something is."""

    href: str
    rel: str


class Version(TypedDict):
    """A version of the API that is served."""

    id: str
    links: list[Link]
    status: Status


class Versions(TypedDict):
    """All versions that are served."""

    versions: list[Version]


def entry(name: str, status: Status, request: Request) -> Version:
    """Return the entry of a version, with its URL as the client sees it."""
    # Apache's mod_proxy_uwsgi ends the path of the application with a slash at its root.
    here = request.application_url.rstrip("/")
    return {
        "id": name,
        "links": [{"href": f"{here}/{name}", "rel": "self"}],
        "status": status,
    }
