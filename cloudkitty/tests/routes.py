# SPDX-License-Identifier: Apache-2.0
"""Every route of an application, read from its tree of nodes, and a request that fits each.

A module's routes are found as the core's are: a new one is tested without being named anywhere.
"""

import urllib.parse
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import wsme.types
from wsme.api import FunctionDefinition

from cloudkitty.api.context import ApiContext
from cloudkitty.api.root import RootController
from cloudkitty.api.v1.rating import UnconfigurableController
from cloudkitty.rest import types
from cloudkitty.rest.controller import Controller

METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")
MOST_SEGMENTS = 3

NOBODY = {"scope_id": "nobody"}

V2_DOCUMENTS: dict[str, Any] = {
    "POST /v2/dataframes": {
        "dataframes": [{"period": {"begin": "2026-01-01", "end": "2026-01-02"}, "usage": {}}]
    },
    "POST /v2/scope": {**NOBODY, "last_processed_timestamp": "2026-01-01"},
    "PUT /v2/scope": {"scope_id": "somebody", "last_processed_timestamp": "2026-01-01"},
    "PATCH /v2/scope": {"scope_id": "somebody"},
    "PUT /v2/rating/modules/{}": {},
    "POST /v2/task/reprocesses": {
        "scope_ids": "somebody",
        "start_reprocess_time": "2026-01-01",
        "end_reprocess_time": "2026-01-02",
        "reason": "a test",
    },
}
"""Bodies of version 2, which is no typed REST: each gets as far as its policy."""

JANUARY = {"begin": "2026-01-01", "end": "2026-02-01"}


@dataclass(frozen=True)
class Route:
    """A method at a path; ``{}`` stands for an argument in the path."""

    method: str
    path: str
    definition: FunctionDefinition | None = None

    def __str__(self) -> str:
        return f"{self.method} {self.path}"

    @property
    def arguments(self) -> dict[str, Any]:
        """The types of the arguments that are not the body, by name."""
        if self.definition is None:
            return {}
        arguments = self.definition.arguments
        if self.definition.body_type is not None:
            arguments = arguments[:-1]
        return {argument.name: argument.datatype for argument in arguments}

    @property
    def body(self) -> Any | None:
        """The type of the body, if it has one of its own."""
        return None if self.definition is None else self.definition.body_type

    def url(self, values: Mapping[str, str] | None = None, **query: str) -> str:
        """Return the URL with every mandatory argument; *values* are used by name."""
        values = {**JANUARY, **(values or {})}
        names = list(self.arguments)
        in_path = names[: self.path.count("{}")]
        given = [values.get(name, "x") for name in in_path]
        given += ["x"] * (self.path.count("{}") - len(given))
        wanted = dict(query)
        for argument in self.definition.arguments if self.definition else ():
            name = argument.name
            if name in in_path or name not in names or name in wanted:
                continue
            if (argument.mandatory and not self.in_body) or name in JANUARY:
                wanted[name] = values.get(name, str(sample(argument.datatype)))
        words = f"?{urllib.parse.urlencode(wanted)}" if wanted else ""
        return self.path.format(*given) + words

    @property
    def in_body(self) -> bool:
        """Whether mandatory arguments are sent as a JSON document: lists have no other form."""
        return any(isinstance(kind, wsme.types.ArrayType) for kind in self.arguments.values())

    def document(self, values: Mapping[str, str] | None = None) -> Any | None:
        """Return a JSON body that fits, ``None`` when there is none to be sent."""
        if str(self) in V2_DOCUMENTS:
            return V2_DOCUMENTS[str(self)]
        if self.in_body:
            return {name: sample(kind, values) for name, kind in self.arguments.items()}
        return None if self.body is None else sample(self.body, values)


def sample(datatype: Any, values: Mapping[str, str] | None = None) -> Any:
    """Return a value of a type, with the members that it must have."""
    if isinstance(datatype, wsme.types.ArrayType):
        return [sample(datatype.item_type, values)]
    if wsme.types.iscomplex(datatype):
        wanted = {}
        for attribute in wsme.types.list_attributes(datatype):
            # Rules need a parent, and say so only when they are made.
            if attribute.mandatory or (values and attribute.name == "service_id"):
                found = (values or {}).get(attribute.name)
                wanted[attribute.name] = found or sample(attribute.datatype, values)
        return wanted
    if isinstance(datatype, types.UuidType):
        return str(uuid.UUID(int=1))
    if isinstance(datatype, types.AmountType | types.WholeNumberType):
        return 1
    if isinstance(datatype, types.FlagType):
        return True
    if isinstance(datatype, types.InstantType):
        return JANUARY["begin"]
    if isinstance(datatype, types.ChoiceType):
        return datatype.choices[0]
    if isinstance(datatype, types.AttributesType):
        return {}
    return "x"


def routes(context: ApiContext) -> list[Route]:
    """Return every route of the application, HEAD aside."""
    return list(_walk(RootController(context), ""))


def of_version_1(context: ApiContext) -> list[Route]:
    """Return every route but those of version 2."""
    return [route for route in routes(context) if not route.path.startswith("/v2")]


def _walk(node: Controller, path: str, owned: bool = False) -> Iterator[Route]:
    if isinstance(node, UnconfigurableController):
        yield from (Route(method, path) for method in METHODS if method != "PATCH")
    # Below an object of another node, nothing but the node itself is there.
    for segments in range(1 if owned else MOST_SEGMENTS):
        for method, handler in node._handlers(segments):
            if method in METHODS:
                function = handler.__wrapped__  # type: ignore[attr-defined]
                # Functions of version 2 say in another way what they take.
                typed = hasattr(function, "_wsme_definition")
                definition = FunctionDefinition.get(function) if typed else None
                yield Route(method, (path or "/") + "/{}" * segments, definition)
    for name, child in node.children.items():
        yield from _walk(child, f"{path}/{name}")
    for name, child in node.members.items():
        yield from _walk(child, f"{path}/{{}}/{name}", owned=True)
