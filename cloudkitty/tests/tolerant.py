# SPDX-License-Identifier: Apache-2.0
"""What is understood beyond the schemas of the API's document, for clients of all years.

A request that breaks a schema may be accepted when it keeps to this one: booleans are also words,
0 and 1; numbers are also texts; an instant is any form of ISO 8601, an id any form of a UUID; an
empty value in the query string of version 1 was not given, and a list there may stand for the only
argument.
"""

import operator
import re
import urllib.parse
import uuid
from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any

import jsonschema

from cloudkitty import money, period
from cloudkitty.api.v2 import arguments
from cloudkitty.rest import types

WORDS = {*types.TRUE, *types.FALSE, *arguments.TRUE, *arguments.FALSE}


def _is_boolean(_checker: Any, value: Any) -> bool:
    return isinstance(value, bool) or str(value).lower() in WORDS


def _is_number(_checker: Any, value: Any) -> bool:
    if isinstance(value, bool):
        return True
    try:
        return isinstance(money.amount(value), Decimal)
    except money.NotAnAmount:
        return False


def _is_text(_checker: Any, value: Any) -> bool:
    return isinstance(value, str | int | float) and not isinstance(value, bool)


def _pattern(validator: Any, pattern: str, value: Any, schema: Any) -> Iterator[Any]:
    # How an amount or an instant is written is for those who read it.
    if "format" not in schema and isinstance(value, str) and not re.search(pattern, value):
        yield jsonschema.ValidationError(f"{value!r} does not match {pattern}")


def _bound(fits: Callable[[Decimal, Decimal], bool]) -> Any:
    def check(validator: Any, bound: int, value: Any, schema: Any) -> Iterator[Any]:
        counts = _is_number(None, value) and not isinstance(value, bool)
        if counts and not fits(money.amount(value), Decimal(bound)):
            yield jsonschema.ValidationError(f"{value!r} is out of bounds")

    return check


FORMATS = jsonschema.FormatChecker(formats=())


@FORMATS.checks("date-time", raises=ValueError)
@FORMATS.checks("date", raises=ValueError)
@FORMATS.checks("date-time-local", raises=ValueError)
def _is_instant(value: Any) -> bool:
    return isinstance(value, str) and bool(period.parse(value))


@FORMATS.checks("uuid", raises=(ValueError, AttributeError, TypeError))
def _is_uuid(value: Any) -> bool:
    return bool(uuid.UUID(value))


@FORMATS.checks("decimal", raises=ValueError)
def _is_amount(value: Any) -> bool:
    return isinstance(money.amount(int(value) if isinstance(value, bool) else value), Decimal)


Validator = jsonschema.validators.extend(
    jsonschema.Draft202012Validator,
    {
        "pattern": _pattern,
        "minimum": _bound(operator.ge),
        "maximum": _bound(operator.le),
        "exclusiveMinimum": _bound(operator.gt),
        "exclusiveMaximum": _bound(operator.lt),
    },
    type_checker=jsonschema.Draft202012Validator.TYPE_CHECKER.redefine_many(
        {
            "boolean": _is_boolean,
            "number": _is_number,
            "integer": _is_number,
            "string": _is_text,
        }
    ),
)


def problems(told: dict[str, Any], operation: dict[str, Any], url: str, body: Any) -> list[str]:
    """Return what is wrong with a request even so; *body* of ``None`` was not sent."""
    path, _, query = url.partition("?")
    given: dict[str, list[str]] = {}
    for name, value in urllib.parse.parse_qsl(query, keep_blank_values=True):
        given.setdefault(name, []).append(value)
    found = []
    for parameter in operation.get("parameters", ()):
        if parameter["in"] != "query":
            continue
        values = given.pop(parameter["name"], [])
        if parameter["schema"].get("type") == "array":
            wire: Any = [word for value in values for word in value.split(",")]
        else:
            wire = values[0] if values else None
        if not values or (wire == "" and "/v1/" in path):
            found += [f"{parameter['name']} is missing"] if parameter.get("required") else []
        else:
            found += _wrong(told, parameter["schema"], wire)
    found += [f"{name} is unknown" for name in given]
    content = operation.get("requestBody", {}).get("content", {})
    if content:
        taken = content["application/json"]["schema"]
        members = list(taken.get("properties", ()))
        if isinstance(body, list) and len(members) == 1 and "/v1/" in path:
            body = {members[0]: body}
        found += _wrong(told, taken, body)
    return found


def _wrong(told: dict[str, Any], schema: dict[str, Any], value: Any) -> list[str]:
    whole = {**schema, "components": told["components"]}
    wrong = Validator(whole, format_checker=FORMATS).iter_errors(value)
    return [f"{value!r}: {error.message}"[:500] for error in wrong]
