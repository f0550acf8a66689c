# SPDX-License-Identifier: Apache-2.0
"""What the document says of answers that refuse, and of failures.

Invariant: below ``/v1`` a refusal is a fault, elsewhere a message; its status says what is wrong.
"""

import re
from typing import Any, TypedDict

from cloudkitty.api.openapi.routes import Route
from cloudkitty.api.openapi.schemas import Schemas
from cloudkitty.api.v2.node import NodeExposure
from cloudkitty.rest.controller import JSON, TypedExposure
from cloudkitty.rest.errors import Fault, Message
from cloudkitty.rest.guest import GuestController

Part = dict[str, Any]

_WHEN = {
    400: "An argument or the body is wrong; the text says which, and why.",
    401: "There is no good token.",
    403: "A policy says no.",
    404: "There is no such thing.",
    409: "It collides with something that exists, or with the state it is in.",
    413: "The body is too large.",
    415: "The body is not JSON.",
    503: "Something that the service needs cannot be reached, or failed; try again later.",
}


class Challenge(TypedDict):
    """What is wrong with a token."""

    code: int
    title: str
    message: str


class Unauthorized(TypedDict):
    """What those hear who have no good token."""

    error: Challenge


def _asks_for_something(route: Route) -> bool:
    """Whether a route is about what an argument names, which may not be there."""
    exposure = route.exposure
    if isinstance(exposure, TypedExposure):
        return any(argument.mandatory for argument in exposure.definition.arguments)
    return isinstance(exposure, NodeExposure) and bool(exposure.query)


class Refusals:
    """Describes refusals, and keeps them as ``components``; *enforced* is whether policies are."""

    def __init__(self, schemas: Schemas, *, enforced: bool) -> None:
        self.components: dict[str, Part] = {}
        self._schemas = schemas
        self._enforced = enforced

    def of(self, route: Route, *, has_body: bool) -> Part:
        """Return the answers of a route that are no success."""
        if not route.path.startswith("/v"):
            return self._of([400], route)
        if not route.configures:
            return self._of([401, 409] if self._enforced else [409], route)
        statuses = [400, 503]
        if self._enforced and route.path.count("/") > 1:
            statuses += [401, 403] if route.rules else [401]
        if route.in_path or has_body or _asks_for_something(route):
            statuses.append(404)
        if has_body:
            statuses += [413, 415]
        if route.method != "GET" and (has_body or route.in_path):
            statuses.append(409)
        if isinstance(route.node, GuestController):
            # The others are in its own hands.
            statuses = [one for one in statuses if one in (401, 403, 503)]
        return self._of(sorted(statuses), route)

    def _of(self, statuses: list[int], route: Route) -> Part:
        form = Fault if route.path.startswith("/v1") else Message
        return {str(status): self._component(status, form) for status in statuses}

    def _component(self, status: int, form: Any) -> Part:
        kind = Unauthorized if status == 401 else form
        words = "".join(word.capitalize() for word in re.findall(r"\w+", kind.__name__))
        name = f"{words}{status}"
        if name not in self.components:
            content = {JSON: {"schema": self._schemas.of(kind)}}
            self.components[name] = {"description": _WHEN[status], "content": content}
        return {"$ref": f"#/components/responses/{name}"}
