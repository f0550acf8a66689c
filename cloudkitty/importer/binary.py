# SPDX-License-Identifier: Apache-2.0
"""What a binary fraction that a database has stored stands for. Pure.

Invariants: a stored fraction stands for the shortest decimal that is stored as it: whatever was
written with up to 15 significant digits (6 where the column is of single precision) comes back
exactly; what the database's own arithmetic with such fractions can be off by has a bound.
"""

import struct
from decimal import Decimal

from cloudkitty import money

_SINGLE_DIGITS = range(6, 10)
"""Six digits always survive single precision; nine always identify one."""

_DOUBLE_ROUNDING = Decimal(2) ** -53
_SINGLE_ROUNDING = Decimal(2) ** -24


def amount(stored: object, single: bool) -> Decimal:
    """Return the amount that *stored* (a number, or its text) stands for; *single* says that the
    column has single precision.

    :raises money.NotAnAmount: it is none.
    """
    try:
        value = stored if isinstance(stored, float) else float(str(stored))
    except ValueError:
        raise money.NotAnAmount(f"{stored!r} is not a number") from None
    return money.amount(_shortest_single(value) if single else value)


def _shortest_single(value: float) -> str:
    for digits in _SINGLE_DIGITS:
        text = f"{value:.{digits}g}"
        if _as_single(float(text)) == _as_single(value):
            return text
    return repr(value)


def _as_single(value: float) -> bytes:
    try:
        return struct.pack("<f", value)
    except OverflowError:
        return b""


def explains(reported: Decimal, exact: Decimal, absolute: Decimal, rows: int, single: bool) -> bool:
    """Whether binary arithmetic can have made *reported* out of what is *exact*ly the sum of
    *rows* amounts whose absolute values add up to *absolute*.

    Each amount was rounded once when it was stored, and the running sum once for each row.
    """
    stored = _SINGLE_ROUNDING if single else _DOUBLE_ROUNDING
    with_reading = 2 * stored + (rows + 1) * 2 * _DOUBLE_ROUNDING
    return abs(reported - exact) <= absolute * with_reading
