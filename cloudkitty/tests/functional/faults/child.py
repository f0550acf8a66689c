# SPDX-License-Identifier: Apache-2.0
"""A worker of the daemon in a process of its own, as the supervisor would fork it.

The child talks through pipes, because a lock that a killed process held would be held for ever;
and it ends when the test that has started it does.
"""

import functools
import multiprocessing
import os
import select
import signal
import threading
from collections.abc import Callable
from multiprocessing.context import ForkProcess
from typing import NamedTuple, NoReturn

from oslo_config import cfg

from cloudkitty.cli import common
from cloudkitty.processor import build, group, service
from cloudkitty.processor.crashes import Crashes
from cloudkitty.processor.worker import Clock

BOUND = 60
"""Seconds after which whatever is waited for has failed."""


class Pace(NamedTuple):
    """Seconds that a worker waits: after a round that failed as a whole, between two rounds at
    least and at most, before a failed period is tried again, and for another who is silent."""

    trouble: float
    pause: float
    idle: float
    retry: int
    silence: int


class Inside:
    """What the child can do about itself."""

    def __init__(self, told: int, go: int) -> None:
        self._told = told
        self._go = go

    def hold(self) -> None:
        """Tell the test that a point is reached, and wait until it says go."""
        os.write(self._told, b"!")
        if not os.read(self._go, 1):
            os._exit(1)

    def die(self) -> NoReturn:
        """End at once, as if the power were cut."""
        os.kill(os.getpid(), signal.SIGKILL)
        raise AssertionError("a killed process goes on")

    def freeze(self) -> None:
        """Stop until the test lets this process go on."""
        os.write(self._told, b"!")
        os.kill(os.getpid(), signal.SIGSTOP)


Prepare = Callable[[Inside], None]
"""What a child does to itself before it starts to work."""


class Child:
    """A worker that rates until it is stopped, killed, or dies of a fault."""

    def __init__(self, conf: cfg.ConfigOpts, clock: Clock, prepare: Prepare, pace: Pace) -> None:
        heard, told = os.pipe()
        go, allowed = os.pipe()
        stop, ended = os.pipe()
        self._heard, self._allowed, self._ended = heard, allowed, ended

        def become() -> None:
            for end in (heard, allowed, ended):
                os.close(end)
            _work(conf, clock, functools.partial(prepare, Inside(told, go)), pace, stop)

        self._process: ForkProcess = multiprocessing.get_context("fork").Process(target=become)
        self._process.start()
        for end in (told, go, stop):
            os.close(end)

    @property
    def exit_code(self) -> int | None:
        """How it ended, ``None`` while it lives."""
        return self._process.exitcode

    def await_point(self) -> None:
        """Wait until the child has come to where it holds or freezes."""
        assert select.select([self._heard], [], [], BOUND)[0], "the point was not reached in time"
        assert os.read(self._heard, 1) == b"!", f"the child ended before it: {self.exit_code}"

    def go(self) -> None:
        """Let a child that holds go on."""
        os.write(self._allowed, b"!")

    def thaw(self) -> None:
        """Let a child that froze go on."""
        assert self._process.pid is not None
        os.kill(self._process.pid, signal.SIGCONT)

    def finish_round(self) -> None:
        """Wait until a child that was told to end has finished what it was at."""
        self._end()
        self._process.join(BOUND)
        assert self.exit_code == 0, f"it should have ended by itself: {self.exit_code}"

    def await_death(self) -> None:
        """Wait until the child has killed itself."""
        self._process.join(BOUND)
        assert self.exit_code == -signal.SIGKILL, f"it should have died: {self.exit_code}"

    def stop(self) -> None:
        """Tell the child to finish what it does and end; kill it when it does not."""
        self._end()
        self._process.join(BOUND)
        if self.exit_code is None:
            self._process.kill()
            self._process.join()
        for end in (self._heard, self._allowed):
            os.close(end)

    def _end(self) -> None:
        if self._ended >= 0:
            os.close(self._ended)
        self._ended = -1


def _work(
    conf: cfg.ConfigOpts, clock: Clock, prepare: Callable[[], None], pace: Pace, stop: int
) -> None:
    common.set_up_logging(conf)
    build.utcnow = clock
    service.TROUBLE_SECONDS = pace.trouble
    service.PAUSE_SECONDS = pace.pause
    service.IDLE_SECONDS = pace.idle
    service.LOOK_SECONDS = group.WATCH_SECONDS = pace.pause
    prepare()
    worker = service.ProcessorWorker(0, conf, None, Crashes())

    def await_stop() -> None:
        os.read(stop, 1)
        worker.terminate()

    threading.Thread(target=await_stop, daemon=True).start()
    worker.run()
    # Not by way of the test runner's own exit.
    os._exit(0)
