# SPDX-License-Identifier: Apache-2.0
"""Mounts a controller that was written for the framework itself, as those of rating modules of
other origin are.

Invariant: what it does with a request is its own; what it lets escape becomes an answer like any
other exception.
"""

from collections.abc import Sequence
from typing import Any

import pecan
import webob
import webob.exc

from cloudkitty.rest.context import Context
from cloudkitty.rest.controller import JSON, Controller, Handler
from cloudkitty.rest.request import Request


class GuestController(Controller):
    """A node below which an application of the framework's own kind answers."""

    def __init__(self, context: Context, root: Any) -> None:
        super().__init__(context)
        self.root = root() if isinstance(root, type) else root
        self._application = pecan.Pecan(self.root, guess_content_type_from_ext=False)

    def route(self, path: Sequence[str], request: Request) -> tuple[Handler, Sequence[str]]:
        return self._serve, path

    @pecan.expose(content_type=JSON)  # type: ignore[untyped-decorator]
    def _serve(self, request: Request, response: object, *segments: str) -> webob.Response:
        below = "/".join(("", *segments))
        inner = webob.Request(_own(request.environ))
        inner.script_name = request.path.removesuffix("/").removesuffix(below)
        inner.path_info = below or "/"
        answer = inner.get_response(self._application)
        if answer.status_int >= 400 and answer.content_type != JSON:
            raise webob.exc.status_map[answer.status_int]()
        return answer


def _own(environ: dict[str, Any]) -> dict[str, Any]:
    """Return a copy of an environment without what the framework has noted in it."""
    return {key: value for key, value in environ.items() if not key.startswith(("pecan", "webob."))}
