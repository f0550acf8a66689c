# SPDX-License-Identifier: Apache-2.0
"""Judges what the sources have answered about each metric. Pure."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from cloudkitty.collector.metrics import MetricDefinition
from cloudkitty.dataframe import Points, Series
from cloudkitty.doctor.finding import Finding, error, ok, warning
from cloudkitty.period import Period

_MOST_VALUES = 3


@dataclass(frozen=True)
class Sample:
    """The answer to one question: the points of a metric in a period for many scopes, or why there
    are none. ``whole`` says that a failure is of the source, not of the metric."""

    metric: MetricDefinition
    source: str
    period: Period
    scopes: int
    points: Mapping[str, Points] = field(default_factory=dict)
    failure: str | None = None
    whole: bool = False

    @property
    def count(self) -> int:
        return sum(map(len, self.points.values()))


def check(samples: list[Sample]) -> Iterator[Finding]:
    """Yield what there is to say about each metric; a source that does not answer at all is told
    of once."""
    for source in dict.fromkeys(sample.source for sample in samples):
        asked = [sample for sample in samples if sample.source == source]
        failed = [sample for sample in asked if sample.failure]
        if len(failed) == len(asked) and all(sample.whole for sample in failed):
            yield error(
                f"source {source}",
                f"none of {len(asked)} metrics could be asked for: {failed[0].failure}",
            )
            continue
        if not failed:
            yield ok(f"source {source}", f"answers about each of {len(asked)} metrics")
        for sample in asked:
            yield from _of_metric(sample)


def _of_metric(sample: Sample) -> Iterator[Finding]:
    subject = f"metric {sample.metric.service}"
    if sample.failure:
        yield error(subject, sample.failure)
        return
    if not sample.count:
        yield warning(
            subject,
            f"source {sample.source} has no usage of {sample.metric.name!r} in {sample.period} for "
            f"any of {sample.scopes} scopes; is it called so there?",
        )
        return
    series = [one for points in sample.points.values() for one in points.series]
    empty = [name for name in _names(sample.metric) if not _values(series, name)]
    for name in empty:
        kind = "groupby" if name in sample.metric.groupby else "metadata"
        yield warning(
            subject,
            f"{kind} {name!r} is empty on all {sample.count} points in {sample.period}; is it "
            f"called so in source {sample.source}?",
        )
    if not empty:
        yield ok(subject, _described(sample, series))


def _described(sample: Sample, series: list[Series]) -> str:
    scopes = sum(1 for points in sample.points.values() if points)
    told = []
    for name in _names(sample.metric):
        values = sorted(_values(series, name))
        few = ", ".join(values) if len(values) <= _MOST_VALUES else f"{len(values)} values"
        told.append(f"{name} ({few})")
    return (
        f"{sample.count} points in {sample.period} for {scopes} of {sample.scopes} scopes; "
        f"attributes {', '.join(told)}"
    )


def _names(metric: MetricDefinition) -> list[str]:
    return list(dict.fromkeys((*metric.groupby, *metric.metadata)))


def _values(series: list[Series], name: str) -> set[str]:
    """The texts of an attribute, but for the empty one."""
    values = {one.get(name) for one in series}
    return {str(value) for value in values if value not in (None, "")}
