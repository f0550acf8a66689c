# SPDX-License-Identifier: Apache-2.0
"""The content of one scope as stretches in which it stays the same."""

import itertools
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence

from cloudkitty import period
from cloudkitty.dataframe import DataFrame, Points, Series
from cloudkitty.period import Period
from cloudkitty.storage.base import Stretch
from cloudkitty.storage.sqlalchemy import runs
from cloudkitty.storage.sqlalchemy.queries import Reader, Stored


def read(reader: Reader, scope_id: int) -> list[Stretch]:
    """Return what the scope has in the reader's window, in order."""
    reader.refuse_purged("there are no points to rate again")
    found = [stored for stored in reader.stored() if stored.scope_id == scope_id]
    series = reader.series({stored.series_id for stored in found})
    grids: dict[tuple[int, int], list[Stored]] = defaultdict(list)
    for stored in found:
        run = runs.clip(stored.run, reader.begin, reader.end)
        if run is not None:
            grids[run.step, run.begin % run.step].append(stored._replace(run=run))
    stretches = [stretch for many in grids.values() for stretch in _of_grid(many, series)]
    return sorted(stretches, key=lambda stretch: stretch.frame.period)


def _of_grid(many: Sequence[Stored], series: Mapping[int, Series]) -> Iterator[Stretch]:
    """Yield the stretches of runs that share a grid of periods."""
    starting: dict[int, list[Stored]] = defaultdict(list)
    for stored in many:
        starting[stored.run.begin].append(stored)
    instants = sorted({instant for stored in many for instant in stored.run[:2]})
    step = many[0].run.step
    live: list[Stored] = []
    for begin, end in itertools.pairwise(instants):
        live = [stored for stored in live if stored.run.end > begin] + starting[begin]
        if live:
            usage: dict[str, Points] = defaultdict(Points)
            for stored in live:
                usage[stored.metric].append(
                    series[stored.series_id], stored.run.qty, stored.run.price
                )
            first = Period.of(period.from_epoch(begin), step)
            yield Stretch(DataFrame(first, usage), (end - begin) // step)
