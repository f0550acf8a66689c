# SPDX-License-Identifier: Apache-2.0
"""The clock of a worker's host jumps."""

import datetime

import pytest

from cloudkitty.processor.build import utcnow
from cloudkitty.processor.worker import Clock
from cloudkitty.tests.functional.faults import points
from cloudkitty.tests.functional.faults.conftest import Trial
from cloudkitty.tests.functional.faults.site import Site

DAY = datetime.timedelta(days=1)


def jumping(site: Site, by: datetime.timedelta) -> Clock:
    """A clock that is wrong from the middle of the work on, until there is a file."""

    def clock() -> datetime.datetime:
        wrong = (site.directory / "jumped").exists() and not (site.directory / "set").exists()
        return utcnow() + (by if wrong else by * 0)

    return clock


def test_the_clock_jumps_forward_a_day(trial: Trial) -> None:
    site = trial.site
    jump = (site.directory / "jumped").touch
    with site.worker(
        lambda inside: points.at("between periods", jump), jumping(site, DAY)
    ) as worker:
        site.await_end(worker)
        # Rounds enough to rate the day that has not been yet.
        worker.await_rounds(3)
        (site.directory / "set").touch()
        trial.over()
        trial.recovers("clock a day ahead", worker)
    complaints = site.complaints()
    assert len(complaints) == 1, complaints
    assert "the clock of this host is " in complaints[0]


@pytest.mark.parametrize("point", ["after collecting", "between periods"])
def test_the_clock_jumps_back_a_day(trial: Trial, point: str) -> None:
    site = trial.site
    jump = (site.directory / "jumped").touch
    with site.worker(lambda inside: points.at(point, jump), jumping(site, -DAY)) as worker:
        site.await_file("jumped", worker)
        worker.await_rounds(3)
        assert not site.is_done(), "what was not due was rated"
        (site.directory / "set").touch()
        trial.over()
        trial.recovers("clock a day behind", worker)
    assert site.complaints() == []
