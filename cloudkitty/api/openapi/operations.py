# SPDX-License-Identifier: Apache-2.0
"""What the document says of one route: arguments, body, answers, policies.

Invariant: the name of an operation is made of its method and path, so that it stays the same while
others come and go.
"""

import json
import re
import typing
from collections.abc import Iterator, Mapping
from typing import Any

import wsme.types
from wsme.api import FunctionArgument

from cloudkitty.api.openapi.refusals import Refusals
from cloudkitty.api.openapi.routes import Route
from cloudkitty.api.openapi.schemas import Schemas, text
from cloudkitty.api.v2.arguments import Argument
from cloudkitty.api.v2.node import CSV, NodeExposure
from cloudkitty.rest import schema, types
from cloudkitty.rest.controller import CREATED, JSON, SEE, TypedExposure
from cloudkitty.rest.schema import Schema

Part = dict[str, Any]

_SUCCESS = {
    200: "The answer.",
    201: "What was created or changed.",
    202: "It will be done.",
    204: "Done.",
    302: "Done; `Location` is the object.",
}

_NOT_IN_A_SEGMENT = {"pattern": "^[^/]+$", "minLength": 1}


class Operations:
    """Describes routes; *enforced* is whether policies are."""

    def __init__(self, schemas: Schemas, refusals: Refusals, *, enforced: bool) -> None:
        self._schemas = schemas
        self._refusals = refusals
        self._enforced = enforced

    def describe(self, route: Route) -> Part:
        """Return the operation object of a route."""
        told = route.told if route.exposure is None else text(route.exposure.function)
        summary, _, description = told.partition("\n\n")
        body = self._body(route)
        answers = self._answers(route) if route.configures else {}
        operation: Part = {
            "operationId": _name(route),
            "tags": [tag(route)],
            "summary": " ".join(summary.split()),
            "description": re.sub(r"(?<!\n)\n(?!\n)", " ", description),
            "deprecated": route.old,
            "parameters": list(self._parameters(route)),
            "requestBody": body,
            "responses": answers | self._refusals.of(route, has_body=body is not None),
        }
        if self._enforced and route.path.startswith("/v"):
            operation["security"] = [{"token": []}] if _guarded(route) else []
        if route.rules:
            rules = list(route.rules)
            operation["x-policy-rule"] = rules if len(rules) > 1 else rules[0]
        always = ("responses", "operationId", "tags", "security")
        return {key: part for key, part in operation.items() if part or key in always}

    # -- arguments ----------------------------------------------------------------------------

    def _parameters(self, route: Route) -> Iterator[Part]:
        exposure = route.exposure
        if isinstance(exposure, TypedExposure):
            for argument in _arguments(exposure):
                if not isinstance(argument.datatype, wsme.types.ArrayType):
                    yield self._typed(argument, route)
            return
        for name, word in zip(route.in_path, route.written, strict=True):
            yield _in_path(name, word, {"type": "string"})
        if isinstance(exposure, NodeExposure):
            for one in exposure.query:
                yield self._read(one)

    def _typed(self, argument: FunctionArgument, route: Route) -> Part:
        described = self._schemas.of_value(argument.datatype, taken=True)
        if argument.name in route.in_path:
            word = route.written[list(route.in_path).index(argument.name)]
            return _in_path(argument.name, word, described)
        return _in_query(argument.name, described, argument.mandatory, argument.default)

    def _read(self, argument: Argument) -> Part:
        described = self._schemas.of(argument.read.schema, taken=True)
        return _in_query(argument.name, described, argument.required, argument.default)

    # -- body ---------------------------------------------------------------------------------

    def _body(self, route: Route) -> Part | None:
        described = self._document(route)
        if described is None:
            return None
        return {"required": True, "content": {JSON: {"schema": described}}}

    def _document(self, route: Route) -> Schema | None:
        exposure = route.exposure
        if isinstance(exposure, NodeExposure) and exposure.members is not None:
            return self._members(exposure.members)
        if not isinstance(exposure, TypedExposure):
            return None
        body_type = exposure.definition.body_type
        if body_type is not None:
            return self._schemas.of_value(body_type, taken=True)
        # A list has no form but JSON.
        lists = {
            argument.name: self._schemas.of_value(argument.datatype, taken=True)
            for argument in _arguments(exposure)
            if isinstance(argument.datatype, wsme.types.ArrayType)
        }
        if not lists:
            return None
        return {
            "type": "object",
            "properties": lists,
            "required": list(lists),
            "additionalProperties": False,
        }

    def _members(self, members: typing.Iterable[Argument]) -> Schema:
        properties: dict[str, Schema] = {}
        required = []
        for member in members:
            described = self._schemas.of(member.read.schema, taken=True)
            properties[member.name] = {
                **(schema.nullable(described) if member.null else described),
                **_default(member.default),
            }
            if member.required:
                required.append(member.name)
        told: Schema = {"type": "object", "properties": properties, "additionalProperties": False}
        return told | ({"required": required} if required else {})

    # -- answers ------------------------------------------------------------------------------

    def _answers(self, route: Route) -> Part:
        exposure = route.exposure
        if exposure is None:
            return {"default": {"description": "What the module answers."}}
        status = exposure.status
        answer: Part = {"description": _SUCCESS[status]}
        content = self._content(exposure)
        if content:
            answer["content"] = content
        if status in (CREATED, SEE):
            url = {"type": "string", "format": "uri"}
            answer["headers"] = {"Location": {"description": "The URL of it.", "schema": url}}
        return {str(status): answer}

    def _content(self, exposure: Any) -> Part:
        if isinstance(exposure, TypedExposure):
            datatype = exposure.definition.return_type
            if datatype is None:
                return {}
            if not isinstance(datatype, types.JsonType) or isinstance(datatype, types.NullType):
                return {JSON: {"schema": self._schemas.of_value(datatype)}}
        annotation = typing.get_type_hints(exposure.function, include_extras=True)["return"]
        if annotation is type(None):
            return {}
        content: Part = {JSON: {"schema": self._schemas.of(annotation)}}
        if isinstance(exposure, NodeExposure) and exposure.csv:
            content[CSV] = {"schema": {"type": "string"}}
        return content


