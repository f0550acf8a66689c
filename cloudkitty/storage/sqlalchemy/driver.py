# SPDX-License-Identifier: Apache-2.0
"""The ledger: the storage driver that keeps runs of points in the service's own database."""

import datetime
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager

from oslo_config import cfg

from cloudkitty import money
from cloudkitty.dataframe import DataFrame, Registry
from cloudkitty.db import migration
from cloudkitty.db.engine import Database, DatabaseErrors, explain
from cloudkitty.period import UTC, Period
from cloudkitty.scope import ScopeState
from cloudkitty.storage.base import Query, Scan, Storage, StorageError, Totals
from cloudkitty.storage.sqlalchemy.queries import Reader
from cloudkitty.storage.sqlalchemy.writer import LedgerWriter


class SqlAlchemyStorage(Storage):
    """See ``cloudkitty.storage.base.Storage``; exact on SQLite, MariaDB and PostgreSQL.

    Sums have no rounding. The scope group of ``total`` is who was rated.
    """

    def __init__(self, conf: cfg.ConfigOpts, database: Database, registry: Registry) -> None:
        super().__init__(conf, database, registry)
        self._writer = LedgerWriter(database, registry)

    def init(self) -> None:
        with self._explained():
            migration.upgrade(self.database)

    def replace(
        self, period: Period, frames: Mapping[ScopeState, DataFrame]
    ) -> Collection[ScopeState]:
        with self._explained():
            return self._writer.replace(period, frames)

    @contextmanager
    def scan(
        self,
        query: Query,
        offset: int = 0,
        limit: int | None = None,
        *,
        by_metric: bool = False,
    ) -> Iterator[Scan]:
        with self._reading(query) as reader:
            yield reader.scan(offset, limit, by_metric)

    def total(
        self,
        query: Query,
        groupby: Sequence[str] = (),
        offset: int = 0,
        limit: int | None = None,
        *,
        zone: datetime.tzinfo = UTC,
        extremes: bool = False,
    ) -> Totals:
        with self._reading(query) as reader:
            return reader.totals(groupby, offset, limit, zone, extremes)

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
            self._writer.delete(begin, end, chosen)

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
