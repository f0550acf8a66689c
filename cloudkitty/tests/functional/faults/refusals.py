# SPDX-License-Identifier: Apache-2.0
"""Ways in which a database that is there does not take what it is given.

What a server has to be broken for in earnest, such as a full disk, is raised where the driver
would raise it, with the driver's own error; SQLite and read-only servers refuse by themselves.
"""

import pathlib
from collections.abc import Callable
from typing import Any

import psycopg2.errors
import pymysql.err
import sqlalchemy as sa
from sqlalchemy.engine import Connection

WRITING = ("INSERT", "UPDATE", "DELETE")

DEADLOCK: dict[str, Exception] = {
    "mysql": pymysql.err.OperationalError(
        1213, "Deadlock found when trying to get lock; try restarting transaction"
    ),
    "postgresql": psycopg2.errors.DeadlockDetected("deadlock detected"),
}

CONFLICT: dict[str, Exception] = {
    "mysql": pymysql.err.OperationalError(
        1020, "Record has changed since last read in table 'scopes'"
    ),
    "postgresql": psycopg2.errors.SerializationFailure(
        "could not serialize access due to concurrent update"
    ),
}

TIMEOUT: dict[str, Exception] = {
    "mysql": pymysql.err.OperationalError(
        1205, "Lock wait timeout exceeded; try restarting transaction"
    ),
    "postgresql": psycopg2.errors.LockNotAvailable("canceling statement due to lock timeout"),
}

FULL: dict[str, Exception] = {
    "mysql": pymysql.err.OperationalError(1114, "The table 'runs' is full"),
    "postgresql": psycopg2.errors.DiskFull(
        'could not extend file "base/16384/16400": No space left on device'
    ),
}


def raising(error: Exception) -> Callable[[], None]:
    """Return what makes the next statement of this process fail with *error*."""

    def arm() -> None:
        armed = [error]

        def fail(*_statement: object) -> None:
            if armed:
                raise armed.pop()

        sa.event.listen(sa.Engine, "do_execute", fail)
        sa.event.listen(sa.Engine, "do_executemany", fail)

    return arm


def raising_while(flag: pathlib.Path, error: Exception) -> None:
    """Have every statement of this process that writes fail with *error* while there is *flag*."""

    def fail(_cursor: object, statement: str, *_rest: object) -> None:
        if statement.startswith(WRITING) and flag.exists():
            raise error

    sa.event.listen(sa.Engine, "do_execute", fail)
    sa.event.listen(sa.Engine, "do_executemany", fail)


def full_while(flag: pathlib.Path) -> None:
    """Have SQLite databases of this process grow no more while there is *flag*."""
    _pragma_while(flag, "max_page_count", 1, 2**30)


def read_only_while(flag: pathlib.Path) -> None:
    """Have SQLite databases of this process refuse writes while there is *flag*."""
    _pragma_while(flag, "query_only", 1, 0)


def _pragma_while(flag: pathlib.Path, pragma: str, value: int, otherwise: int) -> None:
    def set_it(connection: Connection) -> Any:
        now = value if flag.exists() else otherwise
        connection.exec_driver_sql(f"PRAGMA {pragma} = {now}")

    sa.event.listen(sa.Engine, "begin", set_it)
