# SPDX-License-Identifier: Apache-2.0
"""What a process remembers of the ledger: the open runs of each scope at one version.

Invariant: memory is only an offer; it is used when the scope's version in the database is the
remembered one, read under the scope's lock.
"""

from collections.abc import Iterator
from typing import NamedTuple

from cloudkitty.dataframe import Series
from cloudkitty.storage.sqlalchemy.runs import Open

MAX_RUNS = 2_000_000


class ScopeRuns(NamedTuple):
    """The open runs of one scope at one version."""

    version: int
    current: dict[Series, Open]


class OpenRuns:
    """Open runs by scope, for the scopes used last."""

    def __init__(self, max_runs: int = MAX_RUNS) -> None:
        self._max_runs = max_runs
        self._scopes: dict[int, ScopeRuns] = {}

    def __len__(self) -> int:
        return sum(len(known.current) for known in self._scopes.values())

    def get(self, scope_id: int) -> ScopeRuns | None:
        return self._scopes.get(scope_id)

    def put(self, scope_id: int, known: ScopeRuns) -> None:
        """Remember *known*, as the scope used last."""
        self._scopes.pop(scope_id, None)
        self._scopes[scope_id] = known

    def shrink(self) -> None:
        """Forget the scopes used longest ago, until the rest is small enough."""
        size = len(self)
        for scope_id in list(self._scopes)[:-1]:
            if size <= self._max_runs:
                return
            size -= len(self._scopes.pop(scope_id).current)

    def has_history(self, scope_id: int) -> bool:
        """Return whether the scope may have series in the database."""
        known = self._scopes.get(scope_id)
        return known is None or known.version > 0

    def series(self) -> Iterator[Series]:
        """Yield every series that has an open run."""
        for known in self._scopes.values():
            yield from known.current
