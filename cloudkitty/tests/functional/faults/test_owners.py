# SPDX-License-Identifier: Apache-2.0
"""Workers that own the same scopes: because nobody locks, or because a lock was given away."""

import pytest

from cloudkitty.tests.functional.faults import points
from cloudkitty.tests.functional.faults.child import Inside
from cloudkitty.tests.functional.faults.conftest import Trial
from cloudkitty.tests.functional.faults.site import LONG
from cloudkitty.tests.functional.hosts import believe_in_all

MOMENTS = (
    tuple(points.POINTS)
    if LONG
    else ("after collecting", "after rating", "after reserving keys", "after the commit")
)

IN_TRANSACTION = ("after locking the scopes", "before the commit")


def give_locks_to_all(_inside: Inside) -> None:
    """Have everybody believe that everything is theirs."""
    believe_in_all()


def freezing(point: str):
    def prepare(inside: Inside) -> None:
        give_locks_to_all(inside)
        points.at(point, inside.freeze)

    return prepare


def test_two_workers_own_every_scope(trial: Trial) -> None:
    site = trial.site
    with site.worker(give_locks_to_all) as first, site.worker(give_locks_to_all) as second:
        trial.recovers("two owners of every scope", first, second)
    assert site.complaints() == []


@pytest.mark.parametrize("point", MOMENTS, ids=lambda point: point.replace(" ", "_"))
def test_a_paused_worker_wakes_after_its_work_was_done(trial: Trial, point: str) -> None:
    site = trial.site
    with site.worker(freezing(point)) as first:
        first.await_point()
        with site.worker(give_locks_to_all) as second:
            site.await_end(second)
        first.thaw()
        trial.over()
        first.finish_round()
        trial.recovers("paused, and its scopes rated by another")
    assert site.complaints() == []


@pytest.mark.parametrize("point", IN_TRANSACTION, ids=lambda point: point.replace(" ", "_"))
def test_a_worker_is_paused_in_its_transaction(trial: Trial, point: str) -> None:
    site = trial.site
    with site.worker(freezing(point)) as first:
        first.await_point()
        with site.worker(give_locks_to_all) as second:
            site.let_run(1)
            first.thaw()
            trial.over()
            trial.recovers("paused in a transaction", first, second)
    assert site.complaints() == []
