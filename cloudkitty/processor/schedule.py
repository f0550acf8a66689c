# SPDX-License-Identifier: Apache-2.0
"""Which periods are due. Pure: the clock is an argument.

Invariants: a period is due when the configured wait has passed since its start, also the very
first one; periods of a scope follow each other without a gap; arithmetic is in UTC, so daylight
saving neither skips nor repeats a period.
"""

import datetime
from collections import defaultdict
from collections.abc import Container, Iterable
from dataclasses import dataclass

from oslo_config import cfg

from cloudkitty import period
from cloudkitty.config import ConfigurationError
from cloudkitty.period import Period
from cloudkitty.scope import ScopeState

FIRST_OF_MONTH = "month"
FIRST_NOW = "now"


@dataclass(frozen=True, slots=True)
class Batch:
    """One period of several scopes, to be collected, rated and stored together."""

    period: Period
    states: tuple[ScopeState, ...]

    def halves(self) -> tuple["Batch", "Batch"]:
        """Return the batch in two parts."""
        middle = len(self.states) // 2
        return (
            Batch(self.period, self.states[:middle]),
            Batch(self.period, self.states[middle:]),
        )

    def without(self, states: Container[ScopeState]) -> "Batch":
        """Return the batch of the other scopes."""
        return Batch(self.period, tuple(one for one in self.states if one not in states))


@dataclass(frozen=True, slots=True)
class Schedule:
    """The rules of when to rate what.

    ``seconds`` is the length of a period, ``wait_periods`` how many of them to wait from the
    start of a period on, ``first`` where a new scope starts.
    """

    seconds: int
    wait_periods: int
    first: str = FIRST_OF_MONTH
    batch_size: int = 500

    @classmethod
    def of(cls, conf: cfg.ConfigOpts) -> "Schedule":
        """Return the schedule that the configuration asks for.

        :raises ConfigurationError: ``[collect] first_period`` cannot be read.
        """
        first = conf.collect.first_period
        if first not in (FIRST_OF_MONTH, FIRST_NOW):
            try:
                period.parse(first)
            except period.NotAnInstant as error:
                raise ConfigurationError(
                    f"[collect] first_period: {error}, or 'month', or 'now'"
                ) from error
        return cls(
            seconds=conf.collect.period,
            wait_periods=conf.collect.wait_periods,
            first=first,
            batch_size=conf.orchestrator.batch_size,
        )

    @property
    def wait(self) -> datetime.timedelta:
        return datetime.timedelta(seconds=self.seconds * self.wait_periods)

    def first_begin(self, now: datetime.datetime) -> datetime.datetime:
        """Return where a scope starts that is seen for the first time at *now*."""
        if self.first == FIRST_OF_MONTH:
            return period.month_start(now)
        if self.first == FIRST_NOW:
            return period.from_epoch(period.epoch(now) // self.seconds * self.seconds)
        return period.parse(self.first)

    def next_of(self, state: ScopeState) -> Period:
        """Return the period of the scope that is to be rated next, due or not."""
        return state.following(self.seconds)

    def due_at(self, stretch: Period) -> datetime.datetime:
        """Return the instant after which a period may be rated."""
        return stretch.begin + self.wait

    def is_due(self, stretch: Period, now: datetime.datetime) -> bool:
        return self.due_at(stretch) < now

    def due_count(self, state: ScopeState, now: datetime.datetime) -> int:
        """Return how many periods of the scope are due."""
        return state.behind(self.seconds, now - self.wait)

    def due(
        self, states: Iterable[ScopeState], now: datetime.datetime, *, retry: bool = False
    ) -> list[ScopeState]:
        """Return the scopes whose next period is due.

        A scope whose period has failed waits for its time, unless *retry*.
        """
        return [
            state
            for state in states
            if (retry or state.retry_at is None or state.retry_at <= now)
            and self.is_due(self.next_of(state), now)
        ]

    def batches(self, due: Iterable[ScopeState]) -> list[Batch]:
        """Return the next period of every scope, for all of which it is due, oldest periods
        first."""
        by_period: dict[Period, list[ScopeState]] = defaultdict(list)
        for state in due:
            by_period[self.next_of(state)].append(state)
        return [
            Batch(stretch, tuple(many[start : start + self.batch_size]))
            for stretch, many in sorted(by_period.items(), key=lambda item: item[0])
            for start in range(0, len(many), self.batch_size)
        ]

    def wake_at(
        self, states: Iterable[ScopeState], now: datetime.datetime
    ) -> datetime.datetime | None:
        """Return when the next period becomes due or is to be tried again, ``None`` if never."""
        instants = []
        for state in states:
            due = self.due_at(self.next_of(state))
            instants.append(max(due, state.retry_at) if state.retry_at else due)
        return max(now, min(instants)) if instants else None


def back_off(failures: int, first: int, longest: int) -> datetime.timedelta:
    """Return how long to wait after the given number of failures in a row (at least one)."""
    return datetime.timedelta(seconds=min(longest, first * 2 ** min(failures - 1, 30)))
