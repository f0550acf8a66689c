# SPDX-License-Identifier: Apache-2.0
"""What a process remembers of the ledger: the open runs of each scope at one version.

Invariant: memory is only an offer; it is used when the scope's version in the database is the
remembered one, read under the scope's lock.
"""

import random
from collections.abc import Iterator
from decimal import Decimal
from typing import NamedTuple

from cloudkitty import money
from cloudkitty.dataframe import Series
from cloudkitty.storage.sqlalchemy.runs import Open

AMOUNTS_KEPT = 50_000
"""How many amounts are remembered to have one object for equal ones."""


class ScopeRuns(NamedTuple):
    """The open runs of one scope at one version."""

    version: int
    current: dict[Series, Open]


class Amounts:
    """Has one object for equal amounts: of quantities and prices there are few."""

    def __init__(self) -> None:
        self._known: dict[str, Decimal] = {}

    def one(self, amount: Decimal) -> tuple[Decimal, str]:
        """Return the object for this amount, and its canonical text."""
        text = money.text(amount)
        if len(self._known) >= AMOUNTS_KEPT:
            self._known.clear()
        return self._known.setdefault(text, amount), text


class OpenRuns:
    """Open runs by scope, *max_runs* at most."""

    def __init__(self, max_runs: int) -> None:
        self._max_runs = max_runs
        self._random = random.Random(max_runs)
        self._scopes: dict[int, ScopeRuns] = {}

    def __len__(self) -> int:
        return sum(len(known.current) for known in self._scopes.values())

    def get(self, scope_id: int) -> ScopeRuns | None:
        return self._scopes.get(scope_id)

    def put(self, scope_id: int, known: ScopeRuns) -> None:
        """Remember *known*."""
        self._scopes[scope_id] = known

    def shrink(self) -> None:
        """Forget scopes until the rest is small enough.

        Scopes are used one after the other in every period: if the one used longest ago had to
        go, it would always be the one that is wanted next, and none would ever be found.
        """
        size = len(self)
        if size <= self._max_runs:
            return
        scope_ids = list(self._scopes)
        self._random.shuffle(scope_ids)
        for scope_id in scope_ids:
            size -= len(self._scopes.pop(scope_id).current)
            if size <= self._max_runs:
                return

    def has_history(self, scope_id: int) -> bool:
        """Return whether the scope may have series in the database."""
        known = self._scopes.get(scope_id)
        return known is None or known.version > 0

    def series(self) -> Iterator[Series]:
        """Yield every series that has an open run."""
        for known in self._scopes.values():
            yield from known.current
