# SPDX-License-Identifier: Apache-2.0
"""A round: find the scopes, rate what is due, say when to come back.

Scopes are shared out in parts; a worker that holds a part's lock rates its scopes. Locks save
work: without them the ledger would refuse the second of two writers.
"""

import datetime
import logging
import zlib
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext

from oslo_config import cfg

from cloudkitty.db.scopes import ScopeStore
from cloudkitty.fetcher.base import Fetcher, FetchError
from cloudkitty.processor.reprocessing import Reprocessor
from cloudkitty.processor.schedule import Schedule, back_off
from cloudkitty.processor.worker import Clock, Outcome, Worker
from cloudkitty.scope import Scope, ScopeState

LOG = logging.getLogger(__name__)

FETCH_RETRY = 10
FETCH_RETRY_LONGEST = 600
"""Seconds before a failing fetcher is asked again: at first, and at most."""

Lock = Callable[[int], AbstractContextManager[bool]]
"""Given a part's number, a context that is entered with whether the part is ours."""

Stop = Callable[[], bool]
Watcher = Callable[[Outcome], None]


def unlocked(_part: int) -> AbstractContextManager[bool]:
    """The lock of a process that works alone."""
    return nullcontext(True)


class ScopeSource:
    """The scopes to rate: what the fetcher lists, kept when it fails for a while."""

    def __init__(
        self, conf: cfg.ConfigOpts, fetcher: Fetcher, scopes: ScopeStore, schedule: Schedule
    ) -> None:
        self._identity = {
            "scope_key": conf.collect.scope_key,
            "fetcher": conf.fetcher.backend,
            "collector": conf.collect.collector,
        }
        self._fetcher = fetcher
        self._scopes = scopes
        self._schedule = schedule
        self._listed: frozenset[str] = frozenset()
        self._failures = 0
        self._retry_at: datetime.datetime | None = None

    def fetch(self, now: datetime.datetime) -> None:
        """Ask the fetcher, and add new scopes to the database.

        :raises FetchError: the list is not to be had now.
        """
        listed = self._fetcher.scopes()
        self._listed = frozenset(listed)
        wanted = [Scope(identifier, **self._identity) for identifier in listed]
        self._scopes.ensure(wanted, starts_at=self._schedule.first_begin(now), now=now)

    def refresh(self, now: datetime.datetime) -> None:
        """As ``fetch``, but a fetcher that fails is logged and left alone for a while; the last
        list stays."""
        if self._retry_at is not None and now < self._retry_at:
            return
        try:
            self.fetch(now)
            self._failures, self._retry_at = 0, None
            return
        except FetchError as error:
            failure = error
        self._failures += 1
        self._retry_at = now + back_off(self._failures, FETCH_RETRY, FETCH_RETRY_LONGEST)
        LOG.error("the list of scopes could not be fetched: %s", failure)

    def has(self, state: ScopeState) -> bool:
        """Return whether the scope and its usage come from where this configuration says."""
        scope = state.scope
        return scope == Scope(scope.identifier, **self._identity)

    def states(self) -> list[ScopeState]:
        """Return the active scopes on the list, as they stand now."""
        states = self._scopes.states(**self._identity)
        return [state for state in states if state.scope.identifier in self._listed]


class Rounds:
    """Rates everything that is due."""

    def __init__(
        self,
        *,
        source: ScopeSource,
        schedule: Schedule,
        worker: Worker,
        reprocessor: Reprocessor,
        clock: Clock,
        parts: int = 1,
        first_part: int = 0,
        lock: Lock = unlocked,
    ) -> None:
        self._source = source
        self._schedule = schedule
        self._worker = worker
        self._reprocessor = reprocessor
        self._clock = clock
        self._parts = [(first_part + number) % parts for number in range(parts)]
        self._lock = lock

    def due(self) -> int:
        """Return how many periods of how many scopes are due in all."""
        now = self._clock()
        return sum(self._schedule.due_count(state, now) for state in self._source.states())

    def run(self, stop: Stop = lambda: False, watch: Watcher = lambda _outcome: None) -> None:
        """Rate what is due, part by part, each until nothing is due or *stop* says so."""
        self._source.refresh(self._clock())
        for part in self._parts:
            with self._lock(part) as ours:
                if ours:
                    self._drain(part, stop, watch)

    def run_all(self, stop: Stop, watch: Watcher) -> Sequence[ScopeState]:
        """Rate what is due, even if it has failed before and would wait; return the scopes
        that failed."""
        return [
            state for part in self._parts for state in self._drain(part, stop, watch, retry=True)
        ]

    def _drain(
        self, part: int, stop: Stop, watch: Watcher, *, retry: bool = False
    ) -> list[ScopeState]:
        """Rate one part until nothing is due: the oldest period, and then look again. When
        nothing is due, a step of reprocessing is done.

        A scope that fails is left alone for the rest of the round; those that did are returned.
        """
        failed: dict[int, ScopeState] = {}
        while not stop():
            states = part_of(self._source.states(), part, len(self._parts))
            waiting = [state for state in states if state.id not in failed]
            batches = self._schedule.batches(waiting, self._clock(), retry=retry)
            if not batches and not self._reprocessor.step(self._in(part), self._source.has):
                break
            for batch in batches:
                if stop() or batch.period != batches[0].period:
                    break
                outcome = self._worker.rate(batch)
                failed |= {state.id: state for state in outcome.failed}
                watch(outcome)
        return list(failed.values())

    def _in(self, part: int) -> Callable[[ScopeState], bool]:
        return lambda state: bool(part_of([state], part, len(self._parts)))

    def wake_at(self) -> datetime.datetime | None:
        """Return when something becomes due next, ``None`` if there is nothing to wait for."""
        return self._schedule.wake_at(self._source.states(), self._clock())


def part_of(states: Iterable[ScopeState], part: int, parts: int) -> Sequence[ScopeState]:
    """Return the scopes of one part; a scope is always in the same one."""
    return [
        state for state in states if zlib.crc32(state.scope.identifier.encode()) % parts == part
    ]
