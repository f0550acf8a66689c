# SPDX-License-Identifier: Apache-2.0
"""Keeps a source's answers about one period for a moment, so that metrics and batches of scopes
that need the same answer share one request.

Invariants: an answer is asked for once however many threads want it; only the answers about the
period asked about last are kept; none is used longer than a minute, so that a later try sees
what has arrived since, and none after something was found wrong with an answer; those who wait for
an answer share its error, too.
"""

import threading
import time
from collections.abc import Callable, Hashable
from concurrent.futures import Future
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
            known = answers.get(key)
            if known is None:
                answers[key] = asked = Future[Any]()
        if known is not None:
            return cast(_Answer, known.result())
        try:
            answer = ask()
        except BaseException as error:
            # First, so that nobody who comes later meets it.
            with self._lock:
                del answers[key]
            asked.set_exception(error)
            raise
        asked.set_result(answer)
        return answer

    def forget(self) -> None:
        """Keep nothing of what was answered: something is wrong with it."""
        with self._lock:
            self._forget(None)

    def _forget(self, period: Period | None) -> None:
        self._period = period
        self._expires = self._clock() + _SECONDS
        self._answers: dict[Hashable, Future[Any]] = {}
