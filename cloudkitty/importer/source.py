# SPDX-License-Identifier: Apache-2.0
"""The database of the old service: opened for reading alone, and known by its schema heads.

Invariants: every transaction on it is read-only as far as the database knows such a thing; a
database with another schema than the known one is refused before anything is read from it.
"""

import contextlib
import pathlib
from collections.abc import Iterator, Mapping
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import URL, Connection, Engine, make_url
from sqlalchemy.exc import ArgumentError, NoSuchModuleError

from cloudkitty.config import ConfigurationError
from cloudkitty.db.engine import DatabaseErrors
from cloudkitty.db.migration import VERSION_TABLE
from cloudkitty.importer import tables

_DRIVERS = {
    "mysql": "mysql+pymysql",
    "mariadb": "mysql+pymysql",
    "postgresql": "postgresql+psycopg2",
}

_PORTS = {"mysql": 3306, "mariadb": 3306, "postgresql": 5432}

_SLOW_READER_SECONDS = 3600
"""How long MariaDB waits for us to take rows while we write what we have read."""

_UPGRADE = (
    "upgrade the old service to its newest release and run its cloudkitty-storage-init and "
    "cloudkitty-dbsync upgrade first"
)


class SourceError(ConfigurationError):
    """What ``--from`` names cannot be brought over; the message says why."""


def name_of(url: URL) -> str:
    """Return kind, place and name of a database, without user and password: the same for all
    ways of writing one URL."""
    kind = "mysql" if url.get_backend_name() == "mariadb" else url.get_backend_name()
    if kind == "sqlite":
        return f"sqlite:///{pathlib.Path(url.database or '').resolve()}"
    host = "127.0.0.1" if url.host in (None, "localhost", "::1") else url.host
    return f"{kind}://{host}:{url.port or _PORTS.get(kind, 0)}/{url.database or ''}"


class Source:
    """Read-only transactions on the database at *url*.

    :raises SourceError: the URL is none, or of a database that is not supported.
    """

    def __init__(self, url: str) -> None:
        try:
            parsed = make_url(url)
        except ArgumentError as error:
            raise SourceError(
                "--from: write it like mysql://USER:PASSWORD@HOST/cloudkitty"
            ) from error
        self.kind = "mysql" if parsed.get_backend_name() == "mariadb" else parsed.get_backend_name()
        if self.kind not in ("sqlite", "mysql", "postgresql"):
            raise SourceError(
                f"--from: {parsed.drivername} is not supported; use mysql, postgresql or sqlite"
            )
        self.name = name_of(parsed)
        try:
            self._engine = _engine(parsed, self.kind)
        except (ModuleNotFoundError, NoSuchModuleError) as error:
            raise SourceError(
                f"--from: the Python driver is missing ({error}); install cloudkitty[mysql] or "
                "cloudkitty[postgresql]"
            ) from error
        self.has: set[str] = set()

    @contextlib.contextmanager
    def reading(self) -> Iterator[Connection]:
        """A transaction that only reads, and sees one state of the database.

        :raises SourceError: the database has failed.
        """
        options: dict[str, Any] = {}
        if self.kind != "sqlite":
            options["isolation_level"] = "REPEATABLE READ"
        if self.kind == "postgresql":
            options["postgresql_readonly"] = True
        try:
            with self._engine.connect() as connection:
                connection.execution_options(**options)
                yield connection
        except DatabaseErrors as error:
            reason = str(getattr(error, "orig", None) or error).splitlines()[0]
            raise SourceError(f"--from: {self.name}: {reason}") from error

    def check(self) -> Mapping[str, str]:
        """Return the schema heads by version table, and remember which tables there are.

        :raises SourceError: this is no database of the old service, or not at a known schema.
        """
        with self.reading() as connection:
            found = set(sa.inspect(connection).get_table_names())
            if VERSION_TABLE in found:
                raise SourceError(
                    f"--from: {self.name} is a database of this service; name the one of the old "
                    "service"
                )
            if not found & tables.PARTS.keys():
                raise SourceError(
                    f"--from: {self.name} is no database of the old service: it has no table "
                    f"{next(iter(tables.PARTS))}"
                )
            heads = {}
            for version_table, part in tables.PARTS.items():
                if version_table in found:
                    heads[version_table] = _check_head(connection, version_table, part.head)
                elif part.needed or found & set(part.tables):
                    raise SourceError(
                        f"--from: {self.name} has no table {version_table}, so its tables are "
                        f"older than can be read; {_UPGRADE}"
                    )
            missing = {
                table for name in heads for table in tables.PARTS[name].tables if table not in found
            }
            if missing:
                raise SourceError(
                    f"--from: {self.name} lacks {', '.join(sorted(missing))}; {_UPGRADE}"
                )
        self.has = {table for name in heads for table in tables.PARTS[name].tables}
        return heads

    def dispose(self) -> None:
        """Close the connections."""
        self._engine.dispose()


def _check_head(connection: Connection, version_table: str, known: str) -> str:
    table = sa.table(version_table, sa.column("version_num"))
    versions = sorted(str(row[0]) for row in connection.execute(sa.select(table.c.version_num)))
    if versions != [known]:
        found = " and ".join(versions) or "no revision at all"
        raise SourceError(
            f"--from: {version_table} is at {found}, and what can be read is {known}, the newest "
            f"that is known. If the old service is an older release, {_UPGRADE}"
        )
    return known


def _engine(url: URL, kind: str) -> Engine:
    if kind == "sqlite":
        path = pathlib.Path(url.database or "")
        if not path.is_file():
            raise SourceError(f"--from: there is no file {url.database}")
        # Otherwise a file that is missing would be made.
        url = URL.create("sqlite", database=f"file:{path.resolve()}").update_query_dict(
            {"mode": "ro", "uri": "true"}
        )
    elif url.drivername in _DRIVERS:
        url = url.set(drivername=_DRIVERS[url.drivername])
    if kind == "mysql" and "charset" not in url.query:
        url = url.update_query_dict({"charset": "utf8mb4"})
    engine = sa.create_engine(url)
    sa.event.listen(engine, "connect", _PREPARE[kind])
    return engine


def _prepare_sqlite(connection: Any, _record: object) -> None:
    connection.execute("PRAGMA query_only = ON")


def _prepare_mysql(connection: Any, _record: object) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SET SESSION TRANSACTION READ ONLY")
        cursor.execute(f"SET SESSION net_write_timeout = {_SLOW_READER_SECONDS}")


def _prepare_postgresql(connection: Any, _record: object) -> None:
    with connection.cursor() as cursor:
        # Floats come with as many digits as it takes to tell them apart.
        cursor.execute("SET extra_float_digits = 3")
    connection.commit()


_PREPARE = {
    "sqlite": _prepare_sqlite,
    "mysql": _prepare_mysql,
    "postgresql": _prepare_postgresql,
}
