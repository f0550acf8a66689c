# SPDX-License-Identifier: Apache-2.0
"""The daemon: a supervisor and its worker processes.

SIGTERM lets every worker finish its transaction and then ends; SIGHUP reads the configuration
again and starts new workers; a worker that dies is replaced. A configuration that is spoilt
while the daemon runs stops the rating, with one message, until it is mended.
"""

import datetime
import logging
import multiprocessing
import random
import threading

import cotyledon
from cotyledon import oslo_config_glue
from cotyledon.types import WorkerId
from oslo_config import cfg

from cloudkitty.collector.metrics import MetricsError
from cloudkitty.config import ConfigurationError
from cloudkitty.db.engine import DatabaseErrors
from cloudkitty.processor import build, memory
from cloudkitty.processor.locks import PartLocks
from cloudkitty.storage.base import StorageError

LOG = logging.getLogger(__name__)

IDLE_SECONDS = 60
"""A worker looks for new scopes at least this often."""

PAUSE_SECONDS = 1
"""Shortest pause between two rounds of a worker."""

TROUBLE_SECONDS = 10
"""Pause after a round that the database did not let us do."""


class ProcessorWorker(cotyledon.Service):
    """One worker process."""

    name = "rating"

    def __init__(self, worker_id: WorkerId, conf: cfg.ConfigOpts) -> None:
        super().__init__(worker_id)
        self._conf = conf
        self._stop = threading.Event()
        self._done = threading.Event()

    def run(self) -> None:
        """Do rounds until told to stop."""
        try:
            locks, processor = self._start()
            if locks is None or processor is None:
                return
            try:
                self._work(processor)
            finally:
                processor.close()
                locks.close()
        finally:
            self._done.set()

    def _work(self, processor: build.Processor) -> None:
        # Workers that start together should not ask every source at the same instant.
        pause = random.uniform(0, min(1.0, 0.1 * self._conf.orchestrator.max_workers))
        while not self._stop.wait(pause):
            pause = self._round(processor)

    def _start(self) -> tuple[PartLocks, build.Processor] | tuple[None, None]:
        """Put the worker together; nothing if told to stop before that is possible.

        The configuration was right when the daemon started, and may have been spoilt since. To
        die of it would only make the supervisor start the next worker at once.
        """
        told = ""
        while not self._stop.is_set():
            try:
                return self._built()
            except (ConfigurationError, MetricsError) as error:
                problem = str(error).replace("\n", "; ")
            if problem != told:
                LOG.error("nothing is rated until this is put right: %s", problem)
                told = problem
            self._stop.wait(TROUBLE_SECONDS)
        return None, None

    def _built(self) -> tuple[PartLocks, build.Processor]:
        parts = self._conf.orchestrator.max_workers
        locks = _locks(self._conf)
        processor = build.build(
            self._conf, parts=parts, first_part=self.worker_id % parts, lock=locks
        )
        memory.settle()
        LOG.info("worker %d of %d started", self.worker_id + 1, parts)
        return locks, processor

    def _round(self, processor: build.Processor) -> float:
        """Rate what is due; return the seconds until the next round."""
        trouble: Exception | None = None
        try:
            processor.rounds.run(stop=self._stop.is_set)
            wake_at = processor.rounds.wake_at()
        except (StorageError, *DatabaseErrors) as error:
            trouble, wake_at = error, None
        if trouble is not None:
            LOG.error("the database is not to be had; trying again: %s", trouble)
            return TROUBLE_SECONDS
        if wake_at is None:
            return IDLE_SECONDS
        left = (wake_at - build.utcnow()) / datetime.timedelta(seconds=1)
        return max(PAUSE_SECONDS, min(left, IDLE_SECONDS)) + random.uniform(0, 0.2)

    def terminate(self) -> None:
        """Let the running batch finish, then return."""
        self._stop.set()
        self._done.wait()


def _locks(conf: cfg.ConfigOpts) -> PartLocks:
    options = conf.orchestrator
    return PartLocks(options.coordination_url, conf.host, options.max_workers)


def run(conf: cfg.ConfigOpts) -> None:
    """Run the daemon until it is told to end.

    :raises ConfigurationError: the lock service cannot be used as it is configured.
    """
    # Here, and not in every worker again and again: what is wrong ends the command.
    _locks(conf)
    manager = cotyledon.ServiceManager(mp_context=multiprocessing.get_context("fork"))
    manager.add(ProcessorWorker, workers=conf.orchestrator.max_workers, args=(conf,))
    oslo_config_glue.setup(manager, conf, reload_method="reload")
    manager.run()
