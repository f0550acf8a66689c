# SPDX-License-Identifier: Apache-2.0
"""Purging with manners: up to which instant, of which scopes, and how fast.

Invariants: whole calendar months of the zone of bills are purged; the last day and the last periods
stay, which rating looks at; so does what an unfinished task of reprocessing is about.
"""

import datetime
import time
from collections.abc import Callable, Collection, Iterable, Iterator

from oslo_config import cfg

from cloudkitty import period
from cloudkitty.db.tasks import TaskStore
from cloudkitty.storage.base import Removed

LONGEST_PAUSE = 1.0
"""Seconds for which others are given way between two steps, at most."""

Sleep = Callable[[float], None]


def zone_of(conf: cfg.ConfigOpts) -> datetime.tzinfo:
    """Return the time zone of the calendar that bills are made by."""
    return period.zone(conf.api.billing_time_zone)


def boundary(
    instant: datetime.datetime, now: datetime.datetime, conf: cfg.ConfigOpts
) -> datetime.datetime:
    """Return the begin of the month up to which is purged what is older than *instant*."""
    length = datetime.timedelta(seconds=conf.collect.period)
    latest = now - max(datetime.timedelta(days=1), 2 * length)
    return period.month_start(min(instant, latest), zone_of(conf))


def spared(tasks: TaskStore, before: datetime.datetime) -> Collection[int]:
    """Return the keys of scopes of which something before the instant is to be rated again."""
    return {task.scope.id for task in tasks.unfinished() if task.window.begin < before}


def gently(steps: Iterable[Removed], sleep: Sleep = time.sleep) -> Iterator[Removed]:
    """Yield the steps, with a pause before each that is as long as the step before it took: who
    waits for the database's lock gets it."""
    pause = 0.0
    iterator = iter(steps)
    while True:
        if pause:
            sleep(min(pause, LONGEST_PAUSE))
        begun = time.monotonic()
        removed = next(iterator, None)
        if removed is None:
            return
        pause = time.monotonic() - begun
        yield removed
