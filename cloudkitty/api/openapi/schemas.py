# SPDX-License-Identifier: Apache-2.0
"""JSON Schema of the program's types: those of typed REST, and annotations.

Invariants: a class with members becomes one named component, however often it is used; what is
taken is closed (an unknown member is refused), what is given is open (new members may come).
"""

import collections.abc
import datetime
import enum
import inspect
import types
import typing
from decimal import Decimal
from typing import Any

import wsme.types

from cloudkitty.rest import objects, schema
from cloudkitty.rest.schema import Schema
from cloudkitty.rest.streams import Streamed

_PLAIN: dict[Any, Schema] = {
    None: {"type": "null"},
    type(None): {"type": "null"},
    str: {"type": "string"},
    bool: {"type": "boolean"},
    int: {"type": "integer"},
    float: {"type": "number"},
    Decimal: schema.GIVEN_NUMBER,
    datetime.datetime: schema.GIVEN_INSTANT,
    Any: schema.ANYTHING,
    object: schema.ANYTHING,
}

_ARRAYS = (list, collections.abc.Sequence)
_MAPS = (dict, collections.abc.Mapping)
_UNIONS = (typing.Union, types.UnionType)

_OF_ALL = ("cloudkitty.api.", "cloudkitty.rest.")
_NO_PART = {"cloudkitty", "api", "rating", "types", "controllers"}


class Schemas:
    """Makes schemas, and keeps those that have a name as ``components``."""

    def __init__(self) -> None:
        self.components: dict[str, Schema] = {}
        self._named: dict[tuple[type, bool], str] = {}

    # -- types of typed REST ------------------------------------------------------------------

    def of_value(self, datatype: Any, *, taken: bool = False) -> Schema:
        """Return the schema of a type of ``cloudkitty.rest.types``, of a list or of an object."""
        if isinstance(datatype, wsme.types.ArrayType):
            return {"type": "array", "items": self.of_value(datatype.item_type, taken=taken)}
        if wsme.types.iscomplex(datatype):
            return self._component(datatype, taken, self._members)
        found: Schema = datatype.taken if taken else datatype.given
        return found

    def _members(self, datatype: Any, taken: bool) -> Schema:
        properties = {}
        required = []
        for attribute in wsme.types.list_attributes(datatype):
            if taken and attribute.readonly:
                continue
            member = self.of_value(attribute.datatype, taken=taken)
            may_be_null = not attribute.mandatory if taken else attribute.default is None
            properties[attribute.name] = schema.nullable(member) if may_be_null else member
            if attribute.mandatory if taken else not objects.may_be_missing(attribute):
                required.append(attribute.name)
        return _object(properties, required)

    # -- annotations --------------------------------------------------------------------------

    def of(self, annotation: Any, *, taken: bool = False) -> Schema:
        """Return the schema of an annotation; one that is a schema already stays as it is.

        :raises TypeError: it has none.
        """
        if isinstance(annotation, dict):
            return annotation
        if annotation in _PLAIN:
            return _PLAIN[annotation]
        if typing.is_typeddict(annotation):
            return self._component(annotation, taken, self._typed_members)
        if isinstance(annotation, type) and issubclass(annotation, enum.StrEnum):
            return {"type": "string", "enum": [str(one) for one in annotation]}
        return self._generic(annotation, taken)

    def _generic(self, annotation: Any, taken: bool) -> Schema:
        origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
        if origin is typing.Annotated:
            kind, told = arguments
            more = told.schema
            return more if "type" in more else {**self.of(kind, taken=taken), **more}
        if origin is typing.Literal:
            return {"type": "string", "enum": list(arguments)}
        if origin in _UNIONS:
            return _any_of([self.of(one, taken=taken) for one in arguments])
        if origin in (typing.NotRequired, Streamed):
            return self.of(arguments[0], taken=taken)
        if origin in _ARRAYS:
            return {"type": "array", "items": self.of(arguments[0], taken=taken)}
        if origin in _MAPS:
            values = self.of(arguments[1], taken=taken)
            return {"type": "object", **({"additionalProperties": values} if values else {})}
        raise TypeError(f"{annotation} has no schema")

    def _typed_members(self, kind: Any, taken: bool) -> Schema:
        hints = typing.get_type_hints(kind, include_extras=True)
        properties = {name: self.of(hint, taken=taken) for name, hint in hints.items()}
        return _object(properties, [name for name in properties if name in kind.__required_keys__])

    # -- names --------------------------------------------------------------------------------

    def _component(self, kind: Any, taken: bool, describe: Any) -> Schema:
        name = self._named.get((kind, taken))
        if name is None:
            name = self._free_name(kind, taken)
            self._named[kind, taken] = name
            self.components[name] = {}
            told = describe(kind, taken)
            if kind.__doc__:
                told["description"] = text(kind)
            if taken:
                told["additionalProperties"] = False
            self.components[name] = told
        return {"$ref": f"#/components/schemas/{name}"}

    def _free_name(self, kind: type, taken: bool) -> str:
        """Return a name that says where a class is from; two classes never have the same."""
        parts = [part for part in kind.__module__.split(".") if part not in _NO_PART]
        place = [part.upper() for part in parts if part in ("v1", "v2")]
        if not place and not kind.__module__.startswith(_OF_ALL):
            place = [part.capitalize() for part in parts[-1:]]
        end = "Input" if taken else ""
        name = "".join((*place, kind.__name__.removesuffix("Form"), end))
        if name in self.components:
            name = f"{kind.__module__}.{kind.__name__}{end}"
        return name


def text(documented: Any) -> str:
    """Return a docstring without what is only for programmers, in the words of Markdown."""
    told = inspect.getdoc(documented) or ""
    return told.partition("\n:raises")[0].strip().replace("``", "`")


def _object(properties: dict[str, Schema], required: list[str]) -> Schema:
    told: Schema = {"type": "object", "properties": properties}
    if required:
        told["required"] = required
    return told


def _any_of(schemas: list[Schema]) -> Schema:
    flat = [
        one for many in schemas for one in (many["anyOf"] if set(many) == {"anyOf"} else [many])
    ]
    different = [one for place, one in enumerate(flat) if one not in flat[:place]]
    if len(different) == 1:
        return different[0]
    if all(set(one) == {"type"} for one in different):
        return {"type": [one["type"] for one in different]}
    return {"anyOf": different}
