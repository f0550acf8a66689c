# SPDX-License-Identifier: Apache-2.0
"""The ledger: the storage driver that keeps runs of points in the service's own database."""

import datetime
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager

from oslo_config import cfg

from cloudkitty import money
from cloudkitty import period as calendar
from cloudkitty.dataframe import DataFrame, Registry
from cloudkitty.db import migration
from cloudkitty.db.engine import Database, DatabaseErrors, explain
from cloudkitty.period import UTC, Period
from cloudkitty.scope import ScopeState
from cloudkitty.storage.base import (
    FreeRun,
    Marker,
    Query,
    Removed,
    Scan,
    Storage,
    StorageError,
    Stretch,
    Totals,
)
from cloudkitty.storage.sqlalchemy import kept, stretches
from cloudkitty.storage.sqlalchemy.editor import Editor
from cloudkitty.storage.sqlalchemy.points import PointReader
from cloudkitty.storage.sqlalchemy.purger import Purger
from cloudkitty.storage.sqlalchemy.queries import Reader
from cloudkitty.storage.sqlalchemy.writer import Appender, Content, content_of


class SqlAlchemyStorage(Storage):
    """See ``cloudkitty.storage.base.Storage``; exact on SQLite, MariaDB and PostgreSQL.

    Sums have no rounding. The scope group of ``total`` is who was rated.
    """

    def __init__(self, conf: cfg.ConfigOpts, database: Database, registry: Registry) -> None:
        super().__init__(conf, database, registry)
        self._appender = Appender(database, registry, conf.orchestrator.cached_series)
        self._editor = Editor(database)
        self._purger = Purger(database)

    def init(self) -> None:
        with self._explained():
            migration.upgrade(self.database)

    def replace(
        self, period: Period, frames: Mapping[ScopeState, DataFrame]
    ) -> Collection[ScopeState]:
        ahead: dict[int | None, dict[ScopeState, Content]] = {}
        behind: dict[ScopeState, list[Stretch]] = {}
        for state, frame in frames.items():
            if state.horizon in (None, period.begin):
                horizon = None if state.horizon is None else calendar.epoch(state.horizon)
                ahead.setdefault(horizon, {})[state] = content_of(frame)
            elif state.horizon is not None and period.end <= state.horizon:
                behind[state] = [Stretch(frame, 1)]
            else:
                raise StorageError(
                    f"{state.scope}: {period} does not follow on the horizon {state.horizon}"
                )
        untouched: list[ScopeState] = []
        begin, end = calendar.epoch(period.begin), calendar.epoch(period.end)
        with self._explained():
            for horizon, contents in ahead.items():
                untouched += self._appender.append(begin, end, contents, horizon)
            if behind:
                untouched += self._editor.rewrite(begin, end, behind)
        return untouched

    def stretches(self, state: ScopeState, window: Period) -> Sequence[Stretch]:
        query = Query(window.begin, window.end, scopes=[state.scope.identifier])
        with self._reading(query) as reader:
            return stretches.read(reader, state.id)

    def rewrite(
        self, window: Period, contents: Mapping[ScopeState, Sequence[Stretch]]
    ) -> Collection[ScopeState]:
        for state in contents:
            if state.horizon is None or state.horizon < window.end:
                raise StorageError(f"{state.scope}: {window} is not before {state.horizon}")
        begin, end = calendar.epoch(window.begin), calendar.epoch(window.end)
        with self._explained():
            return self._editor.rewrite(begin, end, contents)

    def rewind(self, state: ScopeState, instant: datetime.datetime) -> bool:
        with self._explained():
            return self._editor.rewind(state, calendar.epoch(instant))

    def put(self, frames: Mapping[int, Sequence[DataFrame]]) -> None:
        filled = {
            scope_id: kept
            for scope_id, many in frames.items()
            if (kept := [f for f in many if len(f)])
        }
        if filled:
            with self._explained():
                self._editor.put(filled)

    @contextmanager
    def scan(
        self,
        query: Query,
        offset: int = 0,
        limit: int | None = None,
        *,
        by_metric: bool = False,
        after: Marker | None = None,
    ) -> Iterator[Scan]:
        with self._explained(), self.database.reader() as connection:
            yield PointReader(connection, query, by_metric).scan(offset, limit, after)

    def total(
        self,
        query: Query,
        groupby: Sequence[str] = (),
        offset: int = 0,
        limit: int | None = None,
        *,
        zone: datetime.tzinfo = UTC,
        extremes: bool = False,
        after: Marker | None = None,
    ) -> Totals:
        with self._reading(query) as reader:
            return reader.totals(groupby, offset, limit, zone, extremes, after)

    @contextmanager
    def free(self, query: Query) -> Iterator[Iterator[FreeRun]]:
        with self._reading(query) as reader:
            reader.refuse_purged("it is not known which points had no price")
            yield reader.free()

    def delete(self, query: Query) -> None:
        with self._reading(query) as reader:
            attributed = query.filters or query.metrics is not None
            chosen: dict[int, set[int] | None] = dict.fromkeys(reader.accounts)
            if attributed:
                chosen = {}
                for stored in reader.stored():
                    keys = chosen.setdefault(stored.scope_id, set())
                    assert keys is not None
                    keys.add(stored.series_id)
            begin, end = reader.begin, reader.end
        with self._explained():
            self._editor.delete(begin, end, chosen)

    def purgeable(
        self, before: datetime.datetime, scopes: Collection[str] | None = None
    ) -> Mapping[str, int]:
        found: dict[str, int] = {}
        with self._explained():
            for one in self._purger.waiting(calendar.epoch(before), scopes):
                found[one.identifier] = found.get(one.identifier, 0) + one.runs
        return found

    def purge(
        self,
        before: datetime.datetime,
        zone: datetime.tzinfo,
        scopes: Collection[str] | None = None,
        spare: Collection[int] = (),
    ) -> Iterator[Removed]:
        with self._explained():
            yield from self._purger.steps(calendar.epoch(before), zone, scopes, spare)

    def purged_until(self, scope_ids: Collection[int]) -> Mapping[int, datetime.datetime]:
        with self._explained(), self.database.reader() as connection:
            found = kept.cuts(connection, scope_ids)
        return {scope_id: calendar.from_epoch(cut) for scope_id, cut in found.items()}

    def scopes_with_data(self, begin: datetime.datetime, end: datetime.datetime) -> Sequence[str]:
        with self._reading(Query(begin, end)) as reader:
            return reader.scopes_with_data()

    @contextmanager
    def _reading(self, query: Query) -> Iterator[Reader]:
        with self._explained(), self.database.reader() as connection:
            yield Reader(connection, query)

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except DatabaseErrors as error:
            raise StorageError(explain(error, self.database.url)) from error
        except money.NotAnAmount as error:
            raise StorageError(f"an amount cannot be kept: {error}") from error
