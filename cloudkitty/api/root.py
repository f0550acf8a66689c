# SPDX-License-Identifier: Apache-2.0
"""``/``: which versions of the API are served, and where."""

import json

import webob

from cloudkitty.api.context import ApiContext
from cloudkitty.api.v1.root import V1Controller
from cloudkitty.api.v2.root import V2Controller
from cloudkitty.rest import types
from cloudkitty.rest.controller import JSON, Controller, expose
from cloudkitty.rest.request import Request


class RootController(Controller):
    """The version document. It lists the versions that are mounted, and no other."""

    answers_head = True

    def __init__(self, context: ApiContext) -> None:
        super().__init__(context)
        self._versions: list[V1Controller | V2Controller] = [V1Controller(context)]
        if context.conf.storage.version >= 2:
            self._versions.append(V2Controller(context))
        self.children = {version.name: version for version in self._versions}

    @expose(types.Json)
    def get_all(self, request: Request) -> webob.Response:
        document = {"versions": [version.entry(request) for version in self._versions]}
        return webob.Response(f"{json.dumps(document)}\n".encode(), content_type=JSON, charset=None)
