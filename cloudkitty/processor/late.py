# SPDX-License-Identifier: Apache-2.0
"""Usage that has not arrived yet: what a scope used in one period and has none of in the next.

Invariants: a period is held for the grace after it is due and no longer, so periods of a catch-up
never are; a scope that used nothing of a metric before never waits for it; the ledger is asked
once a batch, and only for scopes that were not rated in this process last.
"""

import datetime
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from cloudkitty.collector.metrics import MetricDefinition
from cloudkitty.period import Period
from cloudkitty.processor.collecting import Key, Usage, key
from cloudkitty.processor.schedule import Batch, Schedule
from cloudkitty.scope import ScopeState
from cloudkitty.storage.base import GROUP_SCOPE, GROUP_TYPE, Query, Storage

_CHECKS = 10
"""How often the source is asked again within the grace."""

_PERIODS_SEEN = 4
"""Scopes that were added at different times may stand at different, overlapping periods."""


@dataclass(frozen=True, slots=True)
class Held:
    """Metrics that scopes wait for (``until`` an instant), or have waited for in vain.

    ``ended`` says that other scopes have usage of all of them in the period: the source is not
    late, these scopes have rather stopped using it. ``services`` are the metrics by their names in
    rating and storage.
    """

    metrics: str
    services: tuple[str, ...]
    until: datetime.datetime
    ended: bool

    @property
    def reason(self) -> str:
        """What the state of a waiting scope says."""
        return f"{_waiting(self.until)}{self.metrics}"

    def is_known_to(self, state: ScopeState) -> bool:
        """Return whether the scope waits already."""
        return _waits(state, self.until)


class LateUsage:
    """Remembers what scopes used last, and finds what is missing."""

    def __init__(self, storage: Storage, schedule: Schedule, grace: int) -> None:
        self._storage = storage
        self._schedule = schedule
        self.grace = datetime.timedelta(seconds=grace)
        self._last: dict[int, tuple[datetime.datetime, frozenset[Key]]] = {}
        self._seen: dict[Period, set[Key]] = {}

    @property
    def pause(self) -> datetime.timedelta:
        """How long to wait before the source is asked again."""
        return self.grace / _CHECKS

    def missing(self, batch: Batch, usage: Usage, now: datetime.datetime) -> dict[ScopeState, Held]:
        """Return the scopes of which something is missing: while the grace lasts those that have
        to wait, and after it those that have waited.

        :raises StorageError: what they used before cannot be read.
        """
        if not self.grace:
            return {}
        until = self._schedule.due_at(batch.period) + self.grace
        suspects = [
            state
            for state in batch.states
            if (now < until or _waits(state, until)) and self._may_lack(state, usage)
        ]
        seen = self._seen_of_all(batch.period, usage) if now < until or suspects else set()
        before = self._before(batch.period, suspects, usage) if suspects else {}
        found = {}
        for state in suspects:
            lacking = _lacking(usage.metrics, before[state], usage.of(state))
            if lacking:
                ended = seen.issuperset(map(key, lacking))
                services = tuple(dict.fromkeys(metric.service for metric in lacking))
                found[state] = Held(", ".join(map(str, lacking)), services, until, ended)
        return found

    def _seen_of_all(self, period: Period, usage: Usage) -> set[Key]:
        """Return the metrics of which any scope had usage in a period that is just due."""
        seen = self._seen.setdefault(period, set())
        seen.update(*usage.answered.values())
        while len(self._seen) > _PERIODS_SEEN:
            del self._seen[min(self._seen)]
        return seen

    def remember(self, period: Period, states: Iterable[ScopeState], usage: Usage) -> None:
        """Keep in mind what scopes that have just been rated used in the period."""
        if self.grace:
            for state in states:
                self._last[state.id] = period.end, usage.of(state)

    def _may_lack(self, state: ScopeState, usage: Usage) -> bool:
        """Return whether there is a period before, and a metric without usage in this one."""
        return state.horizon is not None and len(usage.of(state)) < len(usage.metrics)

    def _before(
        self, period: Period, states: Collection[ScopeState], usage: Usage
    ) -> Mapping[ScopeState, Collection[Key]]:
        """Return what the scopes used in the period before this one."""
        before: dict[ScopeState, Collection[Key]] = {}
        unknown = {}
        for state in states:
            end, keys = self._last.get(state.id, (None, frozenset()))
            if end == period.begin:
                before[state] = keys
            else:
                unknown[state.scope.identifier] = state
        if unknown:
            services = {metric.service for metric in usage.metrics}
            query = Query(
                period.begin - (period.end - period.begin), period.begin, [*unknown], services
            )
            found: dict[str, set[Key]] = {identifier: set() for identifier in unknown}
            for row in self._storage.total(query, (GROUP_SCOPE, GROUP_TYPE)).rows:
                identifier, service = row.group
                found[identifier].add((service, ""))
            before |= {unknown[identifier]: keys for identifier, keys in found.items()}
        return before


def _waiting(until: datetime.datetime) -> str:
    return f"waiting until {until.isoformat()} for late usage of "


def _waits(state: ScopeState, until: datetime.datetime) -> bool:
    return (state.last_error or "").startswith(_waiting(until))


def _lacking(
    metrics: Iterable[MetricDefinition], before: Collection[Key], now: Collection[Key]
) -> list[MetricDefinition]:
    """Return the metrics that were used before and are not now. The ledger, and a metric that
    comes from elsewhere since, tell no more than that the service was used."""
    ended = {service for service, _name in before} - {service for service, _name in now}
    return [
        metric
        for metric in metrics
        if key(metric) not in now and (key(metric) in before or metric.service in ended)
    ]
