# SPDX-License-Identifier: Apache-2.0
"""How long a worker waits before it starts where others have died.

Kept by the supervisor; a worker knows what the supervisor knew when it was forked.
"""

import time
from collections.abc import Callable

from cloudkitty.processor.schedule import back_off

STEADY_SECONDS = 300
"""A worker that lives so long has got over what its predecessors died of."""

FIRST_PAUSE = 1
LONGEST_PAUSE = 60


class Crashes:
    """The deaths in a row of each worker."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._deaths: dict[int, tuple[int, float]] = {}

    def note(self, worker: int, exit_code: int) -> None:
        """Note that a worker has ended; one that was told to has not died."""
        count, last = self._deaths.get(worker, (0, 0.0))
        if exit_code == 0:
            self._deaths.pop(worker, None)
            return
        now = self._clock()
        count = 0 if count and now - last > STEADY_SECONDS else count
        self._deaths[worker] = count + 1, now

    def deaths(self, worker: int) -> int:
        """Return how many have died in a row, each soon after the one before."""
        return self._deaths.get(worker, (0, 0.0))[0]

    def pause(self, worker: int) -> float:
        """Return the seconds that the next one has to wait: none after the first death."""
        deaths = self.deaths(worker)
        if deaths < 2:
            return 0
        return back_off(deaths - 1, FIRST_PAUSE, LONGEST_PAUSE).total_seconds()
