# SPDX-License-Identifier: Apache-2.0
"""Bulk writing of a scope's history, from its beginning towards its horizon.

Invariants: what has been committed is the ledger that rating those periods would have made, with
the horizon behind the last of them, in one transaction: a process that is killed goes on at the
horizon, and nothing is there twice. Memory grows with the series that are alive at one time, and
with the changes since the last commit.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from decimal import Decimal

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from cloudkitty.dataframe import Registry, Series
from cloudkitty.db.engine import Database, DatabaseErrors, explain
from cloudkitty.storage.base import StorageError
from cloudkitty.storage.sqlalchemy import encoding, models, runs, statements
from cloudkitty.storage.sqlalchemy.keys import SeriesKeys
from cloudkitty.storage.sqlalchemy.writer import Content

Amounts = tuple[Decimal, Decimal]


class _Run:
    """A run that is being built; ``stored`` is the end that its row has, if it has one."""

    __slots__ = ("amounts", "begin", "end", "key", "step", "stored")

    def __init__(self, begin: int, end: int, amounts: Amounts, key: int | None) -> None:
        self.begin = begin
        self.end = end
        self.step = end - begin
        self.amounts = amounts
        self.key = key
        self.stored: int | None = None

    def as_run(self, end: int) -> runs.Run:
        return runs.Run(self.begin, end, self.step, *self.amounts)


class Loader:
    """Opens the histories of scopes, one after the other."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._keys = SeriesKeys(database)

    def open(self, scope_id: int, registry: Registry) -> "History":
        """Return the history of a scope as it is so far.

        :raises StorageError: the store cannot be read.
        """
        return History(self._database, self._keys, scope_id, registry)


class History:
    """What one scope had, to be appended period by period; ``horizon`` is that of the last commit
    in Unix seconds, ``None`` before the first."""

    def __init__(
        self, database: Database, keys: SeriesKeys, scope_id: int, registry: Registry
    ) -> None:
        self._database = database
        self._keys = keys
        self._scope_id = scope_id
        self._registry = registry
        self._live: dict[Series, _Run] = {}
        self._gone: list[tuple[Series, _Run]] = []
        with self._explained(), database.writer() as connection:
            self.horizon, self._version = statements.lock(connection, [scope_id])[scope_id]
            if self.horizon is not None:
                self._read_live(connection, self.horizon)

    def _read_live(self, connection: Connection, horizon: int) -> None:
        table, owner = models.runs, models.series.c
        rows = connection.execute(
            sa.select(models.series, table)
            .join_from(table, models.series, table.c.series_id == owner.id)
            .where(owner.scope_id == self._scope_id, table.c.end > horizon)
            # Of a series with periods of several lengths, the open run is the one to go on with:
            # any other has its end already.
            .order_by(table.c.end)
        )
        for row in rows:
            end = horizon if row.end == models.OPEN else row.end
            run = _Run(row.begin, end, (row.qty, row.price), row.series_id)
            run.step, run.stored = row.step, row.end
            self._live[encoding.series_of(row, self._registry)] = run

    def append(self, begin: int, end: int, content: Content) -> None:
        """Add the points of one period; periods come in the order of their begin."""
        live = self._live
        step = end - begin
        for series, amounts in content.items():
            run = live.get(series)
            if run is None:
                live[series] = _Run(begin, end, amounts, None)
            elif run.end == begin and run.step == step and run.amounts == amounts:
                run.end = end
            else:
                self._gone.append((series, run))
                live[series] = _Run(begin, end, amounts, run.key)

    def commit(self, horizon: int) -> None:
        """Write what was appended, and make *horizon* the scope's: no point that is still to come
        begins before it.

        :raises StorageError: nothing has been written.
        """
        changed = [(series, run, run.end) for series, run in self._gone]
        for series, run in self._live.items():
            changed.append((series, run, models.OPEN if run.end == horizon else run.end))
        changed = [item for item in changed if item[1].stored != item[2]]
        unknown = list(dict.fromkeys(series for series, run, _end in changed if run.key is None))
        with self._explained():
            self._keys.reserve(len(unknown))
            with self._database.writer() as connection:
                found = statements.lock(connection, [self._scope_id])[self._scope_id]
                if found != (self.horizon, self._version):
                    raise StorageError(
                        f"scope {self._scope_id}: somebody else writes its history at the same time"
                    )
                keys = self._write(connection, changed, unknown)
                statements.move_horizon(connection, [self._scope_id], horizon)
                statements.move_version(connection, [self._scope_id])
                version = statements.lock(connection, [self._scope_id])[self._scope_id].version
        self._version = version
        self._remember(changed, keys, horizon)

    def _write(
        self,
        connection: Connection,
        changed: Sequence[tuple[Series, _Run, int]],
        unknown: Sequence[Series],
    ) -> Mapping[tuple[int, Series], int]:
        """Write what has changed, and return the keys of the series that had none."""
        keys = self._keys.of(
            connection, {self._scope_id: unknown}, lambda _scope_id: self.horizon is not None
        )
        closing: dict[int, list[int]] = defaultdict(list)
        gone: list[tuple[int, runs.Run]] = []
        fresh: list[tuple[int, runs.Run]] = []
        for series, run, end in changed:
            key = run.key if run.key is not None else keys[self._scope_id, series]
            if run.stored == models.OPEN:
                closing[end].append(key)
                continue
            if run.stored is not None:
                gone.append((key, run.as_run(run.stored)))
            fresh.append((key, run.as_run(end)))
        for end, ending in closing.items():
            statements.close_runs(connection, ending, end)
        statements.delete_runs(connection, gone)
        statements.insert_runs(connection, fresh)
        return keys

    def _remember(
        self,
        changed: Sequence[tuple[Series, _Run, int]],
        keys: Mapping[tuple[int, Series], int],
        horizon: int,
    ) -> None:
        """Bring memory to what has been committed; runs that cannot go on are forgotten."""
        for series, run, end in changed:
            run.stored = end
            if run.key is None:
                run.key = keys[self._scope_id, series]
        self.horizon = horizon
        self._gone = []
        self._live = {series: run for series, run in self._live.items() if run.end >= horizon}
        self._registry.retain(self._live)

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except DatabaseErrors as error:
            raise StorageError(explain(error, self._database.url)) from error
