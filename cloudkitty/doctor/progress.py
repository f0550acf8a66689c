# SPDX-License-Identifier: Apache-2.0
"""How far scopes are, and which of them fail or lag. Pure."""

import datetime
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cloudkitty import coverage
from cloudkitty.coverage import WHOLE, Due, Entry, Trouble
from cloudkitty.doctor.finding import Finding, error, many, named, ok, warning
from cloudkitty.processor.schedule import Schedule
from cloudkitty.scope import Scope, ScopeState

SUBJECT = "scopes"

PATIENCE = 2
"""So many due periods are no reason to worry: a round takes its time."""


@dataclass(frozen=True, slots=True)
class Progress:
    """A scope, how many of its periods are due, where it stands as a whole, and what has been noted
    about single metrics of it."""

    state: ScopeState
    behind: int
    whole: Entry
    metrics: Sequence[Trouble] = ()

    @property
    def fails(self) -> bool:
        return self.state.failures > 0

    def as_dict(self) -> dict[str, Any]:
        scope, state = self.state.scope, self.state
        return {
            "scope_id": scope.identifier,
            "scope_key": scope.scope_key,
            "fetcher": scope.fetcher,
            "collector": scope.collector,
            "active": state.active,
            "state": self.whole.state.value,
            "since": _instant(self.whole.since),
            "horizon": _instant(state.horizon),
            "starts_at": _instant(state.starts_at),
            "periods_behind": self.behind,
            "failures": state.failures,
            "next_try": _instant(state.retry_at),
            "last_error": state.last_error,
            "metrics": [
                {
                    "metric": one.metric,
                    "state": one.state.value,
                    "since": _instant(one.since),
                    "last_error": one.error,
                }
                for one in self.metrics
            ],
        }


def progress(
    states: Sequence[ScopeState],
    schedule: Schedule,
    now: datetime.datetime,
    troubles: Mapping[int, Collection[Trouble]],
) -> list[Progress]:
    """Return how far each scope is, the furthest behind first.

    *troubles* are by the key of the scope.
    """
    due = Due(schedule.seconds, schedule.wait, now)
    found = [_progress(state, troubles.get(state.id, ()), due) for state in states]
    return sorted(found, key=lambda one: (-one.behind, one.state.scope))


def _progress(state: ScopeState, noted: Collection[Trouble], due: Due) -> Progress:
    whole = coverage.of_scope(state, noted, due)
    metrics = [one for one in coverage.valid(state, noted) if one.metric != WHOLE]
    return Progress(state, whole.behind, whole, metrics)


def check(
    scopes: Sequence[Progress], here: Scope, listed: Collection[str] | None
) -> Iterator[Finding]:
    """Yield what is wrong with scopes.

    *here* is what a scope of this configuration looks like, whatever its id, *listed* what the
    fetcher lists, ``None`` when that is not known.
    """
    active = [one for one in scopes if one.state.active]
    mine = [one for one in active if _alike(one.state.scope, here)]
    rated = [one for one in mine if listed is None or one.state.scope.identifier in listed]
    failing = [one for one in rated if one.fails]
    yield from _failing(failing)
    late = [one for one in rated if one.behind > PATIENCE and not one.fails]
    lagging = [one for one in late if not one.state.last_error]
    yield from _waiting([one for one in late if one.state.last_error])
    if lagging:
        yield warning(
            SUBJECT,
            f"{len(lagging)} without failure are behind by up to {lagging[0].behind} periods "
            f"({_names(lagging)}); does cloudkitty-processor run?",
        )
    yield from _left(mine, listed)
    yield from _elsewhere(active, here, mine, listed)
    if listed and not mine:
        yield warning(
            SUBJECT,
            f"none of {len(listed)} that the fetcher lists has been taken up yet; does "
            "cloudkitty-processor run?",
        )
    elif not failing and not late:
        yield ok(SUBJECT, f"{len(rated)} active ones are up to date")


def _waiting(waiting: Sequence[Progress]) -> Iterator[Finding]:
    """Scopes that nothing has failed for, and that have a reason to be behind."""
    for reason, those in _by_reason(waiting):
        yield warning(
            SUBJECT, f"{_names(those)}: {many(those[0].behind, 'period')} behind: {reason}"
        )


def _by_reason(scopes: Sequence[Progress]) -> list[tuple[str, list[Progress]]]:
    reasons: dict[str, list[Progress]] = {}
    for one in scopes:
        reasons.setdefault(one.state.last_error or "unknown reason", []).append(one)
    return list(reasons.items())


def _failing(failing: Sequence[Progress]) -> Iterator[Finding]:
    for reason, those in _by_reason(failing):
        first = those[0].state
        yield error(
            SUBJECT,
            f"{_names(those)}: {many(first.failures, 'failure')} in a row, "
            f"{many(those[0].behind, 'period')} behind, next try {_instant(first.retry_at)}: "
            f"{reason}",
        )


def _left(mine: Sequence[Progress], listed: Collection[str] | None) -> Iterator[Finding]:
    if listed is None:
        return
    gone = [one for one in mine if one.state.scope.identifier not in listed]
    if gone:
        yield ok(
            SUBJECT,
            f"{len(gone)} are no longer listed by the fetcher: {_names(gone)}",
        )


def _elsewhere(
    active: Sequence[Progress],
    here: Scope,
    mine: Sequence[Progress],
    listed: Collection[str] | None,
) -> Iterator[Finding]:
    """Scopes that another configuration has rated, and this one rates too: from the start."""
    now = {one.state.scope.identifier for one in mine} | set(listed or ())
    others = [
        one
        for one in active
        if not _alike(one.state.scope, here) and one.state.scope.identifier in now
    ]
    if others:
        scope = others[0].state.scope
        yield warning(
            SUBJECT,
            f"{len(others)} are there twice ({_names(others)}): as scopes of fetcher "
            f"{scope.fetcher!r}, collector {scope.collector!r} and {scope.scope_key!r} too, from "
            "before [fetcher] backend, [collect] collector or scope_key was changed; what both "
            "have rated is on the bill twice. Change them with PATCH /v2/scope",
        )


def _alike(scope: Scope, here: Scope) -> bool:
    return (scope.scope_key, scope.fetcher, scope.collector) == (
        here.scope_key,
        here.fetcher,
        here.collector,
    )


def _names(scopes: Sequence[Progress]) -> str:
    return named([one.state.scope.identifier for one in scopes])


def _instant(moment: datetime.datetime | None) -> str | None:
    return None if moment is None else moment.isoformat()
