# SPDX-License-Identifier: Apache-2.0
"""Purges what is older than ``[storage] retention_days``, a little at a time.

Invariant: what is done is found in the ledger alone, so who is ended in the middle, or comes later,
goes on with the rest.
"""

import datetime
import logging
from collections.abc import Iterator

from oslo_config import cfg

from cloudkitty.db.tasks import TaskStore
from cloudkitty.processor.worker import Clock
from cloudkitty.storage import upkeep
from cloudkitty.storage.base import Removed, Storage

LOG = logging.getLogger(__name__)

LOOK_AGAIN = datetime.timedelta(hours=1)
"""How long after all has been purged somebody looks for more."""


class Retention:
    """Steps of a purge, as long as there is something to purge."""

    def __init__(
        self, conf: cfg.ConfigOpts, storage: Storage, tasks: TaskStore, clock: Clock
    ) -> None:
        self._conf = conf
        self._storage = storage
        self._tasks = tasks
        self._clock = clock
        self._days = datetime.timedelta(days=conf.storage.retention_days)
        self._steps: Iterator[Removed] | None = None
        self._before = clock()
        self._points = 0
        self._look_at = clock()

    def step(self) -> bool:
        """Purge a little; return whether there was anything.

        :raises StorageError: it has not been done.
        """
        now = self._clock()
        if self._steps is None:
            if now < self._look_at:
                return False
            self._look_at = now + LOOK_AGAIN
            self._steps = self._begun(now)
        try:
            removed = next(self._steps, None)
        except Exception:
            self._steps = None  # what raised is at its end; the next look begins anew
            raise
        if removed is None:
            self._steps = None
            if self._points:
                LOG.info(
                    "%d points before %s have become totals, see [storage] retention_days",
                    self._points,
                    self._before.isoformat(),
                )
            self._points = 0
            return False
        self._points += removed.points
        return True

    def _begun(self, now: datetime.datetime) -> Iterator[Removed]:
        try:
            oldest = now - self._days
        except OverflowError:
            return iter(())
        self._before = upkeep.boundary(oldest, now, self._conf)
        steps = self._storage.purge(
            self._before,
            upkeep.zone_of(self._conf),
            spare=upkeep.spared(self._tasks, self._before),
        )
        return upkeep.gently(steps)
