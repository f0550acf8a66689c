# SPDX-License-Identifier: Apache-2.0
"""The one alembic tree: where the schema stands, and how it is brought up to date."""

import os

import alembic.command
import alembic.config
import sqlalchemy as sa
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy.engine import Connection

from cloudkitty.db.engine import Database

VERSION_TABLE = "cloudkitty_schema_version"

_FOREIGN_TABLES = {"cloudkitty_alembic", "hashmap_alembic", "storage_states_alembic"}


class SchemaError(Exception):
    """The database is not in the state that this program needs."""


def _config(connection: Connection | None = None) -> alembic.config.Config:
    config = alembic.config.Config()
    config.set_main_option(
        "script_location", os.path.join(os.path.dirname(__file__), "migrations").replace("%", "%%")
    )
    config.attributes["connection"] = connection
    config.attributes["version_table"] = VERSION_TABLE
    return config


def head() -> str:
    """Return the newest revision that this program knows."""
    revision = ScriptDirectory.from_config(_config()).get_current_head()
    assert revision is not None
    return revision


def current(database: Database) -> str | None:
    """Return the revision of the database, ``None`` when it has no schema."""
    with database.reader() as connection:
        context = MigrationContext.configure(connection, opts={"version_table": VERSION_TABLE})
        return context.get_current_revision()


def upgrade(database: Database, revision: str = "head") -> None:
    """Bring the schema to *revision*; nothing happens when it is there already.

    :raises SchemaError: the database belongs to another program or is newer than this one, or
        there is no such revision.
    """
    _refuse_newer(current(database))
    with database.writer() as connection:
        _refuse_foreign(connection)
        _run(alembic.command.upgrade, connection, revision)


def stamp(database: Database, revision: str = "head") -> None:
    """Record *revision* as the schema's without changing anything.

    :raises SchemaError: there is no such revision.
    """
    with database.writer() as connection:
        _run(alembic.command.stamp, connection, revision)


def create_revision(database: Database, message: str, autogenerate: bool) -> None:
    """Write a new migration script, for developers."""
    with database.writer() as connection:
        alembic.command.revision(_config(connection), message, autogenerate=autogenerate)


def _run(command: object, connection: Connection, revision: str) -> None:
    try:
        command(_config(connection), revision)  # type: ignore[operator]
    except alembic.util.CommandError as error:
        raise SchemaError(str(error)) from error


def _refuse_foreign(connection: Connection) -> None:
    tables = set(sa.inspect(connection).get_table_names())
    if tables & _FOREIGN_TABLES and VERSION_TABLE not in tables:
        raise SchemaError(
            "[database] connection: this database holds the tables of another rating service; "
            "name an empty database"
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
    known = {script.revision for script in ScriptDirectory.from_config(_config()).walk_revisions()}
    if found is not None and found not in known:
        raise SchemaError(
            f"the database is at schema {found}, which is newer than this program ({head()}); "
            "upgrade the program"
        )
