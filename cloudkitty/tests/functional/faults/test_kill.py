# SPDX-License-Identifier: Apache-2.0
"""A worker that is killed, at a named point of a period or at any moment, leaves nothing half
done."""

import random
import time

import pytest

from cloudkitty.tests.functional.faults import points
from cloudkitty.tests.functional.faults.child import Inside
from cloudkitty.tests.functional.faults.conftest import Trial
from cloudkitty.tests.functional.faults.site import HOURS, KILLS, LONG, SCOPES

BATCHES = range(1, 2 * HOURS + 1) if LONG else (points.BATCH,)
"""The cloud has two batches an hour."""

IN_A_ROW = 10
"""Workers that are killed one after the other before one is left in peace."""

BEGINNINGS = ("before a round", "between periods")
"""From where on any moment may be the last: the start, or when work goes on."""

FARTHEST = 3
"""The batch after which a worker waits to be killed."""

SECONDS = 0.05
"""The time of some batches."""


@pytest.mark.parametrize("nth", BATCHES)
@pytest.mark.parametrize("point", points.POINTS, ids=lambda point: point.replace(" ", "_"))
def test_a_worker_is_killed(trial: Trial, point: str, nth: int) -> None:
    with trial.site.worker(lambda inside: points.at(point, inside.die, nth)) as worker:
        worker.await_death()
    trial.over()
    with trial.site.worker() as worker:
        trial.recovers(f"killed {point}", worker)
    assert trial.site.complaints() == []


@pytest.mark.parametrize("seed", range(max(1, KILLS // IN_A_ROW)))
def test_workers_are_killed_at_any_moment(trial: Trial, seed: int) -> None:
    site = trial.site
    # One scope at a time: more batches than those workers can come to that are killed.
    site.conf.set_override("batch_size", 1, "orchestrator")
    assert IN_A_ROW * FARTHEST < SCOPES * HOURS
    moments = random.Random(seed)
    for number in range(IN_A_ROW):

        def prepare(inside: Inside, first: str = BEGINNINGS[number % 2]) -> None:
            points.at(first, inside.hold, 1)
            points.at("between periods", inside.hold, FARTHEST)

        with site.worker(prepare) as worker:
            worker.await_point()
            worker.go()
            time.sleep(moments.uniform(0, SECONDS))
            worker.kill()
    trial.over()
    assert any(site.horizons().values()), "the kills must hit the work"
    with site.worker() as worker:
        trial.recovers("killed at any moment", worker)
    assert site.complaints() == []
