# SPDX-License-Identifier: Apache-2.0
"""The one way to a database connection: ``reader`` and ``writer`` transactions.

Invariants: a reader sees one state of the database from its first statement to its last; a
writer on SQLite holds the write lock from its first statement, so that it never fails
half-way because another process wrote in between; API and processor may share one SQLite file.
"""

import contextlib
import datetime
import os
from collections.abc import Iterator
from typing import Any

import sqlalchemy as sa
from oslo_config import cfg
from oslo_db import exception as db_exception
from oslo_db.sqlalchemy import exc_filters
from sqlalchemy.engine import Connection, Engine, make_url
from sqlalchemy.exc import ArgumentError, NoSuchModuleError

from cloudkitty import period
from cloudkitty.config import ConfigurationError

SQLITE_BUSY_SECONDS = 60

_WRITES = "cloudkitty_writes"
"""Execution option of a connection in a transaction that writes."""

_DRIVERS = {
    "mysql": "mysql+pymysql",
    "mariadb": "mariadb+pymysql",
    "postgresql": "postgresql+psycopg2",
}


_NOW = {
    "sqlite": "SELECT strftime('%s', 'now')",
    "mysql": "SELECT UNIX_TIMESTAMP()",
    "postgresql": "SELECT extract(epoch FROM clock_timestamp())",
}
"""Unix time, which no time zone of a server shifts."""


class Database:
    """Transactions on the database that ``[database] connection`` names.

    The engine is made when it is first used, once for each process: an object that was made
    before a fork may be used after it.
    """

    def __init__(self, conf: cfg.ConfigOpts) -> None:
        self._options = dict(conf.database)
        self.url = _url(conf.database.connection)
        self._engine: Engine | None = None
        self._pid = 0

    @property
    def engine(self) -> Engine:
        if self._engine is None or self._pid != os.getpid():
            if self._engine is not None:
                self._engine.dispose(close=False)
            self._engine = _engine(self.url, self._options)
            self._pid = os.getpid()
        return self._engine

    @property
    def dialect(self) -> str:
        """``sqlite``, ``mysql`` (MariaDB too) or ``postgresql``."""
        name = make_url(self.url).get_backend_name()
        return "mysql" if name == "mariadb" else name

    @contextlib.contextmanager
    def reader(self) -> Iterator[Connection]:
        """A transaction that only reads, and sees one state of the database."""
        isolation = {} if self.dialect == "sqlite" else {"isolation_level": "REPEATABLE READ"}
        with self.engine.connect() as connection:
            connection.execution_options(**isolation)
            with connection.begin():
                yield connection

    @contextlib.contextmanager
    def writer(self) -> Iterator[Connection]:
        """A transaction that writes; committed at the end, rolled back on any exception."""
        with self.engine.connect() as connection:
            # On SQLite, a transaction that begins by reading could not wait for the write lock.
            level = {} if self.dialect == "sqlite" else {"isolation_level": "READ COMMITTED"}
            connection.execution_options(**{_WRITES: True}, **level)
            with connection.begin():
                yield connection

    def now(self) -> datetime.datetime:
        """Return what time it is for the database, in whole seconds."""
        with self.reader() as connection:
            seconds = connection.scalar(sa.text(_NOW[self.dialect]))
        return period.from_epoch(int(seconds))

    def dispose(self) -> None:
        """Close the connections of this process."""
        if self._engine is not None and self._pid == os.getpid():
            self._engine.dispose()
        self._engine = None


def _url(connection: str | None) -> str:
    if not connection:
        raise ConfigurationError("[database] connection: must be set")
    try:
        url = make_url(connection)
    except ArgumentError as error:
        raise ConfigurationError(f"[database] connection: {error}") from error
    if url.drivername in _DRIVERS:
        url = url.set(drivername=_DRIVERS[url.drivername])
    if url.get_backend_name() not in ("sqlite", "mysql", "mariadb", "postgresql"):
        raise ConfigurationError(
            f"[database] connection: {url.drivername} is not supported; use sqlite, mysql or "
            "postgresql"
        )
    if url.get_backend_name() in ("mysql", "mariadb") and "charset" not in url.query:
        # That of oslo.db has no characters of four bytes.
        url = url.update_query_dict({"charset": "utf8mb4"})
    return url.render_as_string(hide_password=False)


