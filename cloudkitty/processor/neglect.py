# SPDX-License-Identifier: Apache-2.0
"""Parts in which something is due and nothing happens.

Their owner may be a member of the group that hangs, cannot reach the database, or rates other
scopes than we do. Invariant: to take one up is never wrong, as whoever is at work has its lock.
"""

import datetime
from collections import defaultdict
from collections.abc import Iterable

from cloudkitty.processor.sharing import Parts, part_of
from cloudkitty.scope import ScopeState

_Stand = frozenset[tuple[int, int, int, datetime.datetime | None]]


class Neglect:
    """Watches parts for progress."""

    def __init__(self, patience: datetime.timedelta) -> None:
        self._patience = patience
        self._since: dict[int, tuple[_Stand, datetime.datetime]] = {}

    def look(self, due: Iterable[ScopeState], count: int, now: datetime.datetime) -> Parts:
        """Return the parts, of *count*, in which the scopes that are *due* stand as they stood
        for so long."""
        stands: dict[int, set[tuple[int, int, int, datetime.datetime | None]]] = defaultdict(set)
        for state in due:
            stand = state.id, state.version, state.failures, state.horizon
            stands[part_of(state, count)].add(stand)
        known, self._since = self._since, {}
        for part, found in stands.items():
            stand_now = frozenset(found)
            before, since = known.get(part, (stand_now, now))
            self._since[part] = stand_now, since if before == stand_now else now
        return frozenset(
            part for part, (_stand, since) in self._since.items() if now - since >= self._patience
        )
