# SPDX-License-Identifier: Apache-2.0
"""Calls that end in time, whatever they wait for.

Invariant: all calls under one deadline together take no longer than it says. What is still
running then goes on in a thread that does not keep the program from ending.
"""

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

Result = TypeVar("Result")


class TookTooLong(Exception):
    """There was no answer in time."""

    def __init__(self, seconds: float) -> None:
        super().__init__(f"no answer within {seconds:.0f} s")


class Deadline:
    """The instant by which everything has to be done, *seconds* from now."""

    def __init__(self, seconds: float) -> None:
        self._end = time.monotonic() + seconds

    def left(self) -> float:
        """Return the seconds that are left, never less than none."""
        return max(0.0, self._end - time.monotonic())

    def call(self, function: Callable[[], Result], most: float | None = None) -> Result:
        """Return what *function* returns, or raise what it raises, within *most* seconds.

        :raises TookTooLong: it does neither.
        """
        return self.result(start(function), most)

    def result(self, future: "Future[Result]", most: float | None = None) -> Result:
        """As ``call``, for what has been started."""
        seconds = self.left() if most is None else min(most, self.left())
        try:
            return future.result(seconds)
        except TimeoutError:
            # It may be the function's own error, or have come at the last moment.
            if future.done():
                return future.result()
            raise TookTooLong(seconds) from None


def start(
    function: Callable[[], Result], gate: threading.Semaphore | None = None
) -> Future[Result]:
    """Run *function* in a thread; with *gate*, only while the gate lets it through."""
    future: Future[Result] = Future()

    def run() -> None:
        try:
            if gate is None:
                result = function()
            else:
                with gate:
                    result = function()
        except BaseException as error:  # noqa: BLE001 - raised again where the result is asked for
            future.set_exception(error)
        else:
            future.set_result(result)

    threading.Thread(target=run, daemon=True).start()
    return future
