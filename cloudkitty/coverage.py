# SPDX-License-Identifier: Apache-2.0
"""How far each metric of each scope has been rated, and what keeps it from going on. Pure.

Invariants: a period is closed for all metrics of a scope or for none; what has been noted about a
period counts only while that period is the next one, so that nothing has to be taken back in time.
"""

import datetime
import enum
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from cloudkitty.scope import Scope, ScopeState

WHOLE = ""
"""In place of a metric: what is about the scope as a whole."""


class State(enum.StrEnum):
    """Where a metric of a scope stands.

    ``closed``: every period that is due has been rated. ``late``: one is due, and nothing is known
    to be wrong with this metric. ``waiting``: usage has not arrived yet, or there is no source to
    ask. ``failing``: the last try went wrong. ``resting``: the scope is not listed any more, and
    rated up to then. ``inactive``: nobody is to rate it.
    """

    CLOSED = "closed"
    WAITING = "waiting"
    LATE = "late"
    FAILING = "failing"
    RESTING = "resting"
    INACTIVE = "inactive"


@dataclass(frozen=True, slots=True)
class Trouble:
    """What has been noted about a metric, or about the scope as a whole: the period that begins at
    ``begin`` could not be rated; ``since`` is when it was first noted."""

    metric: str
    state: State
    begin: datetime.datetime
    since: datetime.datetime
    error: str


@dataclass(frozen=True, slots=True)
class Due:
    """The rules of when a period is due: its length in seconds, how long to wait from its start
    on, and what time it is."""

    seconds: int
    wait: datetime.timedelta
    now: datetime.datetime


@dataclass(frozen=True, slots=True)
class Entry:
    """Where a scope stands, or one metric of it; ``since`` is when it came to that, if known."""

    scope: ScopeState
    metric: str
    state: State
    behind: int
    error: str | None = None
    retry_at: datetime.datetime | None = None
    since: datetime.datetime | None = None


def of_scope(scope: ScopeState, troubles: Iterable[Trouble], due: Due) -> Entry:
    """Return where the scope as a whole stands."""
    behind = scope.behind(due.seconds, due.now - due.wait)
    if not scope.active:
        return Entry(scope, WHOLE, State.INACTIVE, behind, since=scope.toggled_at)
    if scope.rests(due.seconds):
        return Entry(scope, WHOLE, State.RESTING, behind, since=scope.gone_at)
    if scope.last_error is None and not behind:
        return Entry(scope, WHOLE, State.CLOSED, behind)
    if scope.last_error is None:
        since = scope.following(due.seconds).begin + due.wait
        return Entry(scope, WHOLE, State.LATE, behind, since=since)
    noted = next((one for one in valid(scope, troubles) if one.metric == WHOLE), None)
    if noted is None:
        state = State.FAILING if scope.failures else State.WAITING
        return Entry(scope, WHOLE, state, behind, scope.last_error, scope.retry_at)
    return Entry(
        scope, WHOLE, noted.state, behind, scope.last_error, scope.retry_at, since=noted.since
    )


def of_metrics(
    scope: ScopeState, troubles: Collection[Trouble], metrics: Iterable[str], due: Due
) -> Iterator[Entry]:
    """Yield where each metric of the scope stands: of those, and of those that are in trouble.

    Where some metrics keep a scope from being rated, the others are late.
    """
    whole = of_scope(scope, troubles, due)
    own: dict[str, Trouble] = {}
    if whole.state in (State.FAILING, State.WAITING):
        own = {one.metric: one for one in valid(scope, troubles) if one.metric != WHOLE}
    since = scope.following(due.seconds).begin + due.wait if own else None
    for metric in dict.fromkeys((*metrics, *sorted(own))):
        noted = own.get(metric)
        if noted is not None:
            yield Entry(
                scope, metric, noted.state, whole.behind, noted.error, whole.retry_at, noted.since
            )
        elif own:
            yield Entry(scope, metric, State.LATE, whole.behind, None, whole.retry_at, since)
        else:
            yield Entry(
                scope,
                metric,
                whole.state,
                whole.behind,
                whole.error,
                whole.retry_at,
                whole.since,
            )


def valid(scope: ScopeState, troubles: Iterable[Trouble]) -> list[Trouble]:
    """Return what has been noted about the period that is next."""
    if scope.last_error is None:
        return []
    begin = scope.horizon or scope.starts_at
    return [one for one in troubles if one.begin == begin]


def entries(
    scopes: Iterable[ScopeState],
    troubles: Mapping[int, Collection[Trouble]],
    metrics: Collection[str],
    due: Due,
) -> Iterator[Entry]:
    """Yield where every metric of these scopes stands; *troubles* are by the scope's key."""
    for scope in scopes:
        yield from of_metrics(scope, troubles.get(scope.id, ()), metrics, due)


GROUPS = ("scope", "metric", "state")


@dataclass(slots=True)
class Group:
    """Entries counted together. ``horizon`` is the earliest of them (``None``: one has none yet),
    ``behind`` the most periods that one is behind."""

    scope: Scope | None = None
    metric: str | None = None
    state: State | None = None
    count: int = 0
    behind: int = 0
    horizon: datetime.datetime | None = None
    states: Counter[State] = field(default_factory=Counter)
    scopes: set[int] = field(default_factory=set)

    def add(self, entry: Entry) -> None:
        horizon = entry.scope.horizon
        if not self.count:
            self.horizon = horizon
        elif self.horizon is not None:
            self.horizon = None if horizon is None else min(self.horizon, horizon)
        self.count += 1
        self.behind = max(self.behind, entry.behind)
        self.states[entry.state] += 1
        self.scopes.add(entry.scope.id)


def grouped(found: Iterable[Entry], by: Sequence[str]) -> list[Group]:
    """Return the entries counted by some of ``GROUPS``, in the order of their first ones."""
    groups: dict[tuple[Scope | None, str | None, State | None], Group] = {}
    for entry in found:
        key = (
            entry.scope.scope if "scope" in by else None,
            entry.metric if "metric" in by else None,
            entry.state if "state" in by else None,
        )
        group = groups.get(key)
        if group is None:
            group = groups[key] = Group(*key)
        group.add(entry)
    return list(groups.values())
