# SPDX-License-Identifier: Apache-2.0
"""Reads the query string and the JSON body of a v2 request.

Invariants: what is not declared is refused; nothing is guessed; every mistake of a request is told
at once, each with the name of its argument.
"""

import datetime
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from cloudkitty.rest import errors, schema, types
from cloudkitty.rest.request import Request
from cloudkitty.rest.schema import Schema

JSON_TYPE = "application/json"

MOST = 2**31 - 1
"""The largest whole number that any argument may be."""

_WHOLE = re.compile(r"-?[0-9]{1,19}", re.ASCII)

TRUE = ("1", "true", "yes", "on", "enable")
FALSE = ("0", "false", "no", "off", "disable")


@dataclass(frozen=True, slots=True)
class Reader:
    """Reads one value (``ValueError`` refuses it); ``schema`` is what clients should write, or a
    type that has such a schema."""

    read: Callable[[Any], Any]
    schema: Any

    def __call__(self, value: Any) -> Any:
        return self.read(value)


def reads(described: Any) -> Callable[[Callable[[Any], Any]], Reader]:
    """Make a function the reader of what is *described*."""
    return lambda read: Reader(read, described)


@dataclass(frozen=True, slots=True)
class Argument:
    """One argument: how its value is read, and what it is when it is not given."""

    name: str
    read: Reader
    default: Any = None
    required: bool = False
    null: bool = False
    """Whether JSON null means that it was not given."""


# -- values -----------------------------------------------------------------------------------


@reads(schema.TAKEN_INSTANT)
def instant(value: Any) -> datetime.datetime:
    return types.Instant.validate(value)


def text(least: int = 0, most: int = 255) -> Reader:
    """Return the reader of a text of that many characters; a whole number becomes its text."""
    kind = types.TextType(least, most)

    @reads(schema.bounded_text(least, most))
    def read(value: Any) -> str:
        if isinstance(value, int | Decimal) and not isinstance(value, bool):
            value = str(value)
        return kind.validate(value)

    return read


def whole(least: int, most: int = MOST) -> Reader:
    """Return the reader of a whole number in digits or as JSON, within these bounds."""

    @reads(_whole_number(least, most))
    def read(value: Any) -> int:
        if isinstance(value, str) and _WHOLE.fullmatch(value):
            value = int(value)
        return _bounded(value, least, most)

    return read


def json_whole(least: int, most: int = MOST) -> Reader:
    """Return the reader of a JSON whole number within these bounds."""
    return Reader(lambda value: _bounded(value, least, most), _whole_number(least, most))


def _whole_number(least: int, most: int) -> Schema:
    return {"type": "integer", "minimum": least, "maximum": most}


def _bounded(value: Any, least: int, most: int) -> int:
    if isinstance(value, Decimal) and value.adjusted() < 19 and value == value.to_integral_value():
        value = int(value)  # 5.0 is a whole number in JSON
    if isinstance(value, bool) or not isinstance(value, int):
        raise ValueError(f"{_shown(value)} is not a whole number")
    if not least <= value <= most:
        raise ValueError(f"{value} is not between {least} and {most}")
    return value


@reads({"type": "boolean"})
def flag(value: Any) -> bool:
    """Read a JSON boolean."""
    if not isinstance(value, bool):
        raise ValueError(f"{_shown(value)} is not true or false")
    return value


@reads({"type": "boolean"})
def worded_flag(value: Any) -> bool:
    """Read a JSON boolean, 0 or 1, or one of the usual words."""
    if isinstance(value, bool):
        return value
    word = str(value).lower() if isinstance(value, str | int) else ""
    if word in TRUE or word in FALSE:
        return word in TRUE
    raise ValueError(f"{_shown(value)} is not an unambiguous boolean")


def choice(*choices: str) -> Reader:
    """Return the reader of one of these texts."""

    @reads({"type": "string", "enum": [str(one) for one in choices]})
    def read(value: Any) -> str:
        if value not in choices:
            raise ValueError(f"{_shown(value)} is not one of {', '.join(choices)}")
        return str(value)

    return read


def _shown(value: Any) -> str:
    return repr(value if not isinstance(value, Decimal) else str(value))[:200]


# -- arguments in the query string ------------------------------------------------------------


def single(name: str, read: Reader, default: Any = None) -> Argument:
    """An argument that may be given once."""

    @reads(read.schema)
    def first(values: Sequence[str]) -> Any:
        if len(values) != 1:
            raise ValueError("length of value must be 1")
        return read(values[0])

    return Argument(name, first, default)


def listed(name: str, read: Reader) -> Argument:
    """An argument with values parted by commas, or given several times, or both."""
    return Argument(
        name,
        Reader(
            lambda values: [read(word) for word in _words(values)],
            _list_of(read.schema),
        ),
    )


def _list_of(item: Schema) -> Schema:
    if item.get("type") == "string" and "enum" not in item:
        item = {"pattern": "^[^,]*$", **item}
    return {"type": "array", "items": item, "minItems": 1}


def pairs(name: str, *, repeat: bool) -> Argument:
    """``key:value`` tokens, by key; *repeat* says whether a key may have several values."""
    read = text(most=MOST)

    @reads(_list_of({"type": "string", "pattern": "^[^:,]*:[^:,]*$"}))
    def parted(values: Sequence[str]) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {}
        for token in _words(values):
            key, colon, value = token.partition(":")
            if not colon or ":" in value:
                raise ValueError(f"{token[:200]!r} is not key:value")
            if key in found and not repeat:
                raise ValueError(f"{key[:200]!r} is given several times")
            found.setdefault(read(key), []).append(read(value))
        return found

    return Argument(name, parted, {})


def _words(values: Iterable[str]) -> list[str]:
    return [word for value in values for word in value.split(",")]


PAGE = (single("offset", whole(0), 0), single("limit", whole(1), 100))
WINDOW = (single("begin", instant), single("end", instant))


def read_query(arguments: Sequence[Argument], request: Request) -> dict[str, Any]:
    """Return the arguments of the query string by name.

    :raises errors.InvalidData: with everything that is wrong.
    """
    given: dict[str, Any] = {}
    for name, value in request.GET.items():
        given.setdefault(name, []).append(value)
    return _read(arguments, given)


# -- arguments in the body --------------------------------------------------------------------


def read_body(arguments: Sequence[Argument], request: Request) -> dict[str, Any]:
    """Return the members of the JSON body by name.

    :raises errors.NotJsonType: the body is of another type, or there is none.
    :raises errors.ApiError: it is not a JSON object.
    :raises errors.InvalidData: with everything that is wrong.
    """
    if request.content_type != JSON_TYPE:
        raise errors.NotJsonType()
    try:
        document = request.json
    except ValueError:
        raise errors.NotJson() from None
    if not isinstance(document, dict):
        raise errors.NotAnObject()
    return _read(arguments, document)


def _read(arguments: Sequence[Argument], given: Mapping[str, Any]) -> dict[str, Any]:
    declared = {argument.name for argument in arguments}
    problems = [
        f"extra keys not allowed (path: {_shown(name)})" for name in given if name not in declared
    ]
    values: dict[str, Any] = {}
    for argument in arguments:
        name = argument.name
        if name not in given or (argument.null and given[name] is None):
            values[name] = argument.default
            if argument.required:
                problems.append(f"required key not provided (path: {name!r})")
            continue
        try:
            values[name] = argument.read(given[name])
        except ValueError as error:
            problems.append(f"{error} (path: {name!r})")
    if problems:
        raise errors.InvalidData(problems="; ".join(problems))
    return values
