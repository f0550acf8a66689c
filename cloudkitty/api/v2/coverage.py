# SPDX-License-Identifier: Apache-2.0
"""``/v2/coverage``: how far each metric of each scope has been rated, and what keeps the rest.

Invariant: one answer is about one instant; the metrics are those of the metrics file, and those
that are noted to be in trouble.
"""

import datetime
from collections.abc import Collection, Iterator, Sequence
from typing import Any, NotRequired, TypedDict

from cloudkitty import coverage, period
from cloudkitty.api.context import ApiContext
from cloudkitty.api.v2 import paging
from cloudkitty.api.v2.arguments import choice, listed, text
from cloudkitty.api.v2.node import Node, expose
from cloudkitty.coverage import Due, Entry, Group, State
from cloudkitty.db import troubles
from cloudkitty.db.scopes import ScopeStore
from cloudkitty.rest.request import Request
from cloudkitty.rest.streams import Streamed
from cloudkitty.scope import Scope
from cloudkitty.storage.base import Marker

LISTING = "coverage"


class EntryForm(TypedDict):
    """One metric of one scope.

    Everything before ``horizon`` has been rated (null: nothing yet), ``periods_behind`` are due and
    not rated. ``last_error`` says why the next period is not rated, ``retry_at`` when that is
    tried again, ``since`` since when the metric has been in this state, if that is known.
    """

    scope_id: str
    scope_key: str
    fetcher: str
    collector: str
    metric: str
    state: State
    horizon: datetime.datetime | None
    periods_behind: int
    last_error: str | None
    retry_at: datetime.datetime | None
    since: datetime.datetime | None


class GroupForm(TypedDict):
    """Metrics of scopes, counted together: ``count`` in all, ``states`` by state, ``scopes`` how
    many scopes they are of. ``horizon`` is the earliest, ``periods_behind`` the most of theirs."""

    scope_id: NotRequired[str]
    scope_key: NotRequired[str]
    fetcher: NotRequired[str]
    collector: NotRequired[str]
    metric: NotRequired[str]
    state: NotRequired[State]
    count: int
    scopes: int
    states: dict[str, int]
    horizon: datetime.datetime | None
    periods_behind: int


class Coverage(TypedDict):
    """A page of metrics of scopes, by scope, or of groups; ``total`` counts those of all pages.

    ``next`` is the ``marker`` of the page behind this one; groups have none.
    """

    total: int
    results: list[EntryForm] | list[GroupForm]
    next: NotRequired[str]


class CoverageController(Node):
    def __init__(self, context: ApiContext) -> None:
        super().__init__(context)
        self._store = ScopeStore(context.database)
        self._order = {name: place for place, name in enumerate(context.metrics.by_service)}

    @expose(
        *paging.page(LISTING),
        listed("scope_id", text()),
        listed("scope_key", text()),
        listed("metric", text()),
        listed("state", choice(*State)),
        listed("groupby", choice(*coverage.GROUPS)),
        rule="coverage:get_coverage",
    )
    def get_all(
        self,
        request: Request,
        offset: int,
        limit: int,
        marker: Marker | None,
        scope_id: Sequence[str] | None,
        scope_key: Sequence[str] | None,
        metric: Sequence[str] | None,
        state: Sequence[str] | None,
        groupby: Sequence[str] | None,
    ) -> Streamed[Coverage]:
        """Show how far each metric of each scope has been rated, and what keeps the rest."""
        self.authorize_scopes(request, scope_id)
        named = {"identifier": scope_id, "scope_key": scope_key}
        found = self._entries({name: one for name, one in named.items() if one is not None})
        if metric is not None:
            found = (entry for entry in found if entry.metric in metric)
        if state is not None:
            found = (entry for entry in found if entry.state in state)
        page = slice(offset, offset + limit)
        if groupby:
            paging.of_form(marker)
            groups = coverage.grouped(found, groupby)
            shown = {"total": len(groups), "results": [_group(group) for group in groups[page]]}
            return paging.document(request, LISTING, shown, None)
        entries = list(found)
        total = len(entries)
        if paging.of_form(marker, int, str) is not None:
            behind = self._marked(marker)
            entries = [entry for entry in entries if self._place(entry) > behind]
        results = entries[page]
        last = (results[-1].scope.id, results[-1].metric) if page.stop < len(entries) else None
        shown = {"total": total, "results": [_entry(entry) for entry in results]}
        return paging.document(request, LISTING, shown, last)

    def _place(self, entry: Entry) -> tuple[int, int, str]:
        return self._marked((entry.scope.id, entry.metric))

    def _marked(self, marker: Any) -> tuple[int, int, str]:
        """Return the place of a scope's metric in the listing: by scope, in the order of the file,
        and then by name."""
        key, metric = marker
        return key, self._order.get(metric, len(self._order)), metric

    def _entries(self, wanted: dict[str, Collection[str]]) -> Iterator[Entry]:
        conf, database = self.context.conf, self.context.database
        seconds = conf.collect.period
        wait = datetime.timedelta(seconds=seconds * conf.collect.wait_periods)
        due = Due(seconds, wait, datetime.datetime.now(period.UTC))
        scopes = self._store.find(wanted)
        # All of them are few: who is well has none.
        noted = troubles.of(database)
        return coverage.entries(scopes, noted, list(self._order), due)


def _identity(scope: Scope) -> dict[str, Any]:
    return {
        "scope_id": scope.identifier,
        "scope_key": scope.scope_key,
        "fetcher": scope.fetcher,
        "collector": scope.collector,
    }


def _entry(entry: Entry) -> EntryForm:
    scope = entry.scope.scope
    return {
        "scope_id": scope.identifier,
        "scope_key": scope.scope_key,
        "fetcher": scope.fetcher,
        "collector": scope.collector,
        "metric": entry.metric,
        "state": entry.state,
        "horizon": entry.scope.horizon,
        "periods_behind": entry.behind,
        "last_error": entry.error,
        "retry_at": entry.retry_at,
        "since": entry.since,
    }


def _group(group: Group) -> GroupForm:
    shown: GroupForm = {
        "count": group.count,
        "scopes": len(group.scopes),
        "states": {state.value: group.states[state] for state in State if group.states[state]},
        "horizon": group.horizon,
        "periods_behind": group.behind,
    }
    keys: dict[str, Any] = {} if group.scope is None else _identity(group.scope)
    if group.metric is not None:
        keys["metric"] = group.metric
    if group.state is not None:
        keys["state"] = group.state
    return {**keys, **shown}  # type: ignore[typeddict-item]
