# SPDX-License-Identifier: Apache-2.0
"""A worker that is killed at a named point of a period leaves nothing half done."""

import pytest

from cloudkitty.tests.functional.faults import points
from cloudkitty.tests.functional.faults.conftest import Trial
from cloudkitty.tests.functional.faults.site import HOURS, LONG

BATCHES = range(1, 2 * HOURS + 1) if LONG else (points.BATCH,)
"""The cloud has two batches an hour."""


@pytest.mark.parametrize("nth", BATCHES)
@pytest.mark.parametrize("point", points.POINTS, ids=lambda point: point.replace(" ", "_"))
def test_a_worker_is_killed(trial: Trial, point: str, nth: int) -> None:
    with trial.site.worker(lambda inside: points.at(point, inside.die, nth)) as worker:
        worker.await_death()
    trial.over()
    with trial.site.worker() as worker:
        trial.recovers(f"killed {point}", worker)
    assert trial.site.complaints() == []
