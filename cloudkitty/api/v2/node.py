# SPDX-License-Identifier: Apache-2.0
"""What the nodes of ``/v2`` share: how their functions read a request, ask the policy and answer.

Invariants: query and body are read whole before the function runs; the function asks the policy
before it does anything else; every answer is JSON, or CSV where the client asks for it.
"""

import functools
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypedDict

import pecan
import webob

from cloudkitty.api.context import ApiContext
from cloudkitty.api.v2 import arguments, exact
from cloudkitty.api.v2.arguments import Argument
from cloudkitty.rest import errors
from cloudkitty.rest.controller import JSON, Controller, Exposure, Handler, empty
from cloudkitty.rest.request import Request

CSV = "text/csv"


@dataclass(frozen=True)
class NodeExposure(Exposure):
    """``members`` are those of the body, ``None`` where none is read."""

    query: Sequence[Argument]
    members: Sequence[Argument] | None
    csv: bool


def expose(
    *query: Argument,
    body: Iterable[Argument] | None = None,
    status: int = 200,
    path: int = 0,
    rule: str | None = None,
    csv: bool = False,
) -> Callable[[Handler], Handler]:
    """Make a method ``f(self, request, *segments, **arguments)`` of a node answer requests.

    Arguments are those of *query* and *body*, each by its name. The first *path* arguments are
    segments of the path. *rule* is the policy that the function asks, by ``authorize``. What is
    returned is written as JSON, unless it is an answer already; the return annotation says what
    it looks like. With *csv*, the function is told ``as_csv``: whether the client wants that.
    """
    members = None if body is None else tuple(body)

    def decorate(function: Handler) -> Handler:
        @functools.wraps(function)
        def call(self: Node, request: Request, response: object, *segments: str) -> Any:
            if any("\0" in segment for segment in segments):
                # No database can be asked for it.
                raise errors.NotFound()
            if rule is not None:
                request.rule = rule
            given = arguments.read_query(query, request)
            if members is not None:
                given |= arguments.read_body(members, request)
            if csv:
                given["as_csv"] = wants_csv(request)
            answer = function(self, request, *segments, **given)
            if isinstance(answer, webob.Response):
                return answer
            if answer is None:
                return empty(status)
            written = exact.dumps(answer).encode()
            return webob.Response(written, status=status, content_type=JSON, charset=None)

        call.exposure = NodeExposure(  # type: ignore[attr-defined]
            function, status, path, rule, query, members, csv
        )
        return pecan.expose(content_type=JSON)(call)  # type: ignore[no-any-return]

    return decorate


class Nothing(TypedDict):
    """An object without members."""


class Node(Controller):
    """A node of version 2."""

    answers_head = True
    context: ApiContext

    def __init__(self, context: ApiContext) -> None:
        super().__init__(context)

    def _handlers(self, segments: int) -> Iterator[tuple[str, Handler]]:
        """An id that a function of version 2 takes from the path is always there."""
        for method, function in super()._handlers(segments):
            if function.exposure.path == segments:  # type: ignore[attr-defined]
                yield method, function

    def authorize(self, request: Request, **target: str | None) -> None:
        """Make sure that the caller may do what the rule of the function is about.

        :raises errors.NotAuthorized: the caller may not.
        """
        if not self.context.policy.allows(request.caller, request.rule, **target):
            raise errors.NotAuthorized()

    def authorize_scopes(self, request: Request, scopes: Sequence[str] | None) -> None:
        """As ``authorize``, for a function that is about some scopes: the caller's own where none
        are named."""
        about = ",".join(scopes) if scopes else request.caller.project_id
        self.authorize(request, project_id=about)


def wants_csv(request: Request) -> bool:
    """Return whether the client would rather have CSV than JSON."""
    offers = request.accept.acceptable_offers([JSON, CSV])
    return bool(offers) and offers[0][0] == CSV
