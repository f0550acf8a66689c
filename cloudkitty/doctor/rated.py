# SPDX-License-Identifier: Apache-2.0
"""Rates what the sources have answered, to find metrics whose points get no price after all.

Nothing is stored.
"""

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from cloudkitty.dataframe import DataFrame, Points
from cloudkitty.doctor.bounded import Deadline, TookTooLong
from cloudkitty.doctor.finding import Finding, error, ok, warning
from cloudkitty.doctor.usage import Sample
from cloudkitty.period import Period
from cloudkitty.rating.base import RatingError
from cloudkitty.rating.pipeline import Pipeline

SUBJECT = "rating"


@dataclass
class Tally:
    """How many points of a metric have a quantity, how many of those a price, and one without."""

    used: int = 0
    priced: int = 0
    example: dict[str, Any] | None = None


def check(
    pipeline: Pipeline, samples: Sequence[Sample], unpriced: Collection[str], deadline: Deadline
) -> list[Finding]:
    """Return the metrics of which no point gets a price, but for the *unpriced* ones, of which
    that is known."""
    frames = list(_frames(samples))
    try:
        rated = deadline.call(lambda: [pipeline.rate(frame, scope) for scope, frame in frames])
    except RatingError as failure:
        return [error(SUBJECT, f"{failure}; periods like it are not stored until that is right")]
    except TookTooLong as late:
        return [error(SUBJECT, f"{late} for {len(frames)} scopes in one period")]
    return list(judge(tally(rated), unpriced))


def tally(frames: Iterable[DataFrame]) -> dict[str, Tally]:
    """Count the points with a quantity, by metric."""
    tallies: dict[str, Tally] = {}
    for frame in frames:
        for point in frame:
            if point.qty:
                one = tallies.setdefault(point.metric, Tally())
                one.used += 1
                if point.price:
                    one.priced += 1
                else:
                    one.example = one.example or point.desc
    return tallies


def judge(tallies: dict[str, Tally], unpriced: Collection[str]) -> Iterator[Finding]:
    """Yield a finding for each metric."""
    for metric, one in tallies.items():
        if metric in unpriced:
            continue
        if one.priced:
            text = f"{one.priced} of {one.used} points of the last period get a price"
            yield ok(f"metric {metric}", text)
        else:
            yield warning(
                f"metric {metric}",
                f"none of {one.used} points of the last period gets a price; no rule in force is "
                f"about one like {_written(one.example or {})}",
            )


def _written(attributes: dict[str, Any]) -> str:
    return ", ".join(f"{name}={value!r}" for name, value in attributes.items())


def _frames(samples: Iterable[Sample]) -> Iterator[tuple[str, DataFrame]]:
    usage: dict[tuple[str, Period], dict[str, Points]] = {}
    for sample in samples:
        for scope, points in sample.points.items():
            mine = usage.setdefault((scope, sample.period), {})
            known = mine.setdefault(sample.metric.service, Points())
            for series, qty in zip(points.series, points.qty, strict=True):
                known.append(series, qty)
    for (scope, period), content in usage.items():
        yield scope, DataFrame(period, content)
