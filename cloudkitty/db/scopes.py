# SPDX-License-Identifier: Apache-2.0
"""Scope states in the database.

Horizons are moved by the storage driver alone, together with what was rated.
"""

import datetime
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from oslo_db.exception import DBDuplicateEntry
from sqlalchemy.engine import Connection

from cloudkitty.coverage import State
from cloudkitty.db import troubles
from cloudkitty.db.engine import Database
from cloudkitty.db.models import scopes
from cloudkitty.scope import POSTED, Scope, ScopeState

_ERROR_LENGTH = 2000

_AT_ONCE = 10_000
"""Scopes changed by one statement: databases have a limit of its arguments."""


class ScopeTaken(Exception):
    """There is a scope like this already."""


class ScopeStore:
    """Reads scope states, adds and changes scopes, and notes what went wrong."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def ensure(
        self, wanted: Collection[Scope], *, starts_at: datetime.datetime, now: datetime.datetime
    ) -> None:
        """Add those scopes that are not there yet: active, to be rated from *starts_at* on."""
        try:
            self._add_missing(wanted, starts_at, now)
        except DBDuplicateEntry:
            # Another worker has added some of them in the meantime.
            self._add_missing(wanted, starts_at, now)

    def _add_missing(
        self, wanted: Collection[Scope], starts_at: datetime.datetime, now: datetime.datetime
    ) -> None:
        with self._database.reader() as connection:
            known = {state.scope for state in _states(connection, sa.true())}
        missing = [scope for scope in dict.fromkeys(wanted) if scope not in known]
        if not missing:
            return
        with self._database.writer() as connection:
            connection.execute(scopes.insert(), [_row(scope, starts_at, now) for scope in missing])

    def note_listed(
        self, listed: Collection[Scope], identity: Mapping[str, str], now: datetime.datetime
    ) -> Sequence[ScopeState]:
        """Remember of the scopes with these other members of their identity that those which are
        not *listed* are gone since *now*, unless they were before, and that the others are not.

        :returns: the scopes that have gone, as they were.
        """
        known = self.states(**identity, active=None)
        present = set(listed)
        gone = [one for one in known if one.gone_at is None and one.scope not in present]
        back = [one for one in known if one.gone_at is not None and one.scope in present]
        if gone or back:
            with self._database.writer() as connection:
                _set_gone(connection, gone, now)
                _set_gone(connection, back, None)
        return gone

    def states(
        self, *, scope_key: str, fetcher: str, collector: str, active: bool | None = True
    ) -> Sequence[ScopeState]:
        """Return the scopes of one configuration in the order in which they were added."""
        table = scopes.c
        condition = sa.and_(
            table.scope_key == scope_key,
            table.fetcher == fetcher,
            table.collector == collector,
        )
        if active is not None:
            condition = sa.and_(condition, table.active == active)
        with self._database.reader() as connection:
            return _states(connection, condition)

    def find(
        self,
        wanted: Mapping[str, Collection[str]],
        *,
        active: Collection[bool] | None = None,
        offset: int = 0,
        limit: int | None = None,
        after: int | None = None,
    ) -> Sequence[ScopeState]:
        """Return scopes in the order in which they were added, a page of them if wanted.

        *wanted* maps members of ``Scope`` to the texts of which it must have one. *offset* counts
        from behind the scope with the key *after*.
        """
        table = scopes.c
        conditions: list[sa.ColumnElement[bool]] = [table.fetcher != POSTED]
        conditions += [table[name].in_(list(texts)) for name, texts in wanted.items()]
        if active is not None:
            conditions.append(table.active.in_(list(active)))
        if after is not None:
            conditions.append(table.id > after)
        with self._database.reader() as connection:
            return _states(connection, sa.and_(*conditions), offset, limit)

    def get(self, key: int) -> ScopeState:
        """Return the scope with this key.

        :raises KeyError: there is none.
        """
        with self._database.reader() as connection:
            found = _states(connection, scopes.c.id == key)
        if not found:
            raise KeyError(key)
        return found[0]

    def posted(
        self, identifiers: Collection[str], scope_key: str, now: datetime.datetime
    ) -> dict[str, int]:
        """Return the keys of the scopes that hold points sent to the API, by scope id; they are
        made where they are missing."""
        keys = self._posted(identifiers, scope_key)
        missing = [identifier for identifier in identifiers if identifier not in keys]
        if missing:
            wanted = [Scope(identifier, scope_key, POSTED, POSTED) for identifier in missing]
            self.ensure(wanted, starts_at=now, now=now)
            keys |= self._posted(missing, scope_key)
        return keys

    def _posted(self, identifiers: Collection[str], scope_key: str) -> dict[str, int]:
        table = scopes.c
        with self._database.reader() as connection:
            rows = connection.execute(
                sa.select(table.identifier, table.id).where(
                    table.identifier.in_(list(identifiers)),
                    table.scope_key == scope_key,
                    table.fetcher == POSTED,
                    table.collector == POSTED,
                )
            )
            return {row.identifier: row.id for row in rows}

    def create(
        self,
        scope: Scope,
        *,
        rated_up_to: datetime.datetime,
        active: bool,
        now: datetime.datetime,
    ) -> ScopeState:
        """Add a scope, to be rated from *rated_up_to* on.

        :raises ScopeTaken: there is this scope, or an active one with its id.
        """
        row = {**_row(scope, rated_up_to, now), "horizon": rated_up_to, "active": active}
        same_id = scopes.c.identifier == scope.identifier
        try:
            with self._database.writer() as connection:
                if any(state.active for state in _states(connection, same_id)):
                    raise ScopeTaken(scope)
                key = connection.execute(scopes.insert().values(row)).inserted_primary_key
                assert key is not None
                [state] = _states(connection, scopes.c.id == key[0])
        except DBDuplicateEntry:
            raise ScopeTaken(scope) from None
        return state

    def change(
        self, state: ScopeState, *, scope: Scope, active: bool, now: datetime.datetime
    ) -> ScopeState:
        """Give a scope another identity, and start or stop its rating.

        When it was last started or stopped moves only when it is.

        :raises ScopeTaken: another scope has that identity.
        """
        toggled = scopes.c.active != active
        values = {
            "identifier": scope.identifier,
            "scope_key": scope.scope_key,
            "fetcher": scope.fetcher,
            "collector": scope.collector,
        }
        here = scopes.c.id == state.id
        try:
            with self._database.writer() as connection:
                connection.execute(
                    scopes.update().where(here, toggled).values(active=active, toggled_at=now)
                )
                connection.execute(scopes.update().where(here).values(values))
                [changed] = _states(connection, here)
        except DBDuplicateEntry:
            raise ScopeTaken(scope) from None
        return changed

    def set_active(self, state: ScopeState, active: bool, now: datetime.datetime) -> None:
        """Start or stop the rating of a scope; nothing else changes."""
        self.change(state, scope=state.scope, active=active, now=now)

    def note_failure(
        self,
        states: Collection[ScopeState],
        error: str,
        retry_at: datetime.datetime,
        now: datetime.datetime,
        metrics: Collection[str] = (),
    ) -> None:
        """Remember why the next period of these scopes could not be rated, which *metrics* are to
        blame for that, and when it is to be tried again. Rating it forgets this."""
        fails = {"failures": scopes.c.failures + 1}
        self._note(states, error, retry_at, fails, State.FAILING, metrics, now)

    def note_waiting(
        self,
        states: Collection[ScopeState],
        reason: str,
        retry_at: datetime.datetime,
        now: datetime.datetime,
        metrics: Collection[str] = (),
    ) -> None:
        """As ``note_failure``, for a period that nobody has failed to rate."""
        self._note(states, reason, retry_at, {}, State.WAITING, metrics, now)

    def forget_troubles(self, states: Sequence[ScopeState]) -> None:
        """Forget of scopes which metrics were to blame."""
        if states:
            troubles.clear(self._database, states)

    def _note(
        self,
        states: Collection[ScopeState],
        text: str,
        retry_at: datetime.datetime,
        values: Mapping[str, Any],
        state: State,
        metrics: Collection[str],
        now: datetime.datetime,
    ) -> None:
        with self._database.writer() as connection:
            connection.execute(
                scopes.update()
                .where(scopes.c.id.in_([state.id for state in states]))
                .values(retry_at=retry_at, last_error=text[:_ERROR_LENGTH], **values)
            )
            troubles.note(connection, states, state, text, metrics, now)


def _set_gone(
    connection: Connection, states: Sequence[ScopeState], gone_at: datetime.datetime | None
) -> None:
    """Set since when scopes are gone; one that somebody else has found gone before stays so."""
    fits = scopes.c.gone_at.is_(None) if gone_at else sa.true()
    for start in range(0, len(states), _AT_ONCE):
        piece = [state.id for state in states[start : start + _AT_ONCE]]
        connection.execute(
            scopes.update().where(scopes.c.id.in_(piece), fits).values(gone_at=gone_at)
        )


def _row(scope: Scope, starts_at: datetime.datetime, now: datetime.datetime) -> dict[str, Any]:
    return {
        "identifier": scope.identifier,
        "scope_key": scope.scope_key,
        "fetcher": scope.fetcher,
        "collector": scope.collector,
        "active": scope.fetcher != POSTED,
        "starts_at": starts_at,
        "toggled_at": now,
    }


def _states(
    connection: Connection,
    condition: sa.ColumnElement[bool],
    offset: int = 0,
    limit: int | None = None,
) -> list[ScopeState]:
    statement = sa.select(scopes).where(condition).order_by(scopes.c.id)
    if limit is not None:
        statement = statement.offset(offset).limit(limit)
    rows = connection.execute(statement)
    return [
        ScopeState(
            id=row.id,
            scope=Scope(row.identifier, row.scope_key, row.fetcher, row.collector),
            starts_at=row.starts_at,
            horizon=row.horizon,
            version=row.version,
            active=row.active,
            toggled_at=row.toggled_at,
            failures=row.failures,
            retry_at=row.retry_at,
            last_error=row.last_error,
            gone_at=row.gone_at,
        )
        for row in rows
    ]
