# SPDX-License-Identifier: Apache-2.0
"""Workers that own the same scopes: because nobody locks, or because a lock was given away."""

import time

import pytest

from cloudkitty.tests.functional.faults import points
from cloudkitty.tests.functional.faults.child import Inside
from cloudkitty.tests.functional.faults.conftest import Trial
from cloudkitty.tests.functional.faults.site import LONG
from cloudkitty.tests.functional.hosts import believe_in_all

MOMENTS = (
    tuple(point for point in points.POINTS if point not in points.IN_TRANSACTION)
    if LONG
    else ("after collecting", "after rating", "after reserving keys", "after the commit")
)

MOMENTS_IN_TRANSACTION = (
    points.IN_TRANSACTION if LONG else ("after locking the scopes", "before the commit")
)


def give_locks_to_all(_inside: Inside) -> None:
    """Have everybody believe that everything is theirs."""
    believe_in_all()


def test_two_workers_own_every_scope(trial: Trial) -> None:
    site = trial.site
    with site.worker(give_locks_to_all) as first, site.worker(give_locks_to_all) as second:
        trial.recovers("two owners of every scope", first, second)
    assert site.complaints() == []


@pytest.mark.parametrize("point", MOMENTS, ids=lambda point: point.replace(" ", "_"))
def test_a_paused_worker_wakes_after_its_lock_was_given_away(trial: Trial, point: str) -> None:
    site = trial.site
    with site.worker(lambda inside: points.at(point, inside.freeze)) as first:
        first.await_point()
        # Who hears nothing of a worker for long takes it for dead.
        site.set_locks("given away")
        with site.worker() as second:
            site.await_end(second)
        first.thaw()
        trial.over()
        first.finish_round()
        trial.recovers("paused, and its scopes rated by another")
    assert site.complaints() == []


@pytest.mark.parametrize("point", MOMENTS_IN_TRANSACTION, ids=lambda point: point.replace(" ", "_"))
def test_a_worker_is_paused_in_its_transaction(trial: Trial, point: str) -> None:
    site = trial.site

    def prepare(inside: Inside) -> None:
        give_locks_to_all(inside)
        points.at("before a round", inside.tell, 1)

    with site.worker(lambda inside: points.at(point, inside.freeze)) as first:
        first.await_point()
        with site.worker(prepare) as second:
            second.await_point()
            # A chance for it to do what it should not.
            time.sleep(0.2)
            assert not site.is_done(), "locked rows were written"
            first.thaw()
            trial.over()
            trial.recovers("paused in a transaction", first, second)
    assert site.complaints() == []
