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
from cloudkitty.processor import memory
from cloudkitty.processor.reprocessing import Reprocessor
from cloudkitty.processor.retention import Retention
from cloudkitty.processor.schedule import Schedule, back_off
from cloudkitty.processor.worker import Clock, Outcome, Worker, named
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
    """The scopes to rate: what the fetcher lists, kept when it fails for a while.

    One that is listed no more is rated through the period in which it was first missing: up to
    there it can have used something. Then it rests, until it is listed again, and goes on where it
    was.
    """

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
        self._failures = 0
        self._retry_at: datetime.datetime | None = None

    def fetch(self, now: datetime.datetime) -> None:
        """Ask the fetcher, and add new scopes to the database.

        :raises FetchError: the list is not to be had now.
        """
        listed = self._listed()
        self._scopes.ensure(listed, starts_at=self._schedule.first_begin(now), now=now)
        gone = self._scopes.note_listed(listed, self._identity, now)
        if gone:
            # All of them at once are rather a mistake, of which the operator should know.
            level = logging.INFO if listed else logging.WARNING
            LOG.log(
                level,
                "%d of the scopes are not listed any more: %s; they are rated up to now, and rest",
                len(gone),
                named(gone),
            )

    def _listed(self) -> list[Scope]:
        try:
            found = self._fetcher.scopes()
        except FetchError:
            raise
        except Exception as error:
            # Fetchers may be others'.
            LOG.debug("the fetcher fails", exc_info=True)
            raise FetchError(f"{type(error).__name__}: {error}") from error
        return [Scope(identifier, **self._identity) for identifier in found]

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
        """Return the active scopes that do not rest, as they stand now."""
        states = self._scopes.states(**self._identity)
        return [state for state in states if not state.rests(self._schedule.seconds)]


class Rounds:
    """Rates everything that is due."""

    def __init__(
        self,
        *,
        source: ScopeSource,
        schedule: Schedule,
        worker: Worker,
        reprocessor: Reprocessor,
        retention: Retention | None = None,
        clock: Clock,
        parts: int = 1,
        first_part: int = 0,
        lock: Lock = unlocked,
    ) -> None:
        self._source = source
        self._schedule = schedule
        self._worker = worker
        self._reprocessor = reprocessor
        self._retention = retention
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
        nothing is due, a step of reprocessing is done, or else one of purging.

        A scope that fails or waits is left alone for the rest of the round; those that failed are
        returned.
        """
        failed: dict[int, ScopeState] = {}
        waiting: set[int] = set()
        while not stop():
            self._worker.refresh()
            states = part_of(self._source.states(), part, len(self._parts))
            left = [s for s in states if s.id not in failed and s.id not in waiting]
            batches = self._schedule.batches(left, self._clock(), retry=retry)
            if not batches and not self._step(part):
                break
            for batch in batches:
                if stop() or batch.period != batches[0].period:
                    break
                outcome = self._worker.rate(batch)
                failed |= {state.id: state for state in outcome.failed}
                waiting |= {state.id for state in outcome.waiting}
                watch(outcome)
            memory.tidy()
        return list(failed.values())

    def _step(self, part: int) -> bool:
        """Do a little of what has time; return whether there was anything."""
        if self._reprocessor.step(self._in(part), self._source.has):
            return True
        # One worker is enough, and two would be in each other's way: who has the first part.
        return part == 0 and self._retention is not None and self._retention.step()

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
