# SPDX-License-Identifier: Apache-2.0
"""Databases for tests: SQLite always, MariaDB and PostgreSQL where a server is named.

``CLOUDKITTY_TEST_MYSQL`` and ``CLOUDKITTY_TEST_POSTGRESQL`` are URLs of servers with the right
to create databases, such as ``mysql://root@127.0.0.1:3306/``.
"""

import os
import pathlib
import shutil
import uuid
from collections.abc import Callable

import sqlalchemy as sa
from oslo_config import cfg
from sqlalchemy.engine import make_url

from cloudkitty.db import migration
from cloudkitty.db.engine import Database, DatabaseErrors

DIALECTS = ("sqlite", "mysql", "postgresql")


def missing(dialect: str) -> str | None:
    """Return why there is no such server, ``None`` when there is one."""
    name = f"CLOUDKITTY_TEST_{dialect.upper()}"
    if dialect == "sqlite" or os.environ.get(name):
        return None
    return f"no {dialect} server: {name} is not set"


def answers(url: str) -> bool:
    """Return whether there is a server at *url* that lets us in."""
    from cloudkitty import config

    conf = config.load([], config_files=[])
    conf.set_override("connection", url, "database")
    database = Database(conf)
    try:
        with database.reader():
            return True
    except DatabaseErrors:
        return False
    finally:
        database.dispose()


def server_url(dialect: str) -> str:
    """The URL of the server of a dialect that has one."""
    return os.environ[f"CLOUDKITTY_TEST_{dialect.upper()}"]


class TestServer:
    """One migrated database of a dialect, emptied before each test, on the server that the
    environment names, or on *server*."""

    __test__ = False

    def __init__(self, dialect: str, directory: pathlib.Path, server: str | None = None) -> None:
        self.dialect = dialect
        self._directory = directory
        self._name = f"cloudkitty_test_{uuid.uuid4().hex[:12]}"
        self._template = directory / "template.sqlite"
        self._tables: list[sa.Table] = []
        if dialect == "sqlite":
            self.url = f"sqlite:///{self._template}"
        else:
            self._server = server or server_url(dialect)
            url = make_url(self._server).set(database=self._name)
            if dialect == "mysql":
                # Otherwise the driver reads all certificates of this machine for each connection.
                url = url.update_query_dict({"ssl_disabled": "true"})
            self.url = url.render_as_string(hide_password=False)
            self._admin(f"CREATE DATABASE {self._name}")
        database = self._connect(self.url)
        migration.upgrade(database)
        database.dispose()

    def _connect(self, url: str) -> Database:
        from cloudkitty import config

        conf = config.load([], config_files=[])
        conf.set_override("connection", url, "database")
        return Database(conf)

    def _admin(self, statement: str) -> None:
        database = self._connect(self._server)
        engine = database.engine.execution_options(isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            connection.exec_driver_sql(statement)
        database.dispose()

    def fresh(self, conf: cfg.ConfigOpts, directory: pathlib.Path) -> Database:
        """Set ``[database] connection`` of *conf* to an empty migrated database."""
        url = self.url
        if self.dialect == "sqlite":
            path = directory / "cloudkitty.sqlite"
            shutil.copy(self._template, path)
            url = f"sqlite:///{path}"
        conf.set_override("connection", url, "database")
        database = Database(conf)
        if self.dialect != "sqlite":
            self._empty(database)
        return database

    def _empty(self, database: Database) -> None:
        with database.writer() as connection:
            # To look at every column takes longer than many a test: they stay what they are.
            if {table.name for table in self._tables} != set(
                sa.inspect(connection).get_table_names()
            ):
                metadata = sa.MetaData()
                metadata.reflect(connection)
                self._tables = list(reversed(metadata.sorted_tables))
            for table in self._tables:
                if table.name == "ledger_sequence":
                    connection.execute(table.update().values(next=1))
                elif table.name != migration.VERSION_TABLE:
                    connection.execute(table.delete())

    def drop(self) -> None:
        if self.dialect == "postgresql":
            self._admin(f"DROP DATABASE IF EXISTS {self._name} WITH (FORCE)")
        elif self.dialect == "mysql":
            self._admin(f"DROP DATABASE IF EXISTS {self._name}")


class TestServers:
    """A server of each dialect that has been asked for: they are made once and kept until all
    tests are over."""

    __test__ = False

    def __init__(self, directory: Callable[[str], pathlib.Path]) -> None:
        """*directory* makes a directory of that name."""
        self._directory = directory
        self._made: dict[str, TestServer] = {}

    def of(self, dialect: str) -> TestServer:
        if dialect not in self._made:
            self._made[dialect] = TestServer(dialect, self._directory(dialect))
        return self._made[dialect]

    def drop(self) -> None:
        for server in self._made.values():
            server.drop()
