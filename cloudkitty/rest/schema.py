# SPDX-License-Identifier: Apache-2.0
"""What values look like in JSON, as JSON Schema: the pieces that both versions of the API share.

Invariant: what is taken may be wider than its schema, for clients of all years; what is given
never is.
"""

from dataclasses import dataclass
from typing import Any

from cloudkitty import money

Schema = dict[str, Any]


def taken_amount(digits: int) -> Schema:
    """Return the schema of an amount with at most that many digits before the point."""
    return {
        "type": ["string", "number"],
        "format": "decimal",
        "pattern": rf"^[+-]?[0-9]{{1,{digits}}}(\.[0-9]+)?$",
        "exclusiveMinimum": -(10**digits),
        "exclusiveMaximum": 10**digits,
        "description": "An exact decimal. A text, or a number that is read as it is written.",
    }


TAKEN_AMOUNT = taken_amount(money.INTEGER_DIGITS)

GIVEN_AMOUNT: Schema = {
    "type": "string",
    "format": "decimal",
    "pattern": r"^-?[0-9]+(\.[0-9]*[1-9])?$",
    "description": "An exact decimal with all its digits, as a text.",
}

GIVEN_NUMBER: Schema = {
    "type": "number",
    "format": "decimal",
    "description": "An exact decimal with all its digits; reading it as a binary float loses some.",
}

_LOCAL = (
    r"^[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])"
    r"[T ]([01][0-9]|2[0-3]):[0-5][0-9](:[0-5][0-9])?$"
)

TAKEN_INSTANT: Schema = {
    "type": "string",
    "anyOf": [
        {"format": "date-time"},
        {"format": "date"},
        {"format": "date-time-local", "pattern": _LOCAL},
    ],
    "description": "An instant by ISO 8601; without an offset it is UTC, and a date is midnight.",
}

GIVEN_INSTANT: Schema = {"type": "string", "format": "date-time", "description": "An instant, UTC."}

GIVEN_NAIVE_INSTANT: Schema = {
    "type": "string",
    "format": "date-time-local",
    "pattern": r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}$",
    "description": "An instant, UTC, without an offset.",
}

ANYTHING: Schema = {}


@dataclass(frozen=True, eq=False)
class Told:
    """What an annotation says of a type beyond its name: ``Annotated[str, Told(GIVEN_AMOUNT)]``."""

    schema: Schema


def nullable(schema: Schema) -> Schema:
    """Return the schema of what *schema* describes, or null."""
    kind = schema.get("type")
    if kind is None or "enum" in schema:
        return schema if schema == ANYTHING else {"anyOf": [schema, {"type": "null"}]}
    kinds = kind if isinstance(kind, list) else [kind]
    if "anyOf" in schema:
        return {"anyOf": [schema, {"type": "null"}]}
    return {**schema, "type": [*kinds, *(["null"] if "null" not in kinds else [])]}


def bounded_text(least: int = 0, most: int | None = None) -> Schema:
    """Return the schema of a text of that many characters."""
    bounds = {"minLength": least or None, "maxLength": most}
    return {"type": "string", **{name: bound for name, bound in bounds.items() if bound}}
