# SPDX-License-Identifier: Apache-2.0
"""One batch: collect, rate, store.

Invariants: a period is stored whole or not at all; a scope that fails does not keep another
from being rated; every failure is logged once, with scope, period and metric, and noted in the
scope's state together with the time of the next try. What is logged is logged outside of
``except``: there the log's formatter would write the error a second time.
"""

import datetime
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from cloudkitty.collector.base import CollectError, SourceUnavailable
from cloudkitty.dataframe import DataFrame
from cloudkitty.db.engine import is_away
from cloudkitty.db.scopes import ScopeStore
from cloudkitty.operations import EvaluationError
from cloudkitty.period import Period
from cloudkitty.processor.collecting import Collecting, NoSource
from cloudkitty.processor.late import Held, LateUsage
from cloudkitty.processor.schedule import Batch, back_off
from cloudkitty.rating.base import RatingError
from cloudkitty.rating.pipeline import Pipeline
from cloudkitty.scope import ScopeState
from cloudkitty.skipfilter import SkipFilter
from cloudkitty.storage.base import Storage, StorageError
from cloudkitty.telemetry.rating import RatingTelemetry

LOG = logging.getLogger(__name__)

Clock = Callable[[], datetime.datetime]

_SHOWN_SCOPES = 3


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a batch."""

    rated: tuple[ScopeState, ...] = ()
    failed: tuple[ScopeState, ...] = ()
    overtaken: tuple[ScopeState, ...] = ()
    waiting: tuple[ScopeState, ...] = ()
    points: int = 0

    def __add__(self, other: "Outcome") -> "Outcome":
        return Outcome(
            self.rated + other.rated,
            self.failed + other.failed,
            self.overtaken + other.overtaken,
            self.waiting + other.waiting,
            self.points + other.points,
        )


@dataclass(frozen=True, slots=True)
class Retry:
    """How long to wait before a failed period is tried again, in seconds."""

    first: int = 10
    longest: int = 600


class Worker:
    """Rates batches with one way of collecting, one pipeline, one skip filter and one store."""

    def __init__(
        self,
        *,
        collecting: Collecting,
        late: LateUsage,
        pipeline: Pipeline,
        skip: SkipFilter,
        storage: Storage,
        scopes: ScopeStore,
        clock: Clock,
        retry: Retry,
        telemetry: RatingTelemetry,
    ) -> None:
        self._telemetry = telemetry
        self._collecting = collecting
        self._late = late
        self._pipeline = pipeline
        self._skip = skip
        self._storage = storage
        self._scopes = scopes
        self._clock = clock
        self._retry = retry

    def close(self) -> None:
        """Release threads and connections."""
        self._collecting.close()

    def rate(self, batch: Batch) -> Outcome:
        """Rate one period of the batch's scopes.

        A batch that fails as a whole is tried in halves, until the scopes that are to blame
        are alone; unless its source does not answer at all, or there is none.

        :raises StorageError: the database is away, or not even the failure could be noted.
        """
        self._telemetry.retried(sum(state.last_error is not None for state in batch.states))
        return self._rate(batch)

    def _rate(self, batch: Batch) -> Outcome:
        try:
            with self._telemetry.step("collect"):
                usage = self._collecting.usage(batch)
            now = self._clock()
            late = self._late.missing(batch, usage, now)
            held = {state: why for state, why in late.items() if now < why.until}
            with self._telemetry.step("rate"):
                rated, refused = self._rated(batch.without(held), usage.frames)
            outcome = self._stored(batch.period, rated)
            self._late.remember(batch.period, outcome.rated, usage)
            self._scopes.forget_troubles([one for one in outcome.rated if one.last_error])
            # After storing: if that fails, the halves come across them again.
            for state, reason in refused.items():
                outcome += self._failed(Batch(batch.period, (state,)), reason)
            in_vain = {state: late[state] for state in outcome.rated if state in late}
            self._tell_in_vain(batch.period, in_vain)
            return outcome + self._waiting(batch.period, held)
        except NoSource as error:
            return self._without_source(batch, error)
        except (CollectError, StorageError, RatingError) as error:
            failure = error
        raise_if_away(failure)
        if len(batch.states) == 1 or isinstance(failure, SourceUnavailable):
            return self._failed(batch, failure)
        first, second = batch.halves()
        return self._rate(first) + self._rate(second)

    def refresh(self) -> None:
        """Follow what operators have noted about collectors since."""
        self._collecting.refresh()

    def collect(self, batch: Batch) -> dict[str, DataFrame]:
        """Return the frame of every scope of the batch, an empty one where nothing was used.

        :raises CollectError: usage of a metric is not to be had.
        """
        return dict(self._collecting.usage(batch).frames)

    # -- rating --------------------------------------------------------------------------------

    def _rated(
        self, batch: Batch, frames: Mapping[str, DataFrame]
    ) -> tuple[dict[ScopeState, DataFrame], dict[ScopeState, Exception]]:
        """Return the rated frames without the points to be skipped, and why those scopes have
        none whose frame cannot be rated."""
        self._pipeline.refresh()
        rated: dict[ScopeState, DataFrame] = {}
        refused: dict[ScopeState, Exception] = {}
        for state in batch.states:
            frame = frames[state.scope.identifier]
            try:
                rated[state] = self.price(state, frame)
            except (RatingError, EvaluationError) as error:
                refused[state] = error
        return rated, refused

    def price(self, state: ScopeState, frame: DataFrame) -> DataFrame:
        """Return the frame with prices and without the points to be skipped.

        :raises RatingError: it cannot be rated.
        :raises EvaluationError: the filter has no answer for a point.
        """
        if frame.usage:
            frame = self._pipeline.rate(frame, state.scope.identifier)
        return self._skip.kept(frame)

    # -- storing -------------------------------------------------------------------------------

    def _stored(self, period: Period, rated: Mapping[ScopeState, DataFrame]) -> Outcome:
        with self._telemetry.step("store"):
            overtaken = tuple(self._storage.replace(period, rated))
        if overtaken:
            LOG.info("period %s: %s already rated by another worker", period, named(overtaken))
        kept = tuple(state for state in rated if state not in overtaken)
        points = sum(len(rated[state]) for state in kept)
        LOG.debug("period %s: %d scopes, %d points", period, len(kept), points)
        self._telemetry.periods("rated", len(kept))
        self._telemetry.periods("overtaken", len(overtaken))
        self._telemetry.points(points)
        if self._telemetry.counts:
            for state in kept:
                self._count_unpriced(state, rated[state])
        return Outcome(rated=kept, overtaken=overtaken, points=points)

    def _count_unpriced(self, state: ScopeState, frame: DataFrame) -> None:
        try:
            found = self._pipeline.unmatched(frame, state.scope.identifier)
        except RatingError as error:
            # What is stored is stored; a number less is no reason to try again.
            LOG.debug("%s, period %s: %s", state.scope, frame.period, error)
        else:
            self._telemetry.unpriced(found)

    def _waiting(self, period: Period, held: Mapping[ScopeState, Held]) -> Outcome:
        """Have scopes wait for usage that is late."""
        pause = max(self._late.pause, datetime.timedelta(seconds=self._retry.first))
        for why, states in _by_reason(held).items():
            fresh = [state for state in states if not why.is_known_to(state)]
            if fresh:
                LOG.info("%s, period %s: %s", named(fresh), period, why.reason)
            now = self._clock()
            retry_at = min(now + pause, why.until)
            self._scopes.note_waiting(states, why.reason, retry_at, now, why.services)
        self._telemetry.periods("waiting", len(held))
        return Outcome(waiting=tuple(held))

    def _tell_in_vain(self, period: Period, held: Mapping[ScopeState, Held]) -> None:
        for why, states in _by_reason(held).items():
            LOG.log(
                logging.INFO if why.ended else logging.WARNING,
                "%s, period %s: rated without %s, of which the period before had some; nothing has "
                "come within %d s, see [collect] late_data_grace",
                named(states),
                period,
                why.metrics,
                self._late.grace.total_seconds(),
            )

    def _without_source(self, batch: Batch, error: NoSource) -> Outcome:
        """Nobody has failed, and what is wrong has been logged when it came about."""
        now = self._clock()
        retry_at = now + datetime.timedelta(seconds=self._retry.first)
        self._scopes.note_waiting(batch.states, str(error), retry_at, now, error.metrics)
        self._telemetry.periods("waiting", len(batch.states))
        return Outcome(failed=batch.states)

    def _failed(self, batch: Batch, error: Exception) -> Outcome:
        failures = 1 + max(state.failures for state in batch.states)
        pause = back_off(failures, self._retry.first, self._retry.longest)
        # First: what cannot be noted is the failure of the database, and told as that alone.
        now = self._clock()
        blamed = error.metrics if isinstance(error, CollectError) else ()
        self._scopes.note_failure(batch.states, str(error), now + pause, now, blamed)
        self._telemetry.periods("failed", len(batch.states))
        LOG.error(
            "%s, period %s: %s; trying again in %d s",
            named(batch.states),
            batch.period,
            error,
            pause.total_seconds(),
        )
        return Outcome(failed=batch.states)


def raise_if_away(failure: Exception) -> None:
    """End the round if it is the database that is away: no scope has failed, and to try the next
    one would only have its usage collected in vain.

    :raises StorageError: it is.
    """
    if not isinstance(failure, CollectError) and is_away(failure):
        raise StorageError(str(failure)) from failure


def _by_reason(held: Mapping[ScopeState, Held]) -> dict[Held, list[ScopeState]]:
    reasons: dict[Held, list[ScopeState]] = {}
    for state, why in held.items():
        reasons.setdefault(why, []).append(state)
    return reasons


def named(states: Sequence[ScopeState]) -> str:
    """Return the first few scopes as text, for messages."""
    shown = ", ".join(str(state.scope) for state in states[:_SHOWN_SCOPES])
    more = len(states) - _SHOWN_SCOPES
    return f"{shown} and {more} more" if more > 0 else shown
