# SPDX-License-Identifier: Apache-2.0
"""What types of the program look like in the document of the API."""

import datetime
import enum
from decimal import Decimal
from typing import Annotated, Any, Literal, NotRequired, TypedDict

import pecan
import pytest
import wsme.types
from pecan.rest import RestController

from cloudkitty.api.openapi import guests
from cloudkitty.api.openapi.schemas import Schemas, text
from cloudkitty.rest import objects, schema, types
from cloudkitty.rest.schema import Told
from cloudkitty.rest.streams import Streamed


class Colour(enum.StrEnum):
    RED = "red"
    BLUE = "blue"


class Part(TypedDict):
    """A part of ``it``.

    :raises ValueError: never.
    """

    price: Decimal
    note: NotRequired[str | None]


class Thing(wsme.types.Base):  # type: ignore[misc]
    """Something."""

    thing_id = types.Uuid
    name = objects.mandatory(types.TextType(1, 5))
    colour = objects.optional(types.ChoiceType("red", "blue"))
    source = objects.withheld(types.Text)
    made = wsme.types.wsattr(types.Instant, readonly=True)


@pytest.mark.parametrize(
    ("annotation", "expected"),
    [
        (str, {"type": "string"}),
        (str | None, {"type": ["string", "null"]}),
        (bool | int, {"type": ["boolean", "integer"]}),
        (Any, {}),
        (list[int], {"type": "array", "items": {"type": "integer"}}),
        (dict[str, Any], {"type": "object"}),
        (dict[str, bool], {"type": "object", "additionalProperties": {"type": "boolean"}}),
        (Literal["a", "b"], {"type": "string", "enum": ["a", "b"]}),
        (Colour, {"type": "string", "enum": ["red", "blue"]}),
        (Decimal, schema.GIVEN_NUMBER),
        (datetime.datetime, schema.GIVEN_INSTANT),
        (
            Annotated[str, Told({"type": "string", "format": "x"})],
            {"type": "string", "format": "x"},
        ),
        (
            Annotated[list[str], Told({"minItems": 1})],
            {"type": "array", "items": {"type": "string"}, "minItems": 1},
        ),
        ({"type": "integer"}, {"type": "integer"}),
    ],
)
def test_annotations(annotation: Any, expected: Any) -> None:
    assert Schemas().of(annotation) == expected


def test_what_has_no_schema() -> None:
    with pytest.raises(TypeError, match="has no schema"):
        Schemas().of(set[str])


def test_a_class_with_members_is_one_component() -> None:
    schemas = Schemas()
    reference = schemas.of(Part)
    assert schemas.of(Part | Streamed[Part]) == reference
    [component] = schemas.components.values()
    assert component == {
        "type": "object",
        "properties": {"price": schema.GIVEN_NUMBER, "note": {"type": ["string", "null"]}},
        "required": ["price"],
        "description": "A part of `it`.",
    }


def test_what_is_taken_is_closed_and_what_is_given_is_whole() -> None:
    schemas = Schemas()
    schemas.of_value(Thing, taken=True)
    schemas.of_value(Thing)
    [taken, given] = schemas.components.values()
    colour = {"anyOf": [{"type": "string", "enum": ["red", "blue"]}, {"type": "null"}]}
    assert taken == {
        "type": "object",
        "properties": {
            "thing_id": {"type": ["string", "null"], "format": "uuid"},
            "name": {"type": "string", "minLength": 1, "maxLength": 5},
            "colour": colour,
            "source": {"type": ["string", "null"]},
        },
        "required": ["name"],
        "additionalProperties": False,
        "description": "Something.",
    }
    assert given["required"] == ["thing_id", "name", "colour", "made"]
    assert given["properties"]["colour"] == colour
    assert given["properties"]["made"] == schema.GIVEN_NAIVE_INSTANT
    assert "additionalProperties" not in given


def test_classes_with_one_name_stay_apart() -> None:
    schemas = Schemas()
    other = TypedDict("Part", {"name": str})  # noqa: UP013 - the same name again
    assert schemas.of(Part) != schemas.of(other)
    assert len(schemas.components) == 2


def test_docstrings_without_what_is_for_programmers() -> None:
    assert text(Part) == "A part of `it`."


class Below(RestController):  # type: ignore[misc]
    @pecan.expose("json")
    def get_all(self, wall_id: str) -> None:
        """List."""


class House(RestController):  # type: ignore[misc]
    windows = Below()

    @pecan.expose("json")
    def get(self, wall_id: str | None = None) -> None:
        """Show one, or all."""

    @pecan.expose("json")
    def put(self, wall_id: str, colour: str = "red") -> None: ...

    @pecan.expose("json")
    def post(self, **wanted: str) -> None: ...

    def delete(self, wall_id: str) -> None:
        """Not exposed."""


def test_controllers_of_the_framework_itself() -> None:
    found = [(one.method, one.path, one.told) for one in guests.walk(House())]
    assert found == [
        ("GET", "", "Show one, or all."),
        ("GET", "/{wall_id}", "Show one, or all."),
        ("POST", "", ""),
        ("PUT", "/{wall_id}", ""),
        ("GET", "/windows", "List."),
    ]
