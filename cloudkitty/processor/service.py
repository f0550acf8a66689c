# SPDX-License-Identifier: Apache-2.0
"""The daemon: a supervisor and its worker processes.

SIGTERM lets every worker finish its transaction and then ends; SIGHUP reads the configuration
again and starts new workers; a worker that dies is replaced. A configuration that is spoilt
while the daemon runs stops the rating, with one message, until it is mended.
"""

import datetime
import logging
import multiprocessing
import pathlib
import random
import socket
import threading

import cotyledon
from cotyledon import oslo_config_glue
from cotyledon.types import WorkerId
from oslo_config import cfg

from cloudkitty import network
from cloudkitty.collector.metrics import MetricsError
from cloudkitty.config import ConfigurationError
from cloudkitty.coverage import Due
from cloudkitty.db.engine import Database, DatabaseErrors, explain, is_away
from cloudkitty.processor import build, memory
from cloudkitty.processor.locks import PartLocks
from cloudkitty.processor.schedule import Schedule
from cloudkitty.storage.base import StorageError
from cloudkitty.telemetry.exposition import Exposition
from cloudkitty.telemetry.lag import Lag
from cloudkitty.telemetry.rating import CountedRating
from cloudkitty.telemetry.server import MetricsServer

LOG = logging.getLogger(__name__)

IDLE_SECONDS = 60
"""A worker looks for new scopes at least this often."""

PAUSE_SECONDS = 1
"""Shortest pause between two rounds of a worker."""

POLL_SECONDS = 0.5
"""How often the process with the numbers looks whether it is to end."""

TROUBLE_SECONDS = 10
"""Pause after a round that the database did not let us do."""


class ProcessorWorker(cotyledon.Service):
    """One worker process."""

    name = "rating"

    def __init__(
        self, worker_id: WorkerId, conf: cfg.ConfigOpts, exposition: Exposition | None
    ) -> None:
        super().__init__(worker_id)
        self._conf = conf
        self._exposition = exposition
        self._stop = threading.Event()
        self._done = threading.Event()
        self._trouble: str | None = None

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
            except (ConfigurationError, MetricsError, cfg.Error) as error:
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
            self._conf,
            parts=parts,
            first_part=self.worker_id % parts,
            lock=locks,
            telemetry=CountedRating(self._exposition.registry) if self._exposition else None,
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
        self._tell(trouble, processor.database.url)
        if trouble is not None:
            return TROUBLE_SECONDS
        if wake_at is None:
            return IDLE_SECONDS
        left = (wake_at - processor.clock()) / datetime.timedelta(seconds=1)
        return max(PAUSE_SECONDS, min(left, IDLE_SECONDS)) + random.uniform(0, 0.2)

    def _tell(self, trouble: Exception | None, url: str) -> None:
        """Log that the database fails, or works again; what goes on is not news.

        What a lost connection says differs from try to try, and means the same.
        """
        if trouble is None:
            if self._trouble is not None:
                LOG.info("the database is to be had again")
            self._trouble = None
            return
        reason = str(trouble) if isinstance(trouble, StorageError) else explain(trouble, url)
        kind = "away" if is_away(trouble) else reason
        if kind != self._trouble:
            LOG.error("the database is not to be had; trying again: %s", reason)
            self._trouble = kind

    def terminate(self) -> None:
        """Let the running batch finish, then return."""
        self._stop.set()
        self._done.wait()


class MetricsWorker(cotyledon.Service):
    """The process that shows the numbers of all workers."""

    name = "metrics"

    def __init__(
        self,
        worker_id: WorkerId,
        conf: cfg.ConfigOpts,
        exposition: Exposition,
        listener: socket.socket,
    ) -> None:
        super().__init__(worker_id)
        self._database = Database(conf)
        schedule = Schedule.of(conf)
        exposition.ask(
            Lag(self._database, lambda: Due(schedule.seconds, schedule.wait, build.utcnow()))
        )
        self._server = MetricsServer(listener, exposition)

    def run(self) -> None:
        """Answer until told to stop."""
        self._server.serve_forever(POLL_SECONDS)

    def terminate(self) -> None:
        self._server.shutdown()
        self._database.dispose()


def _locks(conf: cfg.ConfigOpts) -> PartLocks:
    options = conf.orchestrator
    return PartLocks(options.coordination_url, conf.host, options.max_workers)


def run(conf: cfg.ConfigOpts) -> None:
    """Run the daemon until it is told to end.

    :raises ConfigurationError: the lock service, or the port for numbers, cannot be used as it is
        configured.
    """
    # Here, and not in every worker again and again: what is wrong ends the command.
    _locks(conf)
    exposition, listener = _metrics(conf)
    manager = cotyledon.ServiceManager(mp_context=multiprocessing.get_context("fork"))
    manager.add(ProcessorWorker, workers=conf.orchestrator.max_workers, args=(conf, exposition))
    if exposition and listener:
        manager.add(MetricsWorker, args=(conf, exposition, listener))
    oslo_config_glue.setup(manager, conf, reload_method="reload")
    # It would read every option at each reload, and fail with a traceback at one that is spoilt.
    conf.set_default("log_options", False)
    memory.share()
    manager.run()


def _metrics(conf: cfg.ConfigOpts) -> tuple[Exposition, socket.socket] | tuple[None, None]:
    """Return where workers count, and the socket on which that is shown, if it is wanted."""
    options = conf.orchestrator
    if options.metrics_port is None:
        return None, None
    listener = network.listen(
        options.metrics_host, options.metrics_port, "[orchestrator] metrics_host, metrics_port"
    )
    directory = pathlib.Path(conf.state_path, "metrics", f"processor-{options.metrics_port}")
    exposition = Exposition.shared(directory)
    exposition.begin_anew()
    return exposition, listener
