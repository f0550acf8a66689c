# SPDX-License-Identifier: Apache-2.0
"""The one place that makes Decimals, arithmetic contexts, rounding and text forms.

Invariants: an amount is a finite ``Decimal``; it never passes through binary floating
point; a sum loses no digit; two equal amounts have one text form.
"""

import decimal
from collections.abc import Iterable
from decimal import Decimal
from fractions import Fraction

ZERO = Decimal(0)
ONE = Decimal(1)

RATING = decimal.Context(
    prec=28,
    rounding=decimal.ROUND_HALF_EVEN,
    traps=[decimal.InvalidOperation, decimal.DivisionByZero, decimal.Overflow],
)
"""Arithmetic of rating modules: 28 significant digits an operation, half to even."""

INTEGER_DIGITS = 40
DECIMALS = 80

EXACT = decimal.Context(
    prec=2 * (INTEGER_DIGITS + DECIMALS) + 20,
    rounding=decimal.ROUND_HALF_EVEN,
    traps=[decimal.InvalidOperation, decimal.DivisionByZero, decimal.Overflow],
)
"""Arithmetic of the ledger: sums of storable amounts, and one multiplied by a count, are exact."""

TEXT_LENGTH = INTEGER_DIGITS + DECIMALS + 2
"""Longest text form: sign, digits and point."""

_QUANTUM = Decimal(1).scaleb(-DECIMALS)

Number = Decimal | int | float | str | Fraction


class NotAnAmount(ValueError):
    """The value is not a finite number, or is larger than the ledger can keep."""


def amount(value: object) -> Decimal:
    """Return the exact amount that *value* stands for.

    A binary float is read through its shortest text form (0.121 stays 0.121), a text as
    it is written. A fraction is rounded once, to 28 significant digits.

    :raises NotAnAmount: not a number, not finite, or too large.
    """
    if isinstance(value, Decimal):
        result = value
    elif isinstance(value, bool) or value is None:
        raise NotAnAmount(f"{value!r} is not a number")
    elif isinstance(value, int):
        result = Decimal(value)
    elif isinstance(value, Fraction):
        result = RATING.divide(Decimal(value.numerator), Decimal(value.denominator))
    else:
        try:
            result = Decimal(str(value).strip())
        except decimal.InvalidOperation:
            raise NotAnAmount(f"{value!r} is not a number") from None
    return _storable(result)


def _storable(value: Decimal) -> Decimal:
    if not value.is_finite():
        raise NotAnAmount(f"{value} is not a finite number")
    if not value:
        return ZERO
    if value.adjusted() >= INTEGER_DIGITS:
        raise NotAnAmount(f"{value} has more than {INTEGER_DIGITS} digits before the point")
    if value.adjusted() > -INTEGER_DIGITS and len(str(value)) <= DECIMALS - INTEGER_DIGITS:
        return value  # too few digits to reach beyond the last decimal
    exponent = value.as_tuple().exponent
    if isinstance(exponent, int) and exponent < -DECIMALS:
        return EXACT.quantize(value, _QUANTUM)
    return value


def text(value: Decimal) -> str:
    """Return the canonical text of an amount: no exponent, no trailing zeros, no ``-0``.

    Equal amounts have equal texts.

    :raises NotAnAmount: the value is not finite, or too large.
    """
    written = str(value)
    if "E" in written or len(written) > INTEGER_DIGITS or not written[-1].isdigit():
        written = format(amount(value), "f")
    return _plain(written)


def digits(value: Decimal) -> str:
    """Return the canonical text of a sum of amounts, which may be larger than an amount."""
    return _plain(format(value, "f"))


def _plain(written: str) -> str:
    if "." in written:
        written = written.rstrip("0").rstrip(".")
    return "0" if written == "-0" else written


def total(amounts: Iterable[Decimal]) -> Decimal:
    """Return the exact sum."""
    with decimal.localcontext(EXACT):
        return sum(amounts, ZERO)


def times(value: Decimal, count: int) -> Decimal:
    """Return the exact product of an amount and a number of periods."""
    return EXACT.multiply(value, Decimal(count))
