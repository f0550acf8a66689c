# SPDX-License-Identifier: Apache-2.0
"""Bulk writing of what a scope had before it was rated here: behind its horizon, in a window that
has nothing else.

Invariants: what has been committed is the ledger that rating those periods would have made, in one
transaction, and the same when it is committed once more; the horizon stays where it is, even while
rating moves it.
"""

from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

from cloudkitty.dataframe import Registry, Series
from cloudkitty.db.engine import Database, DatabaseErrors, explain
from cloudkitty.db.scopes import ScopeStore
from cloudkitty.storage.base import StorageError
from cloudkitty.storage.sqlalchemy import runs
from cloudkitty.storage.sqlalchemy.editor import Editor
from cloudkitty.storage.sqlalchemy.writer import Content

_TRIES = 100
"""How often rating may move the horizon before a window is written: it does so once a period."""


class Window(NamedTuple):
    """In Unix seconds."""

    begin: int
    end: int


class Backfill:
    """The window of one scope, to be appended period by period."""

    def __init__(
        self, database: Database, scope_id: int, registry: Registry, window: Window
    ) -> None:
        self._database = database
        self._scopes = ScopeStore(database)
        self._editor = Editor(database)
        self._scope_id = scope_id
        self._registry = registry
        self._since, self._end = window
        self._pending: dict[Series, list[runs.Run]] = defaultdict(list)

    def append(self, begin: int, end: int, content: Content) -> None:
        """Add the points of one period; periods come in the order of their begin."""
        step = end - begin
        for series, (qty, price) in content.items():
            known = self._pending[series]
            if known and known[-1][1:] == (begin, step, qty, price):
                known[-1] = known[-1]._replace(end=end)
            else:
                known.append(runs.Run(begin, end, step, qty, price))

    def commit(self, until: int) -> None:
        """Write what was appended; no point that is still to come begins before *until*.

        :raises StorageError: nothing has been written.
        """
        end = min(until, self._end)
        if end <= self._since:
            return
        with self._explained():
            for _try in range(_TRIES):
                state = self._scopes.get(self._scope_id)
                if not self._editor.rewrite_runs(self._since, end, {state: self._pending}):
                    break
            else:
                raise StorageError(f"{state.scope}: its horizon does not stand still")
        self._registry.retain([s for s, many in self._pending.items() if many[-1].end >= end])
        self._pending = defaultdict(list)
        self._since = end

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except DatabaseErrors as error:
            raise StorageError(explain(error, self._database.url)) from error
