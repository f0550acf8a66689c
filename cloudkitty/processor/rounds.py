# SPDX-License-Identifier: Apache-2.0
"""A round: find the scopes, rate what is due, say when to come back.

A worker rates the scopes of its parts whose locks it holds, all in one batch. Locks save work:
without them the ledger would refuse the second of two writers.
"""

import datetime
import logging
from collections.abc import Callable, Container, Sequence

from oslo_config import cfg

from cloudkitty.db.scopes import ScopeStore
from cloudkitty.fetcher.base import Fetcher, FetchError
from cloudkitty.processor import memory
from cloudkitty.processor.neglect import Neglect
from cloudkitty.processor.reprocessing import Reprocessor
from cloudkitty.processor.retention import Retention
from cloudkitty.processor.schedule import Schedule, back_off
from cloudkitty.processor.sharing import LockedParts, Parts, Share, Turn, part_of
from cloudkitty.processor.worker import Clock, Outcome, Worker, named
from cloudkitty.scope import Scope, ScopeState

LOG = logging.getLogger(__name__)

FETCH_RETRY = 10
FETCH_RETRY_LONGEST = 600
"""Seconds before a failing fetcher is asked again: at first, and at most."""

Stop = Callable[[], bool]
Watcher = Callable[[Outcome], None]


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

    @property
    def retry_at(self) -> datetime.datetime | None:
        """When a fetcher that has failed is asked again."""
        return self._retry_at

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
        share: Share | None = None,
        patience: int = 600,
    ) -> None:
        """*patience* is how many seconds others' scopes may be due and stand still."""
        self._source = source
        self._schedule = schedule
        self._worker = worker
        self._reprocessor = reprocessor
        self._retention = retention
        self._clock = clock
        self._share = share or LockedParts()
        self._neglect = Neglect(datetime.timedelta(seconds=patience))

    def due(self) -> int:
        """Return how many periods of how many scopes are due in all."""
        now = self._clock()
        return sum(self._schedule.due_count(state, now) for state in self._source.states())

    def run(self, stop: Stop = lambda: False, watch: Watcher = lambda _outcome: None) -> None:
        """Rate what is due, turn by turn, each until nothing is due or *stop* says so."""
        self._source.refresh(self._clock())
        for entered in self._share.turns():
            with entered as turn:
                if turn is not None:
                    self._drain(turn, stop, watch)
        if not stop():
            self._look_after_others()

    def run_all(self, stop: Stop, watch: Watcher) -> Sequence[ScopeState]:
        """Rate what is due, even if it has failed before and would wait; return the scopes
        that failed."""
        failed: list[ScopeState] = []
        for entered in self._share.turns():
            with entered as turn:
                if turn is not None:
                    failed += self._drain(turn, stop, watch, retry=True)
        return failed

    def _drain(
        self, turn: Turn, stop: Stop, watch: Watcher, *, retry: bool = False
    ) -> list[ScopeState]:
        """Rate our parts until nothing is due: the oldest period, and then look again. When
        nothing is due, a step of reprocessing is done, or else one of purging.

        A scope that fails or waits is left alone for the rest of the round; those that failed are
        returned.
        """
        failed: dict[int, ScopeState] = {}
        waiting: set[int] = set()
        while not stop():
            self._worker.refresh()
            parts = turn.parts()
            batches = self._schedule.batches(self._due_of(turn, {*failed, *waiting}, retry))
            if not batches and not self._step(turn):
                break
            for batch in batches:
                if stop() or batch.period != batches[0].period or turn.parts() != parts:
                    break
                outcome = self._worker.rate(batch)
                failed |= {state.id: state for state in outcome.failed}
                waiting |= {state.id for state in outcome.waiting}
                watch(outcome)
            memory.tidy()
        return list(failed.values())

    def _due_of(self, turn: Turn, leave: Container[int], retry: bool) -> list[ScopeState]:
        """Return the scopes to rate now, without those to *leave*: read after the locks of their
        parts were taken, lest somebody has just rated them."""
        due = self._due_in(turn.parts(), leave, retry)
        wanted = {self._part(state) for state in due}
        if wanted <= turn.held():
            return due
        return self._due_in(turn.hold(wanted), leave, retry)

    def _due_in(self, parts: Parts, leave: Container[int], retry: bool) -> list[ScopeState]:
        states = [state for state in self._source.states() if self._part(state) in parts]
        due = self._schedule.due(states, self._clock(), retry=retry)
        return [state for state in due if state.id not in leave]

    def _step(self, turn: Turn) -> bool:
        """Do a little of what has time; return whether there was anything."""

        def is_ours(part: int) -> bool:
            return part in turn.parts() and part in turn.hold((part,))

        if self._reprocessor.step(lambda one: is_ours(self._part(one)), self._source.has):
            return True
        # One worker is enough, and two would be in each other's way: who has the first part.
        return self._retention is not None and is_ours(0) and self._retention.step()

    def _look_after_others(self) -> None:
        """Take up what others should do and do not; what was taken up is theirs again."""
        ours = self._share.parts()
        neglected: Parts = frozenset()
        if len(ours) < self._share.count:
            states = [state for state in self._source.states() if self._part(state) not in ours]
            now = self._clock()
            due = self._schedule.due(states, now)
            neglected = self._neglect.look(due, self._share.count, now)
        self._share.adopt(neglected)

    def _part(self, state: ScopeState) -> int:
        return part_of(state, self._share.count)

    def parts(self) -> Parts:
        """Return the parts that are ours, as it is now."""
        return self._share.parts()

    def wake_at(self) -> datetime.datetime | None:
        """Return when something of ours becomes due next, or the list of scopes is to be asked for
        again, ``None`` if there is nothing to wait for."""
        ours = self._share.parts()
        states = [state for state in self._source.states() if self._part(state) in ours]
        found = (self._schedule.wake_at(states, self._clock()), self._source.retry_at)
        return min((instant for instant in found if instant is not None), default=None)
