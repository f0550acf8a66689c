# SPDX-License-Identifier: Apache-2.0
"""Points that are sent to the API, priced already.

Invariants: a request is kept whole or not at all; a point that is sent again (same series, same
period) replaces itself. Such points are beside what the processor rates, which never touches
them, and they are seen in every report of their scope.
"""

import datetime
import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Annotated, Any, NotRequired, TypedDict

from cloudkitty.api.v2.arguments import reads
from cloudkitty.dataframe import DataFrame, FrameError, Registry, Scalar
from cloudkitty.db.scopes import ScopeStore
from cloudkitty.rest import errors, schema
from cloudkitty.storage.base import Storage

FIRST_YEAR = 1970
LAST_YEAR = 9000
"""Calendars of all zones work in between."""

_EXACT = {str, int, bool, type(None)}

Labels = dict[str, Scalar]
Amount = Annotated[Decimal | str, schema.Told(schema.TAKEN_AMOUNT)]
Instant = Annotated[str, schema.Told(schema.TAKEN_INSTANT)]


class PostedPeriod(TypedDict):
    """A half-open stretch of time."""

    begin: Instant
    end: Instant


class PostedVolume(TypedDict):
    """How much was used, in which unit."""

    unit: str
    qty: Amount


class PostedPrice(TypedDict):
    """What it costs; nothing, unless that is said."""

    price: NotRequired[Amount]


class PostedPoint(TypedDict):
    """One series in one period."""

    vol: PostedVolume
    rating: NotRequired[PostedPrice]
    groupby: Labels
    metadata: Labels
    description: NotRequired[str | None]


class PostedFrame(TypedDict):
    """Points of one period, by metric."""

    period: PostedPeriod
    usage: Annotated[dict[str, list[PostedPoint]], schema.Told({"propertyNames": {"minLength": 1}})]


@reads(Annotated[list[PostedFrame], schema.Told({"minItems": 1})])
def read(forms: Any) -> list[DataFrame]:
    """Read the frames of a request.

    :raises ValueError: they are not a list, or something in them is wrong; with all mistakes.
    """
    if not isinstance(forms, list):
        raise ValueError("is not a list")
    if not forms:
        raise errors.NoDataFrames()
    registry = Registry()
    frames = []
    problems = []
    for place, form in enumerate(forms):
        try:
            frame = DataFrame.from_dict(_with_numbers(form), registry)
        except FrameError as error:
            problems += [f"[{place}] {problem}" for problem in error.problems]
            continue
        if frame.period.begin.year < FIRST_YEAR or frame.period.end.year > LAST_YEAR:
            problems.append(f"[{place}] period: is not between {FIRST_YEAR} and {LAST_YEAR}")
        frames.append(frame)
    if problems:
        raise ValueError("; ".join(problems[:50]))
    return frames


def keep(
    frames: Sequence[DataFrame],
    scope_key: str,
    storage: Storage,
    scopes: ScopeStore,
    now: datetime.datetime,
) -> None:
    """Add the frames' points to the scopes that their groupby names."""
    by_scope: dict[str, list[DataFrame]] = defaultdict(list)
    for frame in frames:
        for scope, part in _by_scope(frame, scope_key).items():
            by_scope[scope].append(part)
    keys = scopes.posted(list(by_scope), scope_key, now)
    storage.put({keys[scope]: many for scope, many in by_scope.items()})


def _by_scope(frame: DataFrame, scope_key: str) -> dict[str, DataFrame]:
    """Return the frame in parts, by the scope that a point's groupby names."""
    parts: dict[str, DataFrame] = {}
    for series, qty, price in frame:
        names = series.shape.groupby
        named = series.values[names.index(scope_key)] if scope_key in names else None
        scope = "" if named is None else str(named)
        if scope not in parts:
            parts[scope] = DataFrame(frame.period)
        parts[scope].add(series, qty, price)
    return parts


def _with_numbers(form: Any) -> Any:
    """Return a frame whose attributes have JSON's own numbers: they are labels, not amounts."""
    if not isinstance(form, Mapping) or not isinstance(form.get("usage"), Mapping):
        return form
    return {
        **form,
        "usage": {
            metric: [_point(point) for point in points] if isinstance(points, list) else points
            for metric, points in form["usage"].items()
        },
    }


def _point(point: Any) -> Any:
    if not isinstance(point, Mapping) or (
        _has_exact_labels(point.get("groupby")) and _has_exact_labels(point.get("metadata"))
    ):
        return point
    return {
        key: _labels(part) if key in ("groupby", "metadata") else part
        for key, part in point.items()
    }


def _has_exact_labels(part: Any) -> bool:
    """Whether these are labels that stay as they are: nearly all do."""
    return isinstance(part, dict) and _EXACT.issuperset(map(type, part.values()))


def _labels(part: Any) -> Any:
    if isinstance(part, Mapping):
        return {key: _labels(value) for key, value in part.items()}
    if isinstance(part, list):
        return [_labels(value) for value in part]
    return json.loads(str(part)) if isinstance(part, Decimal) else part
