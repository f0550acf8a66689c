# SPDX-License-Identifier: Apache-2.0
"""``/``: which versions of the API are served, and where."""

import json

from cloudkitty.api.context import ApiContext
from cloudkitty.api.description import DescriptionController
from cloudkitty.api.v1.root import V1Controller
from cloudkitty.api.v2.root import V2Controller
from cloudkitty.api.versions import Versions
from cloudkitty.rest import types
from cloudkitty.rest.controller import JSON, Controller, expose
from cloudkitty.rest.request import Request
from cloudkitty.rest.streams import Streamed, complete


class RootController(Controller):
    """The version document. It lists the versions that are mounted, and no other."""

    answers_head = True

    def __init__(self, context: ApiContext) -> None:
        super().__init__(context)
        self._versions: list[V1Controller | V2Controller] = [V1Controller(context)]
        if context.conf.storage.version >= 2:
            self._versions.append(V2Controller(context))
        self.children = {
            **{version.name: version for version in self._versions},
            "openapi.json": DescriptionController(context, self),
        }

    @expose(types.Json)
    def get_all(self, request: Request) -> Streamed[Versions]:
        """List the versions of the API that are served."""
        document: Versions = {"versions": [one.entry(request) for one in self._versions]}
        return complete(f"{json.dumps(document)}\n", JSON)
