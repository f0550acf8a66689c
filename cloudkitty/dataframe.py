# SPDX-License-Identifier: Apache-2.0
"""Data frames: what one scope used in one period, by metric.

A frame is columnar inside (for each metric a list of series beside lists of quantities and
prices), iterable as points, and has a dictionary form for scripts, the API and storage.

Invariants: a series is immutable and hashable, equal when metric, unit, description and all
attributes are equal (``1``, ``1.0`` and ``True`` are three values); quantities and prices
are finite ``Decimal``; a frame knows no scope.
"""

import datetime
import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any, NamedTuple

from cloudkitty import money, period
from cloudkitty.period import Period

Scalar = str | int | float | bool | None

UNDEFINED_UNIT = "undefined"

_EXACT = {str, int, bool, type(None)}
"""Types of values that are attributes as they are."""

_POINT = {"vol", "rating", "groupby", "metadata", "description"}
_VOLUME = {"unit", "qty"}
_RATING = {"price"}
"""The keys of a point's dictionary form, and of parts of it."""

TEXTS_SHARED = 10_000
"""How many texts of attributes a registry may remember to have one object for equal ones."""


_TEXT = {str}


class FrameError(ValueError):
    """The dictionary form is wrong; ``problems`` lists every mistake with its place."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("; ".join(problems))
        self.problems = list(problems)


class Shape(NamedTuple):
    """What all series of one metric definition share: the names of their attributes."""

    metric: str
    unit: str
    description: str | None
    groupby: tuple[str, ...]
    metadata: tuple[str, ...]


class Series:
    """A metric and one exact set of attribute values: what stays the same between periods."""

    __slots__ = ("_hash", "_types", "shape", "values")

    def __init__(self, shape: Shape, values: tuple[Scalar, ...]) -> None:
        self.shape = shape
        self.values = values
        types = tuple(map(type, values))
        # Texts are nearly all there is; only other types can be equal without being the same.
        self._types = None if _TEXT.issuperset(types) else types
        self._hash = hash((shape.metric, values))

    def __hash__(self) -> int:
        return self._hash

    def __eq__(self, other: object) -> bool:
        if self is other:
            return True
        if not isinstance(other, Series):
            return NotImplemented
        return (
            self._hash == other._hash
            and self.values == other.values
            and self._types == other._types
            and self.shape == other.shape
        )

    @property
    def has_texts_only(self) -> bool:
        return self._types is None

    @property
    def metric(self) -> str:
        return self.shape.metric

    @property
    def unit(self) -> str:
        return self.shape.unit

    @property
    def description(self) -> str | None:
        return self.shape.description

    @property
    def groupby(self) -> dict[str, Scalar]:
        """A new map of the attributes that reports can group and filter by."""
        return dict(zip(self.shape.groupby, self.values, strict=False))

    @property
    def metadata(self) -> dict[str, Scalar]:
        """A new map of the attributes that rules may use and reports show."""
        return dict(zip(self.shape.metadata, self.values[len(self.shape.groupby) :], strict=True))

    @property
    def desc(self) -> dict[str, Scalar]:
        """A new map of all attributes; a groupby attribute wins over a metadata one."""
        return self.metadata | self.groupby

    def get(self, key: str) -> Scalar:
        """Return one attribute as rules see it.

        :raises KeyError: the series has no such attribute.
        """
        shape = self.shape
        if key in shape.groupby:
            return self.values[shape.groupby.index(key)]
        if key in shape.metadata:
            return self.values[len(shape.groupby) + shape.metadata.index(key)]
        raise KeyError(key)

    def __repr__(self) -> str:
        return f"Series({self.metric!r}, {self.desc!r})"


class Registry:
    """Hands out one ``Series`` object for equal content, so that a look-up is by identity first
    and a series that lives for a month is built once."""

    def __init__(self) -> None:
        self._shapes: dict[Shape, Shape] = {}
        # By the identity of the shape; values of texts alone, which can be looked up without
        # building a series: equal texts are the same attribute.
        self._texts: dict[int, dict[tuple[Scalar, ...], Series]] = {}
        self._others: dict[Series, Series] = {}
        # By the content of a shape in any order of the names.
        self._ordered: dict[tuple[object, ...], Shape] = {}
        # Flavors, users and zones are the same in many series, and come as another object in each
        # answer of a source: without this they would be two thirds of the memory of a series.
        self._words: dict[str, str] = {}

    def __len__(self) -> int:
        return len(self._others) + sum(map(len, self._texts.values()))

    def series(
        self,
        metric: str,
        *,
        unit: str = UNDEFINED_UNIT,
        groupby: Mapping[str, Any],
        metadata: Mapping[str, Any],
        description: str | None = None,
    ) -> Series:
        """Return the series with this content."""
        content = (metric, unit, description, tuple(groupby), tuple(metadata))
        shape = self._ordered.get(content)
        if shape is None:
            names = tuple(sorted(groupby)), tuple(sorted(metadata))
            shape = self.shape(Shape(metric, unit or UNDEFINED_UNIT, description, *names))
            self._ordered[content] = shape
        values = (
            *map(groupby.__getitem__, shape.groupby),
            *map(metadata.__getitem__, shape.metadata),
        )
        if not _EXACT.issuperset(map(type, values)):
            values = tuple(map(scalar, values))
        return self.of(shape, values)

    def shape(self, shape: Shape) -> Shape:
        """Return the one object for this shape."""
        known = self._shapes.setdefault(shape, shape)
        self._texts.setdefault(id(known), {})
        return known

    def of(self, shape: Shape, values: tuple[Scalar, ...]) -> Series:
        """Return the series with these values, given in the order of the shape's names.

        Fast for a shape that ``shape`` has returned.
        """
        texts = self._texts.get(id(shape))
        if texts is None:
            shape = self.shape(shape)
            texts = self._texts[id(shape)]
        known = texts.get(values)
        if known is not None:
            return known
        fresh = Series(shape, self._shared(values))
        if fresh.has_texts_only:
            return texts.setdefault(fresh.values, fresh)
        return self._others.setdefault(fresh, fresh)

    def _shared(self, values: tuple[Scalar, ...]) -> tuple[Scalar, ...]:
        words = self._words
        if len(words) > TEXTS_SHARED:
            words.clear()
        return tuple(
            [words.setdefault(value, value) if type(value) is str else value for value in values]
        )

    def retain(self, live: Iterable[Series]) -> None:
        """Forget every series that is not in *live*."""
        for texts in self._texts.values():
            texts.clear()
        self._others = {}
        for series in live:
            shape = self.shape(series.shape)
            if series.has_texts_only:
                self._texts[id(shape)][series.values] = series
            else:
                self._others[series] = series


class Point(NamedTuple):
    """One series in one period."""

    series: Series
    qty: Decimal
    price: Decimal

    @property
    def metric(self) -> str:
        return self.series.metric

    @property
    def unit(self) -> str:
        return self.series.unit

    @property
    def groupby(self) -> dict[str, Scalar]:
        return self.series.groupby

    @property
    def metadata(self) -> dict[str, Scalar]:
        return self.series.metadata

    @property
    def desc(self) -> dict[str, Scalar]:
        return self.series.desc

    @property
    def description(self) -> str | None:
        return self.series.description

    def set_price(self, price: object) -> "Point":
        """Return this point with another price; points never change.

        :raises money.NotAnAmount: *price* is not one.
        """
        return self._replace(price=money.amount(price))

    def as_dict(self, legacy: bool = False, mutable: bool = True) -> dict[str, Any]:
        """Return a new dictionary form; *legacy* merges all attributes into one ``desc`` map.

        *mutable* changes nothing: the form is the caller's.
        """
        form: dict[str, Any] = {
            "vol": {"unit": self.unit, "qty": self.qty},
            "rating": {"price": self.price},
        }
        if legacy:
            form["desc"] = self.desc
            return form
        form["groupby"] = self.groupby
        form["metadata"] = self.metadata
        if self.series.description is not None:
            form["description"] = self.series.description
        return form


def DataPoint(
    unit: str,
    qty: object,
    price: object,
    groupby: Mapping[str, Any],
    metadata: Mapping[str, Any],
    description: str | None = None,
) -> Point:
    """Return a point that has no metric until ``DataFrame.add_point`` gives it one.

    :raises money.NotAnAmount: *qty* or *price* is not one.
    """
    series = Registry().series(
        "", unit=unit, groupby=groupby, metadata=metadata, description=description
    )
    return Point(series, money.amount(qty), money.amount(price))


class Points:
    """The points of one metric in one frame, as three columns of equal length."""

    __slots__ = ("price", "qty", "series")

    def __init__(
        self,
        series: list[Series] | None = None,
        qty: list[Decimal] | None = None,
        price: list[Decimal] | None = None,
    ) -> None:
        self.series = series if series is not None else []
        self.qty = qty if qty is not None else []
        self.price = price if price is not None else [money.ZERO] * len(self.series)

    def __len__(self) -> int:
        return len(self.series)

    def __iter__(self) -> Iterator[Point]:
        return map(Point, self.series, self.qty, self.price)

    def append(self, series: Series, qty: Decimal, price: Decimal = money.ZERO) -> None:
        self.series.append(series)
        self.qty.append(qty)
        self.price.append(price)


class DataFrame:
    """What one scope used in one period.

    Rating modules of other origin know a frame by ``start`` and ``end`` (also when they make one),
    ``iterpoints``, ``iteritems`` and ``add_point``.
    """

    __slots__ = ("period", "usage")

    def __init__(
        self,
        period: Period | None = None,
        usage: Mapping[str, Points] | None = None,
        *,
        start: datetime.datetime | None = None,
        end: datetime.datetime | None = None,
    ) -> None:
        if period is None:
            if start is None or end is None:
                raise TypeError("a frame needs a period, or start and end")
            period = Period(start, end)
        self.period = period
        self.usage: dict[str, Points] = {
            metric: usage[metric] for metric in sorted(usage or {}) if usage and usage[metric]
        }

    def __len__(self) -> int:
        return sum(map(len, self.usage.values()))

    def __iter__(self) -> Iterator[Point]:
        for points in self.usage.values():
            yield from points

    def __repr__(self) -> str:
        return f"DataFrame({self.period}, {len(self)} points)"

    def add(self, series: Series, qty: Decimal, price: Decimal = money.ZERO) -> None:
        """Append one point; metrics stay sorted by name."""
        points = self.usage.get(series.metric)
        if points is None:
            points = Points()
            self.usage[series.metric] = points
            self.usage = {metric: self.usage[metric] for metric in sorted(self.usage)}
        points.append(series, qty, price)

    @property
    def start(self) -> datetime.datetime:
        return self.period.begin

    @property
    def end(self) -> datetime.datetime:
        return self.period.end

    def iterpoints(self) -> Iterator[tuple[str, Point]]:
        """Yield every point with the name of its metric."""
        for metric, points in self.usage.items():
            for point in points:
                yield metric, point

    def iteritems(self) -> Iterator[tuple[str, list[Point]]]:
        """Yield every metric with its points."""
        for metric, points in self.usage.items():
            yield metric, list(points)

    def add_point(self, point: Point, metric: str) -> None:
        """Append *point* to those of *metric*, whichever metric it was of before."""
        if isinstance(point, str):
            # Both orders are in use.
            point, metric = metric, point  # type: ignore[unreachable]
        series = point.series
        if series.metric != metric:
            series = Series(series.shape._replace(metric=metric), series.values)
        self.add(series, point.qty, point.price)

    @property
    def price(self) -> Decimal:
        """The exact sum of all prices."""
        return money.total(price for points in self.usage.values() for price in points.price)

    def as_dict(self, legacy: bool = False, mutable: bool = True) -> dict[str, Any]:
        """Return a new dictionary form; quantities and prices are ``Decimal``, instants aware.

        *mutable* changes nothing: the form is the caller's.
        """
        return {
            "period": {"begin": self.period.begin, "end": self.period.end},
            "usage": {
                metric: [point.as_dict(legacy) for point in points]
                for metric, points in self.usage.items()
            },
        }

    @classmethod
    def from_dict(cls, form: object, registry: Registry | None = None) -> "DataFrame":
        """Read the dictionary form, also the legacy one with ``desc``.

        :raises FrameError: with every mistake found.
        """
        return _Reader(registry or Registry()).frame(form)


class _Reader:
    """Reads the dictionary form and collects every mistake with its place."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._problems: list[str] = []

    def frame(self, form: object) -> DataFrame:
        keys = self._map(form, "frame", required=("period", "usage"))
        stretch = self._period(keys.get("period"))
        usage: dict[str, Points] = {}
        by_metric = keys.get("usage", {})
        if not isinstance(by_metric, Mapping):
            self._problems.append("usage: must be a map of metric to list of points")
            by_metric = {}
        for metric, points in by_metric.items():
            place = f"usage.{metric}"
            if not isinstance(metric, str) or not metric:
                self._problems.append(f"{place}: the name of a metric must be a text")
            elif not isinstance(points, list | tuple):
                self._problems.append(f"{place}: must be a list of points")
            else:
                usage[metric] = self._points(metric, points, place)
        if self._problems or stretch is None:
            raise FrameError(self._problems)
        return DataFrame(stretch, usage)

    def _period(self, form: object) -> Period | None:
        if form is None:
            return None
        keys = self._map(form, "period", required=("begin", "end"))
        instants = []
        for name in ("begin", "end"):
            value: Any = keys.get(name)
            try:
                instants.append(
                    period.parse(value) if isinstance(value, str) else period.utc(value)
                )
            except (ValueError, AttributeError):
                if name in keys:
                    self._problems.append(f"period.{name}: {value!r} is not an instant")
        if len(instants) < 2:
            return None
        try:
            return Period(*instants)
        except ValueError as error:
            self._problems.append(f"period: {error}")
            return None

    def _points(self, metric: str, points: Sequence[object], place: str) -> Points:
        columns = Points()
        for index, form in enumerate(points):
            point = self._regular(metric, form)
            if point is None:
                point = self._point(metric, form, f"{place}[{index}]")
            if point is not None:
                columns.append(*point)
        return columns

    def _regular(self, metric: str, form: Any) -> Point | None:
        """Return a point of which nothing is wrong; one that is not, or not surely, takes the long
        way, on which mistakes are noted."""
        try:
            volume, groupby, metadata = form["vol"], form["groupby"], form["metadata"]
            rating, description = form.get("rating", {}), form.get("description")
            if not (
                _POINT.issuperset(form)
                and volume.keys() == _VOLUME
                and _RATING.issuperset(rating)
                and type(volume["unit"]) is str
                and (description is None or type(description) is str)
                and _TEXT.issuperset(map(type, (*groupby, *metadata)))
            ):
                return None
            return Point(
                self._registry.series(
                    metric,
                    unit=volume["unit"],
                    groupby=groupby,
                    metadata=metadata,
                    description=description,
                ),
                money.amount(volume["qty"]),
                money.amount(rating.get("price", 0)),
            )
        except (LookupError, TypeError, AttributeError, money.NotAnAmount):
            return None

    def _point(self, metric: str, form: object, place: str) -> Point | None:
        legacy = isinstance(form, Mapping) and "desc" in form
        attributes = ("desc",) if legacy else ("groupby", "metadata")
        keys = self._map(
            form, place, required=("vol", *attributes), optional=("rating", "description")
        )
        volume = self._map(keys.get("vol", {}), f"{place}.vol", required=("unit", "qty"))
        rating = self._map(keys.get("rating", {}), f"{place}.rating", optional=("price",))
        unit = volume.get("unit", "")
        if not isinstance(unit, str):
            self._problems.append(f"{place}.vol.unit: {unit!r} is not a text")
        description = keys.get("description")
        if description is not None and not isinstance(description, str):
            self._problems.append(f"{place}.description: {description!r} is not a text")
        qty = self._amount(volume.get("qty", 0), f"{place}.vol.qty")
        price = self._amount(rating.get("price", 0), f"{place}.rating.price")
        groupby = self._attributes(keys.get(attributes[0], {}), f"{place}.{attributes[0]}")
        metadata = {} if legacy else self._attributes(keys.get("metadata", {}), f"{place}.metadata")
        if self._problems or qty is None or price is None:
            return None
        series = self._registry.series(
            metric, unit=unit, groupby=groupby, metadata=metadata, description=description
        )
        return Point(series, qty, price)

    def _map(
        self,
        form: object,
        place: str,
        required: Sequence[str] = (),
        optional: Sequence[str] = (),
    ) -> Mapping[str, Any]:
        if not isinstance(form, Mapping):
            self._problems.append(f"{place}: must be a map, not {type(form).__name__}")
            return {}
        self._problems += [
            f"{place}.{key}: unknown key" for key in form if key not in (*required, *optional)
        ]
        self._problems += [f"{place}.{key}: missing" for key in required if key not in form]
        return form

    def _amount(self, value: object, place: str) -> Decimal | None:
        try:
            return money.amount(value)
        except money.NotAnAmount as error:
            self._problems.append(f"{place}: {error}")
            return None

    def _attributes(self, form: object, place: str) -> dict[str, Scalar]:
        try:
            pairs = dict(form)  # type: ignore[call-overload]
        except (TypeError, ValueError):
            self._problems.append(f"{place}: must be a map of attribute to value")
            return {}
        attributes = {}
        for key, value in pairs.items():
            try:
                attributes[str(key)] = scalar(value)
            except TypeError as error:
                self._problems.append(f"{place}.{key}: {error}")
        return attributes


def scalar(value: object) -> Scalar:
    """Return *value* as an attribute value.

    A Decimal becomes its text, and so does a float that is not finite. Lists and maps become
    canonical JSON text.

    :raises TypeError: the value has no JSON form.
    """
    if isinstance(value, Decimal) or (isinstance(value, float) and not math.isfinite(value)):
        return str(value)
    if value is None or isinstance(value, str | int | float):
        return value
    return json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
