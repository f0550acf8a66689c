# SPDX-License-Identifier: Apache-2.0
"""Which columns the points of an existing service are read with, and what a row of them says. Pure.

Invariant: every attribute of a point is kept, those that its own lists forget too; a field that has
had several types is read as each of them.
"""

from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any

from cloudkitty.dataframe import Scalar, scalar
from cloudkitty.importer.influxdb import statements
from cloudkitty.importer.usage import Described, without_calendar


class Layout:
    """The tags that there are, and the fields with the types that they have had."""

    def __init__(self, tags: Sequence[str], types: Mapping[str, Sequence[str]]) -> None:
        self.tags = [name for name in tags if name != statements.TYPE]
        self._fields: list[str] = []
        self.columns = [
            *(f"{statements.name(name)}::field" for name in _FIRST),
            statements.tag(statements.TYPE),
            *(f"{statements.name(name)}::field" for name in _SECOND),
            *map(statements.tag, self.tags),
        ]
        for name in types:
            if name not in statements.OWN:
                columns = statements.fields(types, name)
                self.columns += columns
                self._fields += [name] * len(columns)

    def described(self, what: Sequence[Any]) -> Described:
        """Return what a row is about; *what* are its columns from the metric on."""
        metric, unit, description, groupby, metadata, *values = what
        own = {
            statements.UNIT: unit,
            statements.DESCRIPTION: description,
        }
        tags = dict(_present(self.tags, values))
        fields = dict(_present(self._fields, values[len(self.tags) :]))
        named = {name: tags.pop(name, "") for name in _listed(groupby) if name != statements.TYPE}
        known = {name: fields.pop(name, own.get(name)) for name in _listed(metadata)}
        return Described(
            metric or "",
            unit or "",
            _scalars(without_calendar(named | tags)),
            _scalars(known | fields),
            description or None,
        )


_FIRST = (statements.QTY, statements.PRICE, statements.PERIOD)
_SECOND = (statements.UNIT, statements.DESCRIPTION, statements.GROUPBY, statements.METADATA)


def _present(names: Sequence[str], values: Sequence[Any]) -> Iterator[tuple[str, Any]]:
    return (pair for pair in zip(names, values, strict=False) if pair[1] is not None)


def _listed(text: str | None) -> list[str]:
    return text.split(statements.BAR) if text else []


def _scalars(attributes: Mapping[str, Any]) -> dict[str, Scalar]:
    # Attributes are no amounts: a number is the one that JSON of it would be read as.
    return {
        name: scalar(float(value) if isinstance(value, Decimal) else value)
        for name, value in attributes.items()
    }
