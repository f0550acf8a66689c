# SPDX-License-Identifier: Apache-2.0
"""The one application of all API versions.

Invariants: nothing is kept outside of the application object; every exception becomes an
answer, and one that is a fault of the service is logged once, with its traceback.
"""

import logging
from collections.abc import Mapping, Sequence

import pecan.core
import pecan.hooks
import webob
from oslo_middleware.sizelimit import LimitingReader

from cloudkitty.api.context import ApiContext
from cloudkitty.api.observed import note_route
from cloudkitty.api.root import RootController
from cloudkitty.rest.caller import Caller
from cloudkitty.rest.controller import Controller, Handler, json_response
from cloudkitty.rest.errors import Answer, TooLarge
from cloudkitty.rest.request import Request

LOG = logging.getLogger(__name__)


def build(context: ApiContext) -> "Application":
    """Return the WSGI application."""
    return Application(RootController(context), Reception(context))


class Application(pecan.core.ExplicitPecan):  # type: ignore[misc]
    """The framework, with our own tree of nodes.

    Its own ways through a tree, and of calling what it finds there, inspect signatures again and
    again, which takes half the time of a small request; our nodes know where a path leads, and
    their functions make the response themselves.
    """

    def __init__(self, root: Controller, reception: pecan.hooks.PecanHook) -> None:
        super().__init__(
            root, hooks=[reception], request_cls=Request, guess_content_type_from_ext=False
        )

    def find_controller(
        self, state: pecan.core.RoutingState
    ) -> tuple[Handler, tuple[object, ...], dict[str, object]]:
        request: Request = state.request
        self.handle_hooks(self.hooks, "on_route", state)
        path = [segment for segment in request.path_info.split("/") if segment]
        handler, segments = self.root.route(path, request)
        note_route(request.environ, path, request.owners, len(segments))
        state.controller = handler
        return handler, (request, state.response, *request.owners, *segments), {}

    def invoke_controller(
        self,
        controller: Handler,
        args: Sequence[object],
        kwargs: Mapping[str, object],
        state: pecan.core.RoutingState,
    ) -> None:
        state.response = controller(*args, **kwargs)

    def _handle_empty_response_body(self, state: pecan.core.RoutingState) -> None:
        """Nothing: our functions say themselves when an answer is empty. The framework would find
        out by reading it, and answers of any length are written while they are sent."""


class Reception(pecan.hooks.PecanHook):  # type: ignore[misc]
    """Learns who calls before a request is routed, and turns exceptions into answers after."""

    def __init__(self, context: ApiContext) -> None:
        self._context = context
        self._largest: int = context.conf.oslo_middleware.max_request_body_size

    def on_route(self, state: pecan.core.RoutingState) -> None:
        request: Request = state.request
        request.caller = Caller.of(request.environ, trusted=self._context.policy.open)
        request.check_query()
        self._limit(request)

    def _limit(self, request: Request) -> None:
        """:raises TooLarge: the body is; one that comes in chunks is found out while it is read."""
        length = request.content_length
        if length is None:
            source = request.environ["wsgi.input"]
            request.environ["wsgi.input"] = LimitingReader(source, self._largest)
        elif length > self._largest:
            raise TooLarge(limit=self._largest)

    def on_error(self, state: pecan.core.RoutingState, error: Exception) -> webob.Response:
        language = state.request.language
        answer = Answer(error, language)
        path = state.request.environ.get("PATH_INFO", "")
        if answer.cause is not None:
            LOG.error("%s %s: %s", state.request.method, path, answer.cause)
        elif answer.unexpected:
            LOG.error("%s %s failed", state.request.method, path, exc_info=error)
        first = path.lstrip("/").split("/")[0]
        body = answer.fault() if first == "v1" else answer.message()
        response = json_response(body, answer.status)
        response.headers.update(answer.headers)
        if language is not None:
            response.content_language = language.replace("_", "-")
        return response
