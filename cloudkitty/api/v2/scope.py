# SPDX-License-Identifier: Apache-2.0
"""``/v2/scope``: who is rated, and how far.

Invariant: what was rated last is the period that starts at ``last_processed_timestamp``, so that
rating goes on one period later; ``state`` says the same under its old name.
"""

import datetime
from collections.abc import Sequence
from typing import Any, NotRequired, TypedDict

from cloudkitty import period
from cloudkitty.api.context import ApiContext
from cloudkitty.api.v2 import paging, reset
from cloudkitty.api.v2.arguments import (
    Argument,
    flag,
    instant,
    listed,
    text,
    whole,
    worded_flag,
)
from cloudkitty.api.v2.node import Node, Nothing, expose
from cloudkitty.api.v2.several import several
from cloudkitty.db.scopes import ScopeStore, ScopeTaken
from cloudkitty.rest import errors
from cloudkitty.rest.request import Request
from cloudkitty.rest.streams import Streamed
from cloudkitty.scope import Scope, ScopeState
from cloudkitty.storage.base import Marker

LISTING = "scope"

NAME_LENGTH = 64

_name = text(1, NAME_LENGTH)

IDENTITY = (
    Argument("scope_key", _name),
    Argument("fetcher", _name),
    Argument("collector", _name),
)


class ScopeForm(TypedDict):
    """Who is rated, and how far; ``last_processed_timestamp`` is null before the first period.

    ``last_error`` is why the next period is not rated yet, ``gone_at`` when the scope was first
    missing where scopes are listed; both are null when all is well.
    """

    scope_id: str
    scope_key: str
    fetcher: str
    collector: str
    last_processed_timestamp: datetime.datetime | None
    state: datetime.datetime | None
    active: bool
    scope_activation_toggle_date: datetime.datetime
    last_error: str | None
    gone_at: datetime.datetime | None


class Scopes(TypedDict):
    """A page of scopes; ``next`` is the ``marker`` of the page that follows."""

    results: list[ScopeForm]
    next: NotRequired[str]


