# SPDX-License-Identifier: Apache-2.0
"""Usage of late that no rule has priced, from the ledger."""

import datetime
from collections.abc import Collection, Iterator

from cloudkitty import period
from cloudkitty.doctor.finding import Finding, many, named, ok, warning
from cloudkitty.period import Period
from cloudkitty.rating import unpriced
from cloudkitty.rating.pipeline import Pipeline
from cloudkitty.rating.unpriced import Tally
from cloudkitty.storage.base import Query, Storage

SUBJECT = "prices"

PERIODS = 24
"""So many periods are looked at, back from now."""


def window(seconds: int, now: datetime.datetime) -> Period:
    """Return the stretch of time to look at; *seconds* are the length of a period."""
    return Period.of(
        period.utc(now - datetime.timedelta(seconds=PERIODS * seconds)), PERIODS * seconds
    )


def find(storage: Storage, pipeline: Pipeline, stretch: Period) -> Tally:
    """Count what no rule has priced.

    :raises RatingError: the rules cannot be had.
    """
    pipeline.refresh()
    fields = pipeline.fields(stretch.begin)
    with storage.free(Query(stretch.begin, stretch.end)) as runs:
        return unpriced.tally(runs, pipeline.matcher, fields)


def check(found: Tally, known: Collection[str]) -> Iterator[Finding]:
    """Yield a finding for each metric, but for the *known* ones, of which it has been told."""
    told = {metric: count for metric, count in found.points.items() if metric not in known}
    for metric, count in told.items():
        values: dict[str, list[tuple[int, str]]] = {}
        for row in found.rows:
            if row.metric == metric and row.field:
                values.setdefault(row.field, []).append((row.points, row.value))
        shown = "; ".join(f"{field}: {_most(pairs)}" for field, pairs in values.items())
        yield warning(
            f"metric {metric}",
            f"{many(count, 'point')} of the last {PERIODS} periods matched no rule and cost 0"
            + (f" ({shown})" if shown else ""),
        )
    if not told:
        yield ok(SUBJECT, f"every point of the last {PERIODS} periods has a price, or is known of")


def _most(pairs: list[tuple[int, str]]) -> str:
    ordered = sorted(pairs, key=lambda pair: (-pair[0], pair[1]))
    return named([f"{value!r} {count}" for count, value in ordered])
