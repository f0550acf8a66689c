# SPDX-License-Identifier: Apache-2.0
"""Scopes of the old service: where each one stands, and what was asked to be rated again.

Invariants: there the state of a scope is the START of the last period that was closed, here the
horizon is its end; a scope that has rated rows begins where they end, if that is later, so that
nothing is rated twice; members of its identity that the old service left out are the configured
ones.
"""

import datetime
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from cloudkitty import period
from cloudkitty.db.models import reprocessing_tasks, scopes
from cloudkitty.importer import tables
from cloudkitty.importer.notes import Notes
from cloudkitty.importer.source import SourceError
from cloudkitty.importer.usage import Extent
from cloudkitty.scope import POSTED, Scope
from cloudkitty.storage.sqlalchemy import statements
from cloudkitty.task import Mode, TaskState

UNNAMED = "unknown"
"""Scope of rated rows that name none."""

_UNFINISHED = "was not finished when it was brought over; ask for it again if it is still wanted"
_FINISHED = "done by the service before this one"


@dataclass(frozen=True, slots=True)
class Identity:
    """What the configuration says about scopes; ``seconds`` is the length of a period."""

    scope_key: str
    fetcher: str
    collector: str
    seconds: int

    def of(self, identifier: str) -> Scope:
        return Scope(identifier, self.scope_key, self.fetcher, self.collector)

    def has(self, scope: Scope) -> bool:
        return scope == self.of(scope.identifier)

    def settings(self) -> dict[str, Any]:
        """Return the options that it consists of."""
        return {
            "period": self.seconds,
            "scope_key": self.scope_key,
            "fetcher": self.fetcher,
            "collector": self.collector,
        }


@dataclass(frozen=True, slots=True)
class OldScope:
    """A scope to be brought over; ``extent`` tells of its rated rows, if it has any."""

    scope: Scope
    active: bool
    toggled_at: datetime.datetime
    processed: datetime.datetime | None
    extent: Extent | None = None

    def horizon(self, seconds: int) -> datetime.datetime | None:
        """Return the instant up to which the scope has been rated, for periods of *seconds*."""
        ends = []
        if self.processed is not None:
            ends.append(self.processed + datetime.timedelta(seconds=seconds))
        if self.extent is not None:
            ends.append(period.from_epoch(self.extent.last))
        return max(ends, default=None)

    def starts_at(self, seconds: int, now: datetime.datetime) -> datetime.datetime:
        if self.extent is not None:
            return period.from_epoch(self.extent.first)
        return self.horizon(seconds) or now


def read_states(connection: Connection, identity: Identity, notes: Notes) -> list[OldScope]:
    """Return the scopes that have a state, by id; of two that are the same, the one that has
    come further."""
    table = tables.states
    found: dict[Scope, OldScope] = {}
    for row in connection.execute(sa.select(table).order_by(table.c.id)):
        scope = Scope(
            row.identifier,
            row.scope_key or identity.scope_key,
            row.fetcher or identity.fetcher,
            row.collector or identity.collector,
        )
        processed = period.utc(row.last_processed_timestamp)
        state = OldScope(
            scope, bool(row.active), period.utc(row.scope_activation_toggle_date), processed
        )
        known = found.get(scope)
        if known is not None:
            notes.add(f"{scope} has two states there; the one that has come further is taken")
            if known.processed is not None and known.processed >= processed:
                continue
        found[scope] = state
    return list(found.values())


def with_history(
    states: Sequence[OldScope], extents: Sequence[Extent], identity: Identity, notes: Notes
) -> list[OldScope]:
    """Return the scopes with their rated rows, and those that have nothing else.

    Rows name no more of a scope than its id: of several with one id, they belong to the one that
    is configured here, or else to the one that has come furthest.
    """
    by_id: dict[str, list[OldScope]] = defaultdict(list)
    for state in states:
        by_id[state.scope.identifier].append(state)
    for extent in extents:
        identifier = UNNAMED if extent.tenant is None else extent.tenant
        known = by_id[identifier]
        if not known:
            # Nobody knows whether it still exists: to rate it on is for the operator to decide.
            known.append(OldScope(identity.of(identifier), False, period.from_epoch(0), None))
            notes.add(
                f"{identity.of(identifier)} has rated rows and no state: brought over inactive"
            )
        owner = max(known, key=lambda state: (identity.has(state.scope), state.processed or _NEVER))
        if owner.extent is not None:
            raise SourceError(
                f"--from: there are rated rows of a scope named {identifier}, and some without a "
                "scope, which would be brought over under that name"
            )
        known[known.index(owner)] = _with_rows(owner, extent, identity, notes)
    return [state for many in by_id.values() for state in many]


_NEVER = datetime.datetime.min.replace(tzinfo=period.UTC)


def _with_rows(state: OldScope, extent: Extent, identity: Identity, notes: Notes) -> OldScope:
    known = state.horizon(identity.seconds)
    filled = replace(state, extent=extent)
    horizon = filled.horizon(identity.seconds)
    if known is not None and horizon is not None and horizon > known:
        notes.add(
            f"{state.scope} has rated rows up to {horizon:%Y-%m-%d %H:%M:%S}, and its state says "
            f"{known:%Y-%m-%d %H:%M:%S}: rating goes on behind the rows"
        )
    return filled


def note_strangers(found: Sequence[OldScope], identity: Identity, notes: Notes) -> None:
    """Say which active scopes the configuration here does not speak of."""
    others = [old.scope for old in found if old.active and not identity.has(old.scope)]
    if others:
        kinds = sorted({(s.scope_key, s.fetcher, s.collector) for s in others})
        notes.add(
            f"{len(others)} active scopes have another scope_key, fetcher or collector than the "
            "configuration here, which will not rate them: "
            + "; ".join("/".join(kind) for kind in kinds)
        )


