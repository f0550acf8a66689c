# SPDX-License-Identifier: Apache-2.0
"""Setting scopes back (or forward) to an instant: what was rated after it goes, and rating goes on
one period later.

Invariants: each scope changes whole, in one transaction, or not at all; the instant lies on the
scope's own periods.
"""

import datetime
from collections.abc import Sequence
from dataclasses import asdict

from cloudkitty import period
from cloudkitty.db.scopes import ScopeStore
from cloudkitty.rest import errors
from cloudkitty.scope import ScopeState
from cloudkitty.storage.base import Storage

TRIES = 5
"""How often a scope is looked at again that a processor has moved in the meantime."""


def check(states: Sequence[ScopeState], last: datetime.datetime, length: int) -> None:
    """Make sure that *last* is the start of a period of every scope.

    :raises errors.InvalidData: it is not; with the nearest instant before it.
    """
    instant = period.epoch(last)
    problems = [
        f"{state.scope.identifier}: {last.isoformat()} is not the start of a period; the nearest "
        f"before it is {period.from_epoch(instant - off).isoformat()}"
        for state in states
        if (off := (instant - period.epoch(state.starts_at)) % length)
    ]
    if problems:
        raise errors.InvalidData(problems="; ".join(problems[:20]))


def check_kept(states: Sequence[ScopeState], horizon: datetime.datetime, storage: Storage) -> None:
    """Make sure that no point from *horizon* on has been purged.

    :raises errors.InvalidData: some have been, with the scope and up to when.
    """
    cuts = storage.purged_until([state.id for state in states])
    problems = [
        f"{state.scope.identifier}: points before {cuts[state.id].isoformat()} have been purged "
        "and stay as they are; a scope can be set back to that instant or a later one"
        for state in states
        if state.id in cuts and horizon < cuts[state.id]
    ]
    if problems:
        raise errors.InvalidData(problems="; ".join(problems[:20]))


def reset(
    states: Sequence[ScopeState], horizon: datetime.datetime, storage: Storage, scopes: ScopeStore
) -> None:
    """Make *horizon* the scopes' horizon.

    :raises errors.ScopeBusy: a scope is being moved all the time.
    """
    for state in states:
        for _ in range(TRIES):
            if storage.rewind(state, horizon):
                break
            now = scopes.find({name: [text] for name, text in asdict(state.scope).items()})
            if not now:
                raise errors.ScopeBusy(scope_id=state.scope.identifier)
            state = now[0]  # noqa: PLW2901 - as it stands now
        else:
            raise errors.ScopeBusy(scope_id=state.scope.identifier)
