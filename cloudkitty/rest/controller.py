# SPDX-License-Identifier: Apache-2.0
"""The tree of URLs: nodes, the typed functions at them, and how a path finds its function.

Invariants: a path that leads nowhere is 404, a method that a node lacks is 405 with ``Allow``; a
trailing slash never matters; arguments are read before the policy is asked, and the policy is
asked before the function runs. Answers are JSON whatever the client says it accepts.
"""

import functools
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import pecan
import webob
import wsme
import wsme.types
from wsme.api import FunctionDefinition

from cloudkitty.rest import arguments, errors
from cloudkitty.rest.answers import Encoder, encoder
from cloudkitty.rest.context import Context
from cloudkitty.rest.request import Request

JSON = "application/json"

CREATED = 201
SEE = 302
"""What successes with a ``Location`` have for a status."""

Handler = Callable[..., Any]


@dataclass(frozen=True)
class Reply:
    """An answer with headers of its own."""

    value: object = None
    headers: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def created(cls, value: object, location: str) -> "Reply":
        return cls(value, {"Location": location})

    @classmethod
    def see(cls, location: str) -> "Reply":
        """What a PUT answers: look at the object for the result."""
        return cls(None, {"Location": location})


@dataclass(frozen=True)
class Exposure:
    """What is known of a function that answers requests; its handler has it as ``exposure``.

    ``status`` is that of a success, ``path`` how many arguments may be segments of the path, and
    ``rule`` the policy that is asked, if any.
    """

    function: Handler
    status: int
    path: int
    rule: str | None


@dataclass(frozen=True)
class TypedExposure(Exposure):
    """``definition`` has the types of arguments, body and answer."""

    definition: FunctionDefinition


def expose(
    result: Any,
    *types: Any,
    body: Any = None,
    status: int = 200,
    path: int = 0,
    rule: str | None = None,
    asks: str | None = None,
) -> Callable[[Handler], Handler]:
    """Make a method ``f(self, request, ...)`` of a controller answer requests.

    *result* is the type of its answer (``None``: empty; ``cloudkitty.rest.answers`` says what may
    be returned), *types* are those of its arguments after the request, *body* that of the last
    argument when it is the JSON body as a whole. The first *path* arguments may be segments of the
    path. *rule* is the policy to ask before the call; functions whose check depends on their
    arguments ask for *asks* by themselves, which they find as ``request.rule``. *status* is that
    of every success.
    """
    options = {} if body is None else {"body": body}

    def decorate(function: Handler) -> Handler:
        wsme.signature(result, wsme.types.HostRequest, *types, **options)(function)
        definition = FunctionDefinition.get(function)
        definition.resolve_types(wsme.types.registry)
        encode = None if result is None else encoder(definition.return_type)

        @functools.wraps(function)
        def call(self: Controller, request: Request, response: object, *segments: str) -> object:
            values = arguments.read(definition, segments, request)
            if asks is not None:
                request.rule = asks
            if rule is not None:
                self.context.policy.authorize(request.caller, rule)
            return _respond(encode, status, function(self, request, **values))

        call.exposure = TypedExposure(  # type: ignore[attr-defined]
            function, status, path, rule or asks, definition
        )
        return pecan.expose(content_type=JSON)(call)  # type: ignore[no-any-return]

    return decorate


def _respond(encode: Encoder | None, status: int, answer: object) -> webob.Response:
    if isinstance(answer, webob.Response):
        return answer
    reply = answer if isinstance(answer, Reply) else Reply(answer)
    response = empty(status) if encode is None else json_response(encode(reply.value), status)
    response.headers.update(reply.headers)
    return response


def empty(status: int = 204) -> webob.Response:
    """Return an answer without a body."""
    response = webob.Response(status=status)
    del response.content_type
    return response


def json_response(document: object, status: int = 200) -> webob.Response:
    """Return *document* as a JSON answer."""
    return webob.Response(
        json.dumps(document).encode(), status=status, content_type=JSON, charset=None
    )


class Controller:
    """A node of the tree.

    ``children`` are the nodes below it by name, ``members`` those below one of its objects
    (``<node>/<id>/<name>``), which get the id as their first argument. A function is named after
    its method; GET is ``get_one`` with an id in the path and ``get_all`` without. ``gate`` is a
    policy that whoever mounts the node asks before anything else.
    """

    answers_head: ClassVar[bool] = False
    old_names: ClassVar[frozenset[str]] = frozenset()
    """Those of ``children`` that are there for old clients only."""

    def __init__(self, context: Context) -> None:
        self.context = context
        self.gate: str | None = None
        self.children: dict[str, Controller] = {}
        self.members: dict[str, Controller] = {}

    def route(self, path: Sequence[str], request: Request) -> tuple[Handler, Sequence[str]]:
        """Return the function that *path*, from this node on, leads to, and its path arguments.

        :raises errors.NotFound: nothing is there.
        :raises errors.MethodNotAllowed: something is there, but not for the request's method.
        """
        if path and path[0] in self.children:
            return self.children[path[0]].route(path[1:], request)
        if len(path) > 1 and path[1] in self.members and not request.owners:
            request.owners.append(path[0])
            return self.members[path[1]].route(path[2:], request)
        if path and request.owners:
            raise errors.NotFound()
        return self.handler(request.method, path), path

    def handler(self, method: str, path: Sequence[str]) -> Handler:
        """Return the function for *method* with *path* left over.

        :raises errors.NotFound: nothing is there.
        :raises errors.MethodNotAllowed: something is there, but not for this method.
        """
        found = dict(self._handlers(len(path)))
        if not found:
            raise errors.NotFound()
        if method not in found:
            # OPTIONS is answered for every path by the outermost layer.
            raise errors.MethodNotAllowed(
                method=method, allow=", ".join(sorted([*found, "OPTIONS"]))
            )
        return found[method]

    def _handlers(self, segments: int) -> Iterator[tuple[str, Handler]]:
        reader = "get_one" if segments else "get_all"
        for method, name in (
            ("GET", reader),
            *([("HEAD", reader)] if self.answers_head else []),
            ("POST", "post"),
            ("PUT", "put"),
            ("PATCH", "patch"),
            ("DELETE", "delete"),
        ):
            function = getattr(self, name, None)
            if function is not None and function.exposure.path >= segments:
                yield method, function
