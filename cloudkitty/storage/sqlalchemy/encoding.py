# SPDX-License-Identifier: Apache-2.0
"""The stored form of a series: canonical JSON of its attributes, and the digest that it is
known by within its scope.

Invariant: equal series have equal forms and digests, in every process and release.
"""

import hashlib
import json
from typing import Any

from cloudkitty.dataframe import Registry, Series

_SEPARATORS = (",", ":")


def attributes_text(attributes: dict[str, Any]) -> str:
    """Return the canonical JSON of a map of attributes."""
    return json.dumps(attributes, sort_keys=True, ensure_ascii=False, separators=_SEPARATORS)


def stored_form(series: Series) -> dict[str, Any]:
    """Return the columns of the series' row, but for its keys."""
    groupby = attributes_text(series.groupby)
    metadata = attributes_text(series.metadata)
    # A character that JSON never leaves bare parts the fields.
    content = "\n".join(
        (json.dumps([series.metric, series.unit, series.description]), groupby, metadata)
    )
    return {
        "digest": hashlib.blake2b(content.encode(), digest_size=16).digest(),
        "metric": series.metric,
        "unit": series.unit,
        "description": series.description,
        "groupby": groupby,
        "metadata": metadata,
    }


def series_of(row: Any, registry: Registry) -> Series:
    """Return the series that a row (with the columns of ``stored_form``) stands for."""
    return registry.series(
        row.metric,
        unit=row.unit,
        description=row.description,
        groupby=json.loads(row.groupby),
        metadata=json.loads(row.metadata),
    )