def read_here(connection: Connection, seconds: int) -> list[OldScope]:
    """Return the scopes that there are here already, as if the old service had told of them;
    whether they are rated is not for an import to change. Scopes of points that were sent to the
    API are none of the old service's."""
    rows = connection.execute(sa.select(scopes).where(scopes.c.fetcher != POSTED))
    length = datetime.timedelta(seconds=seconds)
    return [
        OldScope(
            Scope(row.identifier, row.scope_key, row.fetcher, row.collector),
            False,
            row.toggled_at,
            None if row.horizon is None else row.horizon - length,
        )
        for row in rows
    ]


def write(
    connection: Connection, found: Sequence[OldScope], seconds: int, now: datetime.datetime
) -> None:
    """Insert the scopes, inactive until all is brought over; those without rated rows already have
    their horizon. One that is here already comes to where the old service was, or stays ahead."""
    known = keys(connection)
    rows = []
    for old in found:
        if old.scope in known:
            _advance(connection, known[old.scope], old, seconds, now)
        else:
            rows.append(_row(old, seconds, now))
    if rows:
        connection.execute(scopes.insert(), rows)


def _row(old: OldScope, seconds: int, now: datetime.datetime) -> dict[str, Any]:
    return {
        "identifier": old.scope.identifier,
        "scope_key": old.scope.scope_key,
        "fetcher": old.scope.fetcher,
        "collector": old.scope.collector,
        "active": False,
        "toggled_at": old.toggled_at,
        "starts_at": old.starts_at(seconds, now),
        "horizon": None if old.extent else old.horizon(seconds),
    }


def _advance(
    connection: Connection, key: int, old: OldScope, seconds: int, now: datetime.datetime
) -> None:
    """Bring a scope that is here to where the old service has come, if that is further: what
    went on until its horizon ends there."""
    horizon = statements.lock(connection, [key])[key].horizon
    of_key = scopes.c.id == key
    begins = connection.execute(sa.select(scopes.c.starts_at).where(of_key)).scalar_one()
    begins = min(begins, old.starts_at(seconds, now))
    connection.execute(
        scopes.update().where(of_key).values(toggled_at=old.toggled_at, starts_at=begins)
    )
    moment = old.horizon(seconds)
    if moment is None or (horizon is not None and horizon >= period.epoch(moment)):
        return
    if horizon is not None:
        ending = [row.series_id for row in statements.open_rows(connection, [key])]
        statements.close_runs(connection, ending, horizon)
    statements.move_horizon(connection, [key], period.epoch(moment))
    statements.move_version(connection, [key])


def activate(connection: Connection, found: Sequence[OldScope]) -> None:
    """Let those scopes be rated that were active."""
    table = scopes.c
    rows = [
        {
            "i": old.scope.identifier,
            "k": old.scope.scope_key,
            "f": old.scope.fetcher,
            "c": old.scope.collector,
        }
        for old in found
        if old.active
    ]
    if rows:
        connection.execute(
            scopes.update()
            .where(
                table.identifier == sa.bindparam("i"),
                table.scope_key == sa.bindparam("k"),
                table.fetcher == sa.bindparam("f"),
                table.collector == sa.bindparam("c"),
            )
            .values(active=True),
            rows,
        )


def keys(connection: Connection) -> dict[Scope, int]:
    """Return the keys of the scopes that are here."""
    table = scopes.c
    rows = connection.execute(
        sa.select(table.identifier, table.scope_key, table.fetcher, table.collector, table.id)
    )
    return {Scope(*identity): key for *identity, key in rows}


# -- what was asked to be rated again ---------------------------------------------------------


def read_tasks(connection: Connection) -> list[Mapping[str, Any]]:
    """Return the rows of the old service's schedule, oldest first."""
    table = tables.schedule
    rows = connection.execute(sa.select(table).order_by(table.c.id))
    return [dict(row._mapping) for row in rows]


def of_tasks(
    tasks: Sequence[Mapping[str, Any]], found: Sequence[OldScope], identity: Identity
) -> list[OldScope]:
    """Return scopes for those tasks whose scope is not among *found*."""
    known = {old.scope.identifier for old in found}
    missing = dict.fromkeys(t["identifier"] for t in tasks if t["identifier"] not in known)
    return [OldScope(identity.of(name), False, period.from_epoch(0), None) for name in missing]


def write_tasks(
    connection: Connection,
    tasks: Sequence[Mapping[str, Any]],
    found: Sequence[OldScope],
    identity: Identity,
    now: datetime.datetime,
) -> None:
    """Insert the tasks: there the end of a window is the start of its last period, here it is
    outside. What was not finished is not taken up again by itself."""
    numbers = keys(connection)
    owners: dict[str, int] = {}
    for old in sorted(found, key=lambda old: identity.has(old.scope)):
        owners[old.scope.identifier] = numbers[old.scope]
    step = datetime.timedelta(seconds=identity.seconds)
    rows = []
    for task in tasks:
        begin, end = (period.utc(task[f"{name}_reprocess_time"]) for name in ("start", "end"))
        current = task["current_reprocess_time"]
        done = current is not None and period.utc(current) >= end
        rows.append(
            {
                "scope_id": owners[task["identifier"]],
                "begin": begin,
                "end": end + step,
                "current": None if current is None else period.utc(current) + step,
                "reason": task["reason"] or "",
                "mode": Mode.COLLECT.value,
                "dry_run": False,
                "state": (TaskState.DONE if done else TaskState.CANCELLED).value,
                "note": _FINISHED if done else _UNFINISHED,
                "created_at": now,
                "finished_at": now,
            }
        )
    if rows:
        connection.execute(reprocessing_tasks.insert(), rows)
