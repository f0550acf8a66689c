# SPDX-License-Identifier: Apache-2.0
"""What the version document says about one version of the API."""

from typing import Any

from cloudkitty.rest.request import Request


def entry(name: str, status: str, request: Request) -> dict[str, Any]:
    """Return the entry of a version, with its URL as the client sees it."""
    link = {"href": f"{request.application_url}/{name}", "rel": "self"}
    return {"id": name, "links": [link], "status": status}
