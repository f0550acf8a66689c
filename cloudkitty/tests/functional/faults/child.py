# SPDX-License-Identifier: Apache-2.0
"""A worker of the daemon in a process of its own, as the supervisor would fork it.

The child talks through pipes, because a lock that a killed process held would be held for ever;
and it ends when the test that has started it does.
"""

import functools
import gc
import multiprocessing
import os
import select
import signal
import threading
import time
import types
from collections.abc import Callable
from multiprocessing.context import ForkProcess
from typing import NamedTuple, NoReturn

from oslo_config import cfg

from cloudkitty.cli import common
from cloudkitty.processor import build, group, service
from cloudkitty.processor.crashes import Crashes
from cloudkitty.processor.rounds import Rounds
from cloudkitty.processor.worker import Clock, Retry

BOUND = 90
"""Seconds after which whatever is waited for has failed."""


VAIN_ROUNDS = 5
"""Rounds after which a worker will not come to a point any more."""


class Pace(NamedTuple):
    """Seconds that a worker waits: after a round that failed as a whole, between two rounds at
    least and at most, before a failed period is tried again at first, at random, and for another
    who is silent."""

    trouble: float
    pause: float
    idle: float
    retry: float
    jitter: bool
    silence: int


class Inside:
    """What the child can do about itself."""

    def __init__(self, told: int, go: int) -> None:
        self._told = told
        self._go = go

    def tell(self) -> None:
        """Tell the test that a point is reached, and go on."""
        os.write(self._told, b"!")

    def hold(self) -> None:
        """Tell the test that a point is reached, and wait until it says go."""
        self.tell()
        if not os.read(self._go, 1):
            os._exit(1)

    def die(self) -> NoReturn:
        """End at once, as if the power were cut."""
        os.kill(os.getpid(), signal.SIGKILL)
        raise AssertionError("a killed process goes on")

    def freeze(self) -> None:
        """Stop until the test lets this process go on."""
        self.tell()
        os.kill(os.getpid(), signal.SIGSTOP)


Prepare = Callable[[Inside], None]
"""What a child does to itself before it starts to work."""


class Child:
    """A worker that rates until it is stopped, killed, or dies of a fault."""

    def __init__(self, conf: cfg.ConfigOpts, clock: Clock, prepare: Prepare, pace: Pace) -> None:
        self._silence = pace.silence
        heard, told = os.pipe()
        counted, round_done = os.pipe()
        go, allowed = os.pipe()
        stop, ended = os.pipe()
        self._heard, self._counted = heard, counted
        self._allowed, self._ended = allowed, ended

        def become() -> None:
            for end in (heard, counted, allowed, ended):
                os.close(end)
            _set(pace, clock, round_done)
            _work(conf, functools.partial(prepare, Inside(told, go)), stop)

        self._process: ForkProcess = multiprocessing.get_context("fork").Process(target=become)
        # The child would go through all that the test runner holds, in search of garbage.
        gc.freeze()
        self._process.start()
        gc.unfreeze()
        for end in (told, round_done, go, stop):
            os.close(end)

    @property
    def exit_code(self) -> int | None:
        """How it ended, ``None`` while it lives."""
        return self._process.exitcode

    def await_point(self) -> None:
        """Wait until the child has come to where it tells, holds or freezes."""
        self._await(self._heard, "the point was not reached")
        assert os.read(self._heard, 1) == b"!", f"the child ended before it: {self.exit_code}"

    def await_rounds(self, number: int) -> None:
        """Wait until the child has done so many rounds that begin after now."""
        while select.select([self._counted], [], [], 0)[0] and os.read(self._counted, 1):
            pass
        # The first to end may have begun before.
        for _ in range(number + 1):
            assert select.select([self._counted], [], [], BOUND)[0], "no round has ended in time"
            assert os.read(self._counted, 1), f"the child has ended: {self.exit_code}"

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
        self._await(self._process.sentinel, "the child lives on")
        self._died()

    def kill(self) -> None:
        """Kill the child wherever it is."""
        self._process.kill()
        self._died()

    def _died(self) -> None:
        self._process.join(BOUND)
        assert self.exit_code == -signal.SIGKILL, f"it should have died: {self.exit_code}"

    def _await(self, event: int, otherwise: str) -> None:
        """Wait for an event that comes within a few rounds after whoever was killed before has
        been missed, or never."""
        missed_by = time.monotonic() + 3 * self._silence
        rounds = 0
        while rounds < VAIN_ROUNDS or time.monotonic() < missed_by:
            ready, _, _ = select.select([event, self._counted], [], [], BOUND)
            assert ready, f"{otherwise} in time"
            if event in ready or not os.read(self._counted, 1):
                return
            rounds += 1
        raise AssertionError(f"{otherwise} in {rounds} rounds")

    def stop(self) -> None:
        """Tell the child to finish what it does and end; kill it when it does not."""
        self._end()
        self._process.join(BOUND)
        if self.exit_code is None:
            self._process.kill()
            self._process.join()
        for end in (self._heard, self._counted, self._allowed):
            os.close(end)

    def _end(self) -> None:
        if self._ended >= 0:
            os.close(self._ended)
        self._ended = -1


def _set(pace: Pace, clock: Clock, round_done: int) -> None:
    """Give this process its clock and its pace, and have it tell of each round."""
    build.utcnow = clock
    service.TROUBLE_SECONDS = pace.trouble
    service.PAUSE_SECONDS = pace.pause
    service.IDLE_SECONDS = pace.idle
    service.LOOK_SECONDS = group.WATCH_SECONDS = pace.pause
    build.Retry = functools.partial(_retry, pace.retry)
    if not pace.jitter:
        service.random = types.SimpleNamespace(uniform=lambda least, _most: least)
    run = Rounds.run

    @functools.wraps(run)
    def telling(*args: object, **kwargs: object) -> None:
        try:
            run(*args, **kwargs)
        finally:
            os.write(round_done, b".")

    Rounds.run = telling


def _retry(pause: float, _first: int, longest: int) -> Retry:
    return Retry(pause, longest)  # type: ignore[arg-type]


def _work(conf: cfg.ConfigOpts, prepare: Callable[[], None], stop: int) -> None:
    common.set_up_logging(conf)
    prepare()
    worker = service.ProcessorWorker(0, conf, None, Crashes())

    def await_stop() -> None:
        os.read(stop, 1)
        worker.terminate()

    threading.Thread(target=await_stop, daemon=True).start()
    worker.run()
    # Not by way of the test runner's own exit.
    os._exit(0)
