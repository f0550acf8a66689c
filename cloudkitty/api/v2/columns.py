# SPDX-License-Identifier: Apache-2.0
"""The columns of a summary: ``custom_fields`` and group-by names.

Invariant: the grammar knows five functions of two fields and nothing else; no text of a client
reaches a database as anything but a value.
"""

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal

from cloudkitty import money
from cloudkitty.api.v2.arguments import reads
from cloudkitty.rest import errors
from cloudkitty.storage.base import GROUP_SCOPE, GROUP_TIME, TotalRow

_FIELD = re.compile(
    r"\s*(?P<function>[a-z]+)\s*\(\s*(?P<field>[a-z]+)\s*\)\s+as\s+(?P<alias>[a-z_][a-z0-9_]*)\s*",
    re.ASCII | re.IGNORECASE,
)

_TIME = {
    "time": GROUP_TIME,
    "time-d": "day_of_the_year",
    "time-w": "week_of_the_year",
    "time-m": "month",
    "time-y": "year",
}


def _mean(total: Decimal, points: int) -> Decimal:
    return money.RATING.divide(total, Decimal(points))


def _extreme(name: str) -> Callable[[TotalRow], Decimal]:
    return lambda row: getattr(row.extremes, name)


_FUNCTIONS: dict[tuple[str, str], Callable[[TotalRow], Decimal]] = {
    ("SUM", "qty"): lambda row: row.qty,
    ("SUM", "price"): lambda row: row.price,
    ("AVG", "qty"): lambda row: _mean(row.qty, row.points),
    ("AVG", "price"): lambda row: _mean(row.price, row.points),
    ("COUNT", "qty"): lambda row: Decimal(row.points),
    ("COUNT", "price"): lambda row: Decimal(row.points),
    ("MIN", "qty"): _extreme("min_qty"),
    ("MAX", "qty"): _extreme("max_qty"),
    ("MIN", "price"): _extreme("min_price"),
    ("MAX", "price"): _extreme("max_price"),
}

_SYNONYMS = {"MEAN": "AVG"}


@dataclass(frozen=True, slots=True)
class Column:
    """A column that is computed from the points of a group; a mean has 28 significant digits."""

    name: str
    value: Callable[[TotalRow], Decimal]
    needs_extremes: bool = False


DEFAULT = (
    Column("qty", _FUNCTIONS["SUM", "qty"]),
    Column("rate", _FUNCTIONS["SUM", "price"]),
)


def _fields_pattern() -> str:
    functions = sorted({function for function, _ in _FUNCTIONS} | set(_SYNONYMS))
    fields = sorted({field for _, field in _FUNCTIONS})
    part = rf"({'|'.join(functions)})\(({'|'.join(fields)})\) AS [a-z_][a-z0-9_]*"
    return f"^{part}(, ?{part})*$"


@reads({"type": "string", "pattern": _fields_pattern()})
def read_fields(written: str) -> tuple[Column, ...]:
    """Read ``FUNCTION(field) AS alias`` parts, separated by commas.

    :raises ValueError: with every part that is wrong.
    """
    columns = []
    problems = []
    for part in written.split(","):
        column = _column(part)
        if column is None:
            problems.append(
                f"{part.strip()[:200]!r} is not FUNCTION(field) AS name, where the function is "
                "SUM, MIN, MAX, AVG, MEAN or COUNT and the field is qty or price"
            )
        else:
            columns.append(column)
    if problems:
        raise ValueError("; ".join(problems))
    return tuple(columns)


def _column(part: str) -> Column | None:
    found = _FIELD.fullmatch(part)
    if found is None:
        return None
    function = found["function"].upper()
    function = _SYNONYMS.get(function, function)
    value = _FUNCTIONS.get((function, found["field"].lower()))
    return value and Column(found["alias"], value, function in ("MIN", "MAX"))


def storage_groups(names: Iterable[str], scope_key: str) -> dict[str, str]:
    """Return what the store calls each group, by its column, each once and in order.

    :raises errors.InvalidTimeGroup: there is no such stretch of time.
    """
    groups: dict[str, str] = {}
    for name in names:
        if name == scope_key:
            groups[name] = GROUP_SCOPE
        elif name.startswith("time-") and name.count("-") == 1 and name not in _TIME:
            raise errors.InvalidTimeGroup(name=name)
        elif name:
            word = _TIME.get(name, name)
            groups[word] = word
    return groups


def check_unique(fields: Sequence[Column], groups: Iterable[str]) -> None:
    """Make sure that no two columns of a summary have one name.

    :raises errors.InvalidData: some have.
    """
    names = ["begin", "end", *(column.name for column in fields), *groups]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise errors.InvalidData(problems=f"several columns are called {', '.join(twice)}")
