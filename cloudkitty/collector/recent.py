# SPDX-License-Identifier: Apache-2.0
"""Keeps a source's answers about one period for a moment, so that metrics and batches of scopes
that need the same answer share one request.

Invariants: an answer is asked for once however many threads want it; only the answers about the
period asked about last are kept; none is used longer than a minute, so that a later try sees
what has arrived since.
"""

import threading
import time
from collections.abc import Callable, Hashable
from typing import Any, TypeVar, cast

from cloudkitty.period import Period

_SECONDS = 60

_Answer = TypeVar("_Answer")


class Recent:
    """See the module."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._forget(None)

    def get(self, period: Period, key: Hashable, ask: Callable[[], _Answer]) -> _Answer:
        """Return the answer kept under *key*, or that of *ask*; an error is not kept."""
        with self._lock:
            if period != self._period or self._clock() >= self._expires:
                self._forget(period)
            answers = self._answers
            turn = self._turns.setdefault(key, threading.Lock())
        with turn:
            if key not in answers:
                answers[key] = ask()
            return cast(_Answer, answers[key])

    def _forget(self, period: Period | None) -> None:
        self._period = period
        self._expires = self._clock() + _SECONDS
        self._answers: dict[Hashable, Any] = {}
        self._turns: dict[Hashable, threading.Lock] = {}
