# SPDX-License-Identifier: Apache-2.0
"""The stored form of a series: canonical JSON of its attributes, and the digest that it is
known by within its scope.

Invariant: equal series have equal forms and digests, in every process and release.
"""

import hashlib
import json
from collections.abc import Sequence
from json.encoder import encode_basestring
from operator import itemgetter
from typing import Any, NamedTuple, cast

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


class _Form:
    """What the stored forms of a shape's series share."""

    __slots__ = ("_groupby", "_groupby_names", "_head", "_metadata", "_metadata_names", "_shape")

    def __init__(self, shape: Shape) -> None:
        self._shape = shape
        self._head = json.dumps([shape.metric, shape.unit, shape.description])
        self._groupby_names = _names(shape.groupby, 0)
        self._metadata_names = _names(shape.metadata, len(shape.groupby))
        self._groupby = _Template(self._groupby_names)
        self._metadata = _Template(self._metadata_names)

    def of(self, series: Series) -> StoredSeries:
        if series.has_texts_only:
            # Nearly all are, and nothing is done in Python for each text of these.
            written = [*map(encode_basestring, cast("tuple[str, ...]", series.values))]
            groupby, metadata = self._groupby.filled(written), self._metadata.filled(written)
        else:
            groupby = _members(self._groupby_names, series.values)
            metadata = _members(self._metadata_names, series.values)
        # JSON never leaves a line break bare, so it parts the fields.
        content = f"{self._head}\n{groupby}\n{metadata}"
        digest = hashlib.blake2b(content.encode(), digest_size=16).digest()
        shape = self._shape
        return StoredSeries(digest, shape.metric, shape.unit, shape.description, groupby, metadata)


class _Template:
    """A JSON object of which only the members' values are missing."""

    __slots__ = ("_pick", "_text")

    def __init__(self, names: Names) -> None:
        starts = [start.replace("%", "%%") + "%s" for _place, start in names]
        self._text = "{" + ",".join(starts) + "}"
        places = [place for place, _start in names]
        # A getter of one item gives it bare, which a template takes as well.
        self._pick = itemgetter(*places) if places else None

    def filled(self, written: Sequence[str]) -> str:
        return "{}" if self._pick is None else self._text % self._pick(written)


class Encoder:
    """Makes stored forms; what all series of a shape share is made once."""

    def __init__(self) -> None:
        self._forms: dict[Shape, _Form] = {}

    def stored_form(self, series: Series) -> StoredSeries:
        form = self._forms.get(series.shape)
        if form is None:
            form = self._forms.setdefault(series.shape, _Form(series.shape))
        return form.of(series)


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
