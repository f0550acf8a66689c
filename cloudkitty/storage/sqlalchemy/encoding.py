# SPDX-License-Identifier: Apache-2.0
"""The stored form of a series: canonical JSON of its attributes, and the digest that it is
known by within its scope.

Invariant: equal series have equal forms and digests, in every process and release.
"""

import hashlib
import json
from collections.abc import Sequence
from json.encoder import encode_basestring
from typing import Any, NamedTuple

from cloudkitty.dataframe import Registry, Scalar, Series, Shape

Names = list[tuple[int, str]]
"""Attributes in the order of their names: place among the values, and the start of the member."""


class StoredSeries(NamedTuple):
    """The columns of a series' row, but for its keys."""

    digest: bytes
    metric: str
    unit: str
    description: str | None
    groupby: str
    metadata: str


class Encoder:
    """Makes stored forms; what all series of a shape share is made once."""

    def __init__(self) -> None:
        self._shapes: dict[Shape, tuple[str, Names, Names]] = {}

    def stored_form(self, series: Series) -> StoredSeries:
        shape = series.shape
        known = self._shapes.get(shape)
        if known is None:
            known = self._shapes.setdefault(shape, _prepared(shape))
        head, groupby_names, metadata_names = known
        groupby = _members(groupby_names, series.values)
        metadata = _members(metadata_names, series.values)
        # JSON never leaves a line break bare, so it parts the fields.
        content = f"{head}\n{groupby}\n{metadata}"
        digest = hashlib.blake2b(content.encode(), digest_size=16).digest()
        return StoredSeries(digest, shape.metric, shape.unit, shape.description, groupby, metadata)


def _prepared(shape: Shape) -> tuple[str, Names, Names]:
    head = json.dumps([shape.metric, shape.unit, shape.description])
    return head, _names(shape.groupby, 0), _names(shape.metadata, len(shape.groupby))


def _names(names: Sequence[str], first: int) -> Names:
    places = sorted((name, first + place) for place, name in enumerate(names))
    return [(place, f"{encode_basestring(name)}:") for name, place in places]


def _members(names: Names, values: Sequence[Scalar]) -> str:
    members = []
    for place, start in names:
        value = values[place]
        written = encode_basestring(value) if isinstance(value, str) else json.dumps(value)
        members.append(start + written)
    return "{" + ",".join(members) + "}"


def series_of(row: Any, registry: Registry) -> Series:
    """Return the series that a row (with the columns of ``StoredSeries``) stands for."""
    return registry.series(
        row.metric,
        unit=row.unit,
        description=row.description,
        groupby=json.loads(row.groupby),
        metadata=json.loads(row.metadata),
    )