def tag(route: Route) -> str:
    """Return the noun that a route is about, with the version of the API."""
    words = [word for word in route.path.split("/") if word]
    if not words or words[0] not in ("v1", "v2"):
        return "service"
    if "module_config" in words:
        return f"{words[0]} {words[words.index('module_config') + 1]}"
    return " ".join(words[:2]).replace("billing", "rating")


def _name(route: Route) -> str:
    words = re.sub(r"[{}]", "", re.sub(r"/{", "/by_", route.path))
    return "_".join([route.method.lower(), *re.findall(r"\w+", words)])


def _guarded(route: Route) -> bool:
    return route.path not in ("/v1", "/v2")


def _arguments(exposure: TypedExposure) -> list[FunctionArgument]:
    definition = exposure.definition
    arguments: list[FunctionArgument] = definition.arguments
    return arguments[:-1] if definition.body_type is not None else arguments


def _in_path(name: str, word: str, described: Schema) -> Part:
    is_text = described.get("type") == "string" and set(described) <= {
        "type",
        "minLength",
        "maxLength",
    }
    found = {**described, **_NOT_IN_A_SEGMENT} if is_text else described
    told = {} if name == word else {"description": f"The `{name}`."}
    return {"name": word, "in": "path", "required": True, "schema": found, **told}


def _in_query(name: str, described: Schema, required: bool, default: Any) -> Part:
    told: Part = {"name": name, "in": "query", "schema": {**described, **_default(default)}}
    if required:
        told["required"] = True
    if described.get("type") == "array":
        told |= {"style": "form", "explode": False}
    return told


def _default(value: Any) -> Mapping[str, Any]:
    if not isinstance(value, str | int) or isinstance(value, type):
        return {}
    return {"default": json.loads(json.dumps(value))}
