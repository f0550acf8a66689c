# SPDX-License-Identifier: Apache-2.0
"""What statistics and samples of the metering API say about usage: raw values and attributes.

Invariants: pure; a raw value is exact in what the API has answered; a sample is inside a period
when its time is at or after the begin and before the end.
"""

import datetime
import itertools
import json
from collections.abc import Iterable, Mapping
from decimal import Decimal
from fractions import Fraction
from typing import Any, NamedTuple

from cloudkitty import money
from cloudkitty import period as calendar
from cloudkitty.period import UTC, Period

TIME_MEAN = "time_mean"

_STATISTICS = {"mean": "avg", "max": "max", "min": "min", "sum": "sum", "count": "count"}

AGGREGATION_METHODS = (TIME_MEAN, *_STATISTICS)

_RESOURCE = ""
"""Stands for the id of the resource among the sources of an attribute."""

_SOURCES: Mapping[str, tuple[str, ...]] = {
    "id": (_RESOURCE,),
    "resource_id": (_RESOURCE,),
    "instance_id": ("instance_id", _RESOURCE),
    "interface_id": (_RESOURCE,),
    "floatingip_id": (_RESOURCE,),
    "radosgw_id": (_RESOURCE,),
    "name": ("display_name", "name"),
    "flavor": ("flavor.name", "instance_type"),
    "flavor_name": ("flavor.name", "instance_type"),
    "flavor_id": ("flavor.id", "instance_flavor_id"),
    "memory": ("memory_mb",),
    "image_id": ("image.id", "image_meta.base_image_ref"),
    "availability_zone": ("availability_zone", "OS-EXT-AZ.availability_zone"),
}
"""Attributes that are called otherwise in the metadata; the first that is not empty counts."""

_OF_SAMPLES = ("project_id", "user_id", "source")


class Usage(NamedTuple):
    """The raw value of one resource in one period. ``about`` is a statistics group, a resource
    or a sample: whatever knows the attributes (``metadata`` among them, when it does)."""

    raw: Decimal | Fraction
    about: Mapping[str, Any]


def attribute(name: str, about: Mapping[str, Any]) -> str:
    """Return an attribute as text: one of the sample itself, one with another name in the
    metadata, or the metadata of this name; empty when there is none."""
    if name in _OF_SAMPLES:
        return _written(about.get(name))
    metadata = about.get("metadata") or {}
    for source in _SOURCES.get(name, (name,)):
        value = about["resource_id"] if source == _RESOURCE else metadata.get(source)
        if value not in (None, ""):
            return _written(value)
    return ""


def needs_metadata(name: str) -> bool:
    """Return whether more than ``resource_id``, ``project_id`` and ``user_id`` must be known for
    this attribute."""
    return name not in ("project_id", "user_id") and _SOURCES.get(name) != (_RESOURCE,)


def level(
    group: Mapping[str, Any], period: Period, method: str, interval: int
) -> Decimal | Fraction:
    """Return the value of a gauge in a period from the statistics of its samples there."""
    if method != TIME_MEAN:
        return _number(group[_STATISTICS[method]])
    # Where all samples are equal the server's mean may still be off in the last digit.
    mean = _number(group["avg"] if group["min"] != group["max"] else group["min"])
    if not mean.is_finite():
        return mean
    share = presence(group, period, interval)
    return mean if share == 1 else Fraction(mean) * Fraction(share)


def presence(group: Mapping[str, Any], period: Period, interval: int) -> Decimal | Fraction:
    """Return for what share of the period a resource was there, from the times of its first and
    last sample in it, with samples every *interval* seconds.

    A sample stands for the interval that follows it. A resource whose first sample comes within
    an interval of the begin was there from the begin; a tenth more is allowed for late samples.
    """
    slack = datetime.timedelta(seconds=interval + interval // 10)
    first = calendar.parse(group["duration_start"])
    last = calendar.parse(group["duration_end"])
    since = period.begin if first - period.begin <= slack else first
    if period.end - last <= slack:
        if since == period.begin:
            return money.ONE
        until = period.end
    else:
        until = last + datetime.timedelta(seconds=interval)
    return Fraction(calendar.epoch(until) - calendar.epoch(since), period.seconds)


def increments(samples: Iterable[Mapping[str, Any]], period: Period) -> list[Usage]:
    """Return how much each counter grew in the period.

    *samples* come in the order of time, from before the period; the last one before it is the
    base. A counter that is smaller than before has been reset, and has grown by what it shows.
    Without a base the first sample in the period is one: what it shows was used earlier.
    """
    counters: dict[tuple[str, str], _Counter] = {}
    for moment, together in itertools.groupby(samples, key=lambda sample: sample["timestamp"]):
        is_inside = _instant(moment) >= period.begin
        # Several agents may report at once: in growing order that is no reset.
        for sample in sorted(together, key=lambda sample: _number(sample["volume"])):
            key = (sample["resource_id"], sample["project_id"])
            counter = counters.setdefault(key, _Counter())
            counter.read(_number(sample["volume"]), sample if is_inside else None)
    return [
        Usage(counter.grown, counter.latest)
        for counter in counters.values()
        if counter.latest is not None
    ]


class _Counter:
    """How much one counter has grown by samples in the period, and the latest of those."""

    def __init__(self) -> None:
        self.grown = Fraction(0)
        self.latest: Mapping[str, Any] | None = None
        self._value: Decimal | None = None

    def read(self, value: Decimal, inside: Mapping[str, Any] | None) -> None:
        if not value.is_finite():
            return
        if inside is not None:
            self.latest = inside
            if self._value is not None:
                was_reset = value < self._value
                self.grown += Fraction(value) - (0 if was_reset else Fraction(self._value))
        self._value = value


def _number(value: Any) -> Decimal:
    return value if isinstance(value, Decimal) else Decimal(value)


def _instant(written: str) -> datetime.datetime:
    """A time as the API writes it, with its fraction of a second; without zone it is UTC."""
    moment = datetime.datetime.fromisoformat(written)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _written(value: object) -> str:
    if value is None or isinstance(value, str):
        return value or ""
    return str(value) if isinstance(value, int | Decimal) else json.dumps(value, default=str)
