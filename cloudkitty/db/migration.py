# SPDX-License-Identifier: Apache-2.0
"""The one alembic tree: where the schema stands, and how it is brought up to date.

Invariant: to see that the schema is the right one takes no alembic, which services would wait for
at each start.
"""

import pathlib
from typing import TYPE_CHECKING

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from cloudkitty.db.engine import Database

if TYPE_CHECKING:
    import alembic.config

SCRIPTS = pathlib.Path(__file__).with_name("migrations")

VERSION_TABLE = "cloudkitty_schema_version"

_FOREIGN_TABLES = {"cloudkitty_alembic", "hashmap_alembic", "storage_states_alembic"}


class SchemaError(Exception):
    """The database is not in the state that this program needs."""


def _config(connection: Connection | None = None) -> "alembic.config.Config":
    import alembic.config

    config = alembic.config.Config()
    config.set_main_option("script_location", str(SCRIPTS).replace("%", "%%"))
    config.attributes["connection"] = connection
    config.attributes["version_table"] = VERSION_TABLE
    return config


def revisions() -> list[str]:
    """Return the revisions that this program knows, oldest first; their files begin with them."""
    return sorted(path.stem.partition("_")[0] for path in SCRIPTS.glob("versions/[0-9]*_*.py"))


def head() -> str:
    """Return the newest revision that this program knows."""
    return revisions()[-1]


def current(database: Database) -> str | None:
    """Return the revision of the database, ``None`` when it has no schema."""
    versions = sa.table(VERSION_TABLE, sa.column("version_num"))
    with database.reader() as connection:
        if not sa.inspect(connection).has_table(VERSION_TABLE):
            return None
        return connection.scalar(sa.select(versions.c.version_num))


def upgrade(database: Database, revision: str = "head") -> None:
    """Bring the schema to *revision*; nothing happens when it is there already.

    :raises SchemaError: the database belongs to another program or is newer than this one, or
        there is no such revision.
    """
    _refuse_newer(current(database))
    with database.writer() as connection:
        _refuse_foreign(connection)
        _run("upgrade", connection, revision)


def stamp(database: Database, revision: str = "head") -> None:
    """Record *revision* as the schema's without changing anything.

    :raises SchemaError: there is no such revision.
    """
    with database.writer() as connection:
        _run("stamp", connection, revision)


def create_revision(database: Database, message: str, autogenerate: bool) -> None:
    """Write a new migration script, for developers."""
    import alembic.command

    with database.writer() as connection:
        alembic.command.revision(_config(connection), message, autogenerate=autogenerate)


def _run(command: str, connection: Connection, revision: str) -> None:
    import alembic.command
    import alembic.util

    try:
        getattr(alembic.command, command)(_config(connection), revision)
    except alembic.util.CommandError as error:
        raise SchemaError(str(error)) from error


def _refuse_foreign(connection: Connection) -> None:
    tables = set(sa.inspect(connection).get_table_names())
    if tables & _FOREIGN_TABLES and VERSION_TABLE not in tables:
        raise SchemaError(
            "[database] connection: this database holds the tables of another rating service; "
            "name an empty database, and bring over what this one holds with "
            "cloudkitty-dbsync import-cloudkitty"
        )


def require_head(database: Database) -> None:
    """Make sure that the schema is the one this program needs.

    :raises SchemaError: it is missing, older or newer.
    """
    found, needed = current(database), head()
    if found == needed:
        return
    if found is None:
        raise SchemaError(
            "the database has no schema yet; run cloudkitty-dbsync upgrade "
            "(the option is [database] connection)"
        )
    _refuse_newer(found)
    raise SchemaError(
        f"the database is at schema {found} and this program needs {needed}; "
        "run cloudkitty-dbsync upgrade"
    )


def _refuse_newer(found: str | None) -> None:
    if found is not None and found not in revisions():
        raise SchemaError(
            f"the database is at schema {found}, which is newer than this program ({head()}); "
            "upgrade the program"
        )
