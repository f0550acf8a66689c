# SPDX-License-Identifier: Apache-2.0
"""The one application of all API versions.

Invariants: nothing is kept outside of the application object; every exception becomes an
answer, and one that is a fault of the service is logged once, with its traceback.
"""

import logging

import pecan.core
import pecan.hooks
import webob

from cloudkitty.api.context import ApiContext
from cloudkitty.api.root import RootController
from cloudkitty.rest.caller import Caller
from cloudkitty.rest.controller import JSON, json_response
from cloudkitty.rest.errors import Answer
from cloudkitty.rest.request import Request

LOG = logging.getLogger(__name__)


def build(context: ApiContext) -> pecan.core.ExplicitPecan:
    """Return the WSGI application."""
    return pecan.core.ExplicitPecan(
        RootController(context),
        hooks=[Reception(context)],
        request_cls=Request,
        force_canonical=False,
        guess_content_type_from_ext=False,
    )


class Reception(pecan.hooks.PecanHook):  # type: ignore[misc]
    """Learns who calls before a request is routed, and turns exceptions into answers after."""

    def __init__(self, context: ApiContext) -> None:
        self._context = context

    def on_route(self, state: pecan.core.RoutingState) -> None:
        request: Request = state.request
        # Set before routing, this keeps the framework from negotiating: there is only JSON.
        request.pecan["content_type"] = JSON
        request.caller = Caller.of(request.environ, trusted=self._context.policy.open)
        request.check_query()

    def on_error(self, state: pecan.core.RoutingState, error: Exception) -> webob.Response:
        answer = Answer(error)
        path = state.request.environ.get("PATH_INFO", "")
        if answer.unexpected:
            LOG.error("%s %s failed", state.request.method, path, exc_info=error)
        first = path.lstrip("/").split("/")[0]
        body = answer.fault() if first == "v1" else answer.message()
        response = json_response(body, answer.status)
        response.headers.update(answer.headers)
        return response