class ScopeController(Node):
    def __init__(self, context: ApiContext) -> None:
        super().__init__(context)
        self._store = ScopeStore(context.database)

    @expose(
        *paging.page(LISTING),
        listed("scope_id", text()),
        listed("scope_key", text()),
        listed("fetcher", text()),
        listed("collector", text()),
        listed("active", whole(0, 1)),
        rule="scope:get_state",
    )
    def get_all(
        self,
        request: Request,
        offset: int,
        limit: int,
        marker: Marker | None,
        scope_id: Sequence[str] | None,
        scope_key: Sequence[str] | None,
        fetcher: Sequence[str] | None,
        collector: Sequence[str] | None,
        active: Sequence[int] | None,
    ) -> Streamed[Scopes]:
        """List scopes, in the order in which they were added."""
        self.authorize_scopes(request, scope_id)
        wanted = _given(
            identifier=scope_id, scope_key=scope_key, fetcher=fetcher, collector=collector
        )
        found = self._store.find(
            wanted,
            active=None if active is None else [bool(number) for number in active],
            offset=offset,
            limit=limit + 1,
            after=paging.key(marker),
        )
        if not found:
            raise errors.NothingFound()
        return paging.keyed(request, LISTING, found, limit, lambda state: state.id, self._shown)

    @expose(
        body=[
            Argument("all_scopes", worded_flag),
            Argument("scope_id", several),
            Argument("scope_key", several),
            Argument("fetcher", several),
            Argument("collector", several),
            Argument("last_processed_timestamp", instant),
            Argument("state", instant),
        ],
        status=202,
        rule="scope:reset_state",
    )
    def put(
        self,
        request: Request,
        all_scopes: bool | None,
        scope_id: Sequence[str] | None,
        last_processed_timestamp: datetime.datetime | None,
        state: datetime.datetime | None,
        **members: Sequence[str] | None,
    ) -> Nothing:
        """Set active scopes back: what was rated after that period goes, and is rated again."""
        about = ",".join(scope_id) if scope_id else request.caller.project_id
        self.authorize(request, project_id=about, tenant_id=about)
        if all_scopes is not None and scope_id is not None:
            raise errors.InvalidData(problems="all_scopes and scope_id exclude each other")
        if not all_scopes and scope_id is None:
            raise errors.NoScopeNamed()
        last = last_processed_timestamp or state
        if last is None:
            raise errors.NoTimestamp()
        states = self._store.find(_given(identifier=scope_id, **members), active=[True])
        if not states:
            raise errors.NothingFound()
        reset.check(states, last, self.context.conf.collect.period)
        reset.check_kept(states, last + self._period, self.context.storage)
        reset.reset(states, last + self._period, self.context.storage, self._store)
        return {}

    @expose(
        body=[
            Argument("scope_id", text(1), required=True),
            *IDENTITY,
            Argument("active", flag),
        ],
        rule="scope:patch_state",
    )
    def patch(
        self,
        request: Request,
        scope_id: str,
        scope_key: str | None,
        fetcher: str | None,
        collector: str | None,
        active: bool | None,
    ) -> ScopeForm:
        """Change those members of a scope that are given."""
        self._authorize_scope(request, scope_id)
        members = _given(scope_key=scope_key, fetcher=fetcher, collector=collector)
        state = self._one(scope_id, members)
        before = state.scope
        try:
            changed = self._store.change(
                state,
                scope=Scope(
                    scope_id,
                    scope_key or before.scope_key,
                    fetcher or before.fetcher,
                    collector or before.collector,
                ),
                active=state.active if active is None else active,
                now=_now(),
            )
        except ScopeTaken:
            raise errors.SameScope() from None
        return self._shown(changed)

    def _one(self, scope_id: str, members: dict[str, str]) -> ScopeState:
        """Return the scope with this id; where there are several, that with these members.

        :raises errors.NothingFound: there is none.
        :raises errors.AmbiguousScope: it is not clear which.
        """
        found = self._store.find({"identifier": [scope_id]})
        if not found:
            raise errors.NothingFound()
        if len(found) > 1:
            found = [
                state
                for state in found
                if all(getattr(state.scope, name) == value for name, value in members.items())
            ]
        if len(found) != 1:
            raise errors.AmbiguousScope(scope_id=scope_id)
        return found[0]

    @expose(
        body=[
            Argument("scope_id", text(1), required=True),
            Argument("last_processed_timestamp", instant, required=True),
            *IDENTITY,
            Argument("active", flag, True),
        ],
        rule="scope:post_state",
    )
    def post(
        self,
        request: Request,
        scope_id: str,
        last_processed_timestamp: datetime.datetime,
        scope_key: str | None,
        fetcher: str | None,
        collector: str | None,
        active: bool,
    ) -> ScopeForm:
        """Add a scope; what is not given is as configured."""
        self._authorize_scope(request, scope_id)
        conf = self.context.conf
        scope = Scope(
            scope_id,
            scope_key or conf.collect.scope_key,
            fetcher or conf.fetcher.backend,
            collector or conf.collect.collector,
        )
        try:
            horizon = last_processed_timestamp + self._period
        except OverflowError:
            raise errors.InvalidData(
                problems="there is no period after this one (path: 'last_processed_timestamp')"
            ) from None
        try:
            created = self._store.create(scope, rated_up_to=horizon, active=active, now=_now())
        except ScopeTaken:
            raise errors.ScopeExists(scope_id=scope_id) from None
        return self._shown(created)

    def _authorize_scope(self, request: Request, scope_id: str) -> None:
        # The second is what rules of old policy files ask for.
        self.authorize(request, project_id=scope_id, tenant_id=scope_id)

    @property
    def _period(self) -> datetime.timedelta:
        return datetime.timedelta(seconds=self.context.conf.collect.period)

    def _shown(self, state: ScopeState) -> ScopeForm:
        last = state.last_processed(self.context.conf.collect.period)
        return {
            "scope_id": state.scope.identifier,
            "scope_key": state.scope.scope_key,
            "fetcher": state.scope.fetcher,
            "collector": state.scope.collector,
            "last_processed_timestamp": last,
            "state": last,
            "active": state.active,
            "scope_activation_toggle_date": state.toggled_at,
            "last_error": state.last_error,
            "gone_at": state.gone_at,
        }


def _given(**members: Any) -> dict[str, Any]:
    return {name: value for name, value in members.items() if value is not None}


def _now() -> datetime.datetime:
    return period.utc(datetime.datetime.now(period.UTC))
