# SPDX-License-Identifier: Apache-2.0
"""``/``: which versions of the API are served, and where."""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import webob

from cloudkitty.api.context import ApiContext
from cloudkitty.api.v1.controllers import V1Controller
from cloudkitty.rest import types
from cloudkitty.rest.controller import JSON, Controller, Handler, expose
from cloudkitty.rest.request import Request

READS = ("GET", "HEAD")


class RootController(Controller):
    """The version document. It lists the versions that are mounted, and no other."""

    def __init__(self, context: ApiContext) -> None:
        super().__init__(context)
        self._statuses: Mapping[str, str] = {"v1": "CURRENT"}
        self.children = {
            name: VersionController(context, self.entry, name, {"v1": V1Controller}[name](context))
            for name in self._statuses
        }

    def entry(self, name: str, request: Request) -> dict[str, Any]:
        """Return what the version document says about one version."""
        link = {"href": f"{request.application_url}/{name}", "rel": "self"}
        return {"id": name, "links": [link], "status": self._statuses[name]}

    @expose(types.Json)
    def get_all(self, request: Request) -> webob.Response:
        document = {"versions": [self.entry(name, request) for name in self._statuses]}
        return webob.Response(
            f"{json.dumps(document)}\n".encode(), content_type=JSON, charset=None
        )

    @expose(None)
    def options(self, request: Request) -> None:
        return None