def _engine(url: str, options: dict[str, Any]) -> Engine:
    if make_url(url).get_backend_name() == "sqlite":
        return _sqlite_engine(url, options)
    # Not imported where it is not needed: it takes a while.
    from oslo_db.sqlalchemy import engines

    names = (
        "mysql_sql_mode",
        "mysql_wsrep_sync_wait",
        "connection_recycle_time",
        "connection_debug",
        "connection_trace",
        "max_pool_size",
        "max_overflow",
        "pool_timeout",
        "connection_parameters",
    )
    try:
        engine: Engine = engines.create_engine(
            url,
            max_retries=0,
            # Only green threads need to be woken up whenever a connection is given back.
            thread_checkin=False,
            **{name: options[name] for name in names},
        )
    except (ModuleNotFoundError, NoSuchModuleError) as error:
        raise ConfigurationError(
            f"[database] connection: the Python driver is missing ({error}); install "
            "cloudkitty[mysql] or cloudkitty[postgresql]"
        ) from error
    return engine


def _sqlite_engine(url: str, options: dict[str, Any]) -> Engine:
    """Return an engine that keeps its connections.

    That of oslo.db closes a connection after each use, which costs ten times what most
    transactions do: the last one to close also empties the write-ahead log.
    """
    engine = sa.create_engine(url, max_overflow=-1, pool_timeout=options["pool_timeout"])
    sa.event.listen(engine, "connect", _prepare_sqlite)
    sa.event.listen(engine, "begin", _begin_sqlite)
    exc_filters.register_engine(engine)
    return engine


def _begin_sqlite(connection: Connection) -> None:
    writes = connection.get_execution_options().get(_WRITES, False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def _prepare_sqlite(connection: Any, _record: object) -> None:
    # The driver would begin transactions by itself, and later than they have to.
    connection.isolation_level = None
    connection.execute(f"PRAGMA busy_timeout = {SQLITE_BUSY_SECONDS * 1000}")
    connection.execute("PRAGMA foreign_keys = ON")
    # Readers and one writer at the same time; safe against the death of a process, and, with
    # a file system that keeps its promises, against loss of power.
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = NORMAL")
    connection.execute("PRAGMA temp_store = MEMORY")
    connection.execute("PRAGMA cache_size = -65536")


def explain(error: Exception, url: str) -> str:
    """Return one sentence about why the database could not be used."""
    parts = make_url(url)
    reason = str(error).splitlines()[0] if str(error) else type(error).__name__
    if parts.get_backend_name() == "sqlite" and parts.database:
        directory = os.path.dirname(os.path.abspath(parts.database))
        if not os.path.isdir(directory):
            reason = f"there is no directory {directory}; make it, or set [DEFAULT] state_path"
    return f"[database] connection {parts.render_as_string(hide_password=True)}: {reason}"


DatabaseErrors = (sa.exc.SQLAlchemyError, db_exception.DBError)
"""What a failing database raises, whether or not oslo.db has translated it."""


def is_away(error: BaseException) -> bool:
    """Whether *error*, or what it was raised from, says that the database cannot be reached, which
    nothing but time will change."""
    known: BaseException | None = error
    while known is not None:
        if isinstance(known, _AWAY) or getattr(known, "connection_invalidated", False):
            return True
        # What fails before there is a statement is the making of a connection.
        if isinstance(known, sa.exc.OperationalError) and known.statement is None:
            return True
        known = known.__cause__
    return False


_AWAY = (
    db_exception.DBConnectionError,
    db_exception.DBNonExistentDatabase,
    db_exception.CantStartEngineError,
    # All connections are in use, and none became free in time.
    sa.exc.TimeoutError,
)
