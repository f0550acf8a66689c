# SPDX-License-Identifier: Apache-2.0
"""The daemon: a supervisor and its worker processes.

SIGTERM lets every worker finish its transaction and then ends, within
``graceful_shutdown_timeout``; SIGHUP reads the configuration again and starts new workers; a worker
that dies is replaced, at once or, when it dies again and again, after a pause. A configuration that
is spoilt while the daemon runs stops the rating, with one message, until it is mended.
"""

import datetime
import logging
import multiprocessing
import pathlib
import random
import socket
import threading
import time

import cotyledon
from cotyledon import oslo_config_glue
from cotyledon.types import ServiceId, WorkerId
from oslo_config import cfg

from cloudkitty import network
from cloudkitty.collector.metrics import MetricsError
from cloudkitty.config import ConfigurationError
from cloudkitty.coverage import Due
from cloudkitty.db.engine import Database, DatabaseErrors, explain, is_away
from cloudkitty.processor import build, memory
from cloudkitty.processor.crashes import Crashes
from cloudkitty.processor.locks import share_of
from cloudkitty.processor.schedule import Schedule
from cloudkitty.processor.sharing import Share
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

LOOK_SECONDS = 2
"""How often a worker that has nothing to do looks whether its share has changed."""

POLL_SECONDS = 0.5
"""How often the process with the numbers looks whether it is to end."""

TROUBLE_SECONDS = 10
"""Pause after a round that the database did not let us do."""


class ProcessorWorker(cotyledon.Service):
    """One worker process."""

    name = "rating"

    def __init__(
        self,
        worker_id: WorkerId,
        conf: cfg.ConfigOpts,
        exposition: Exposition | None,
        crashes: Crashes,
    ) -> None:
        super().__init__(worker_id)
        self._conf = conf
        self._exposition = exposition
        self._crashes = crashes
        self._stop = threading.Event()
        self._done = threading.Event()
        self._trouble: str | None = None

    def run(self) -> None:
        """Do rounds until told to stop."""
        try:
            self._recover()
            share, processor = self._start()
            if share is None or processor is None:
                return
            try:
                self._work(processor)
            finally:
                processor.close()
                share.close()
        finally:
            self._done.set()

    def _recover(self) -> None:
        """Wait, if others have died here one after the other: of what, will not have changed."""
        pause = self._crashes.pause(self.worker_id)
        if pause:
            deaths = self._crashes.deaths(self.worker_id)
            number = self.worker_id + 1
            LOG.error(
                "worker %d has died %d times in a row; going on in %d s", number, deaths, pause
            )
            self._stop.wait(pause)

    def _is_wanted(self) -> bool:
        """Return whether there are to be so many workers; the supervisor never has fewer than it
        had."""
        wanted = self._conf.orchestrator.max_workers
        if self.worker_id < wanted:
            return True
        LOG.info("worker %d rests: [orchestrator] max_workers is %d", self.worker_id + 1, wanted)
        return False

    def _work(self, processor: build.Processor) -> None:
        # Workers that start together should not ask every source at the same instant.
        pause = random.uniform(0, min(1.0, 0.1 * self._conf.orchestrator.max_workers))
        self._stop.wait(pause)
        while not self._stop.is_set():
            pause = self._round(processor)
            self._rest(processor, pause)

    def _rest(self, processor: build.Processor, seconds: float) -> None:
        """Wait so long, or until told to stop, or until our share of the scopes is another."""
        parts = processor.rounds.parts()
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            if self._stop.wait(min(left, LOOK_SECONDS)) or processor.rounds.parts() != parts:
                return

    def _start(self) -> tuple[Share, build.Processor] | tuple[None, None]:
        """Put the worker together; nothing if there is to be no such worker, or it is told to stop
        before that is possible.

        The configuration was right when the daemon started, and may have been spoilt since. To
        die of it would only make the supervisor start the next worker at once.
        """
        told = ""
        while not self._stop.is_set():
            try:
                return self._built() if self._is_wanted() else (None, None)
            except (ConfigurationError, MetricsError, cfg.Error) as error:
                problem = str(error).replace("\n", "; ")
            if problem != told:
                LOG.error("nothing is rated until this is put right: %s", problem)
                told = problem
            self._stop.wait(TROUBLE_SECONDS)
        return None, None

    def _built(self) -> tuple[Share, build.Processor]:
        share = share_of(self._conf, self.worker_id)
        processor = build.build(
            self._conf,
            share=share,
            telemetry=CountedRating(self._exposition.registry) if self._exposition else None,
        )
        memory.settle()
        wanted = self._conf.orchestrator.max_workers
        LOG.info("worker %d of %d started", self.worker_id + 1, wanted)
        return share, processor

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


def run(conf: cfg.ConfigOpts) -> None:
    """Run the daemon until it is told to end.

    :raises ConfigurationError: the coordination service, or the port for numbers, cannot be used
        as it is configured.
    """
    # Here, and not in every worker again and again: what is wrong ends the command.
    share_of(conf).close()
    exposition, listener = _metrics(conf)
    manager = cotyledon.ServiceManager(mp_context=multiprocessing.get_context("fork"))
    _add_workers(manager, conf, exposition)
    if exposition and listener:
        manager.add(MetricsWorker, args=(conf, exposition, listener))
    memory.share()
    manager.run()


def _add_workers(
    manager: cotyledon.ServiceManager, conf: cfg.ConfigOpts, exposition: Exposition | None
) -> None:
    """Have the supervisor keep the workers running, and read the configuration at ``SIGHUP``."""
    crashes = Crashes()
    count = _count(conf)
    grace: int = conf.graceful_shutdown_timeout
    workers = manager.add(ProcessorWorker, workers=count, args=(conf, exposition, crashes))

    def note(service: ServiceId, worker: WorkerId, exit_code: int) -> None:
        if service == workers:
            crashes.note(worker, exit_code)

    def read_again() -> None:
        nonlocal grace
        conf.clear_override("graceful_shutdown_timeout")
        conf.reload_config_files()
        try:
            grace = conf.graceful_shutdown_timeout
            return
        except cfg.Error as error:
            problem = error
        LOG.error("%s; it stays %d s", problem, grace)
        conf.set_override("graceful_shutdown_timeout", grace)

    def grow() -> None:
        nonlocal count
        try:
            count = max(count, _count(conf))
        except cfg.Error:
            return  # each of the workers says so
        manager.reconfigure(workers, count)

    # What the library reads at a reload has to be right: it would log a traceback.
    manager.register_hooks(on_dead_worker=note, on_reload=read_again)
    oslo_config_glue.setup(manager, conf, reload_method="reload")
    # After the configuration has been read again, which the hook before this one does.
    manager.register_hooks(on_reload=grow)
    # It would read every option at each reload, and fail with a traceback at one that is spoilt.
    conf.set_default("log_options", False)


def _count(conf: cfg.ConfigOpts) -> int:
    """Return how many processes there are to be: one to see the next ``SIGHUP`` by at least."""
    wanted: int = conf.orchestrator.max_workers
    if not wanted:
        LOG.warning("[orchestrator] max_workers is 0: this host rates nothing")
    return max(1, wanted)


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
