# SPDX-License-Identifier: Apache-2.0
"""Building blocks for the schemas of metric definitions and of collectors' ``extra_args``.

Invariants: a validator returns the value in the form that the program uses, or raises
``voluptuous.Invalid`` saying what would be right; a record reports all its mistakes at once.
"""

import difflib
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from decimal import Decimal
from fractions import Fraction
from typing import Any

import voluptuous as vol

from cloudkitty import money
from cloudkitty.expression import Expression, ExpressionError

Validator = Callable[[Any], Any]


def record(fields: Mapping[vol.Marker, Validator]) -> Validator:
    """Return a validator of a map with these keys; an unknown key is answered with the nearest
    known one."""
    known = [str(marker.schema) for marker in fields]
    inner = vol.Schema(dict(fields), extra=vol.REMOVE_EXTRA)

    def check(form: object) -> dict[str, Any]:
        if not isinstance(form, Mapping):
            raise vol.Invalid(f"must be a map with keys of {_listed(known)}")
        errors: list[vol.Invalid] = [
            vol.Invalid(unknown(key, known, "key"), path=[key]) for key in form if key not in known
        ]
        try:
            checked: dict[str, Any] = inner(dict(form))
        except vol.MultipleInvalid as error:
            errors += error.errors
        if errors:
            raise vol.MultipleInvalid(errors)
        return checked

    return check


def unknown(name: object, known: Iterable[str], noun: str) -> str:
    """Return the sentence about a name that does not exist: the nearest real one, or all."""
    names = sorted(known)
    near = difflib.get_close_matches(str(name), names, n=1)
    hint = f"did you mean {near[0]!r}?" if near else f"there are: {_listed(names)}"
    return f"unknown {noun} {str(name)!r}; {hint}"


def problems(error: vol.Invalid, *place: object) -> list[str]:
    """Return one line for every mistake in *error*, each with its path below *place*."""
    errors = error.errors if isinstance(error, vol.MultipleInvalid) else [error]
    return [problem(one.msg, *place, *one.path) for one in errors]


def problem(message: str, *place: object) -> str:
    """Return the line for one mistake; an index in a path is shown as ``[0]``."""
    parts = [f"[{part}]" if isinstance(part, int) else str(part) for part in place]
    return f"{' -> '.join(parts)}: {message}"


def text(value: object) -> str:
    """A text of at least one character."""
    if not isinstance(value, str):
        raise vol.Invalid(f"must be a text, not {_shown(value)}; put it in quotes")
    if not value:
        raise vol.Invalid("must not be empty")
    return value


def expression(value: object) -> Expression:
    """A condition on a point; ``False`` and ``True`` need no quotes."""
    try:
        return Expression.read(text(str(value) if isinstance(value, bool) else value))
    except ExpressionError as error:
        raise vol.Invalid(str(error)) from None


def ratio(value: object) -> Fraction:
    """A number, or a fraction of two numbers such as ``1/1048576``, without loss."""
    dividend, slash, divisor = str(value).partition("/")
    try:
        if isinstance(value, bool) or not isinstance(value, str | int | Decimal):
            raise money.NotAnAmount
        top = Fraction(money.amount(dividend))
        bottom = Fraction(money.amount(divisor)) if slash else Fraction(1)
    except money.NotAnAmount:
        raise vol.Invalid(
            f"must be a number or a fraction like 1/1048576, not {_shown(value)}"
        ) from None
    if not bottom:
        raise vol.Invalid(f"{value} divides by zero")
    return top / bottom


def positive(value: object) -> int:
    """A whole number of at least one."""
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise vol.Invalid(f"must be a whole number of at least 1, not {_shown(value)}")
    return value


def names(value: object) -> tuple[str, ...]:
    """A list of texts, each once."""
    if not isinstance(value, list | tuple):
        raise vol.Invalid(f"must be a list of texts, like [{_example(value)}]")
    errors: list[vol.Invalid] = []
    for index, name in enumerate(value):
        try:
            text(name)
        except vol.Invalid as error:
            errors.append(vol.Invalid(error.msg, path=[index]))
        else:
            if name in value[:index]:
                errors.append(vol.Invalid(f"{name!r} is listed twice", path=[index]))
    if errors:
        raise vol.MultipleInvalid(errors)
    return tuple(value)


def number_map(value: object) -> dict[Decimal, Decimal]:
    """A map of numbers to numbers, at least one."""
    if not isinstance(value, Mapping) or not value:
        raise vol.Invalid("must be a map of number to number, like {0: 1, 11: 1}")
    errors: list[vol.Invalid] = []
    numbers: dict[Decimal, Decimal] = {}
    for key, mapped in value.items():
        try:
            number = money.amount(key)
            if number in numbers:
                raise vol.Invalid(f"{number} is given twice")
            numbers[number] = money.amount(mapped)
        except money.NotAnAmount as error:
            errors.append(vol.Invalid(str(error), path=[str(key)]))
        except vol.Invalid as error:
            errors.append(vol.Invalid(error.msg, path=[str(key)]))
    if errors:
        raise vol.MultipleInvalid(errors)
    return numbers


def mapping(value: object) -> Mapping[str, Any]:
    """A map with texts as keys."""
    if not isinstance(value, Mapping) or not all(isinstance(key, str) for key in value):
        raise vol.Invalid("must be a map")
    return value


def one_of(choices: Sequence[str]) -> Validator:
    """Return a validator of one text out of several."""

    def check(value: object) -> str:
        if not isinstance(value, str) or value not in choices:
            raise vol.Invalid(f"must be one of {_listed(choices)}, not {_shown(value)}")
        return value

    return check


def _listed(values: Iterable[Hashable]) -> str:
    return ", ".join(map(str, values))


def _shown(value: object) -> str:
    return str(value) if isinstance(value, Decimal) else repr(value)


def _example(value: object) -> str:
    return value if isinstance(value, str) and value else "project_id, user_id"
