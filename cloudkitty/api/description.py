# SPDX-License-Identifier: Apache-2.0
"""``/openapi.json``: what the whole API looks like to programs.

Invariant: the document is made once for an application, when somebody asks for it first.
"""

import functools
import hashlib
import importlib
import json
from typing import Any

import webob

from cloudkitty.rest import types
from cloudkitty.rest.context import Context
from cloudkitty.rest.controller import JSON, Controller, expose
from cloudkitty.rest.request import Request


class DescriptionController(Controller):
    """A node that describes the tree it is in."""

    answers_head = True

    def __init__(self, context: Context, root: Controller) -> None:
        super().__init__(context)
        self._root = root

    @expose(types.Json)
    def get_all(self, request: Request) -> dict[str, Any]:
        """Show this document: every route, what it takes and what it answers, by OpenAPI 3.1."""
        # Where the API is depends on who asks, and through which proxy.
        servers = json.dumps([{"url": request.script_name or "/"}])
        text = f'{{"servers": {servers}, {self._rest}'.encode()
        answer = webob.Response(text, content_type=JSON, charset=None, conditional_response=True)
        answer.etag = hashlib.sha256(text).hexdigest()
        answer.cache_control = "no-cache"
        return answer  # type: ignore[no-any-return]

    @functools.cached_property
    def _rest(self) -> str:
        # Late: an API that nobody asks for this starts faster.
        document = importlib.import_module("cloudkitty.api.openapi.document")
        described = document.describe(self._root, enforced=not self.context.policy.open)
        return json.dumps(described).removeprefix("{")
