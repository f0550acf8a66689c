# SPDX-License-Identifier: Apache-2.0
"""Statements over many rows: each database's own fast way in, and pieces that it accepts."""

import io
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from itertools import islice
from typing import Any, TypeVar

from sqlalchemy import Table
from sqlalchemy.engine import Connection

T = TypeVar("T")

MYSQL = ("mysql", "mariadb")
"""What SQLAlchemy calls the two that are alike."""

KEYS_PER_STATEMENT = 2000

STATEMENT_LENGTH = 1_000_000
"""About how many characters a statement of many rows has: far less than a server takes
(``max_allowed_packet``, of which the least default is 16 MiB)."""

_NEEDS_ESCAPE = re.compile("['\\\\\0]")
"""Between single quotes everything else stands for itself."""

Row = tuple[Any, ...]


def chunks(items: Iterable[T], size: int = KEYS_PER_STATEMENT) -> Iterator[list[T]]:
    """Yield the items in lists of at most *size*."""
    remaining = iter(items)
    while piece := list(islice(remaining, size)):
        yield piece


def literals(connection: Connection, values: Iterable[bytes]) -> str:
    """Return bytes as they are written in a statement, parted by commas."""
    form = "decode('{}','hex')" if connection.dialect.name == "postgresql" else "x'{}'"
    return ",".join([form.format(value.hex()) for value in values])


def insert(
    connection: Connection, table: Table, columns: Sequence[str], rows: Sequence[Row]
) -> None:
    """Insert many rows of integers, texts, bytes and nulls, given in the order of *columns*.

    SQLAlchemy's own bulk insert costs four times what SQLite needs for a row; PostgreSQL is
    five times as fast with COPY as with INSERT; PyMySQL takes longer to write the values of a
    row into the statement than MariaDB to store it.
    """
    if not rows:
        return
    quote = connection.dialect.identifier_preparer.quote
    names = ", ".join(quote(column) for column in columns)
    if connection.dialect.name == "postgresql":
        _copy(connection, f"COPY {quote(table.name)} ({names}) FROM STDIN", rows)
        return
    if connection.dialect.driver == "pymysql":
        _insert_literals(connection, f"INSERT INTO {quote(table.name)} ({names}) VALUES ", rows)
        return
    mark = "?" if connection.dialect.paramstyle == "qmark" else "%s"
    marks = ", ".join([mark] * len(columns))
    statement = f"INSERT INTO {quote(table.name)} ({names}) VALUES ({marks})"
    connection.exec_driver_sql(statement, list(rows))


def _insert_literals(connection: Connection, start: str, rows: Sequence[Row]) -> None:
    """Send rows as statements of many rows each (MariaDB knowledge base, "String Literals")."""
    driver: Any = connection.connection.driver_connection
    # Asked of the connection, because it depends on the server's SQL mode.
    escape: Callable[[str], str] = driver.escape

    def literal(value: object) -> str:
        if isinstance(value, str):
            return escape(value) if _NEEDS_ESCAPE.search(value) else f"'{value}'"
        if isinstance(value, int):
            return str(value)
        return f"x'{value.hex()}'" if isinstance(value, bytes) else _null(value)

    def send(written: Sequence[str]) -> None:
        # Without parameters a per cent sign stands for itself.
        connection.exec_driver_sql(
            start + ",".join(written), execution_options={"no_parameters": True}
        )

    written: list[str] = []
    size = 0
    for row in rows:
        one = f"({','.join([literal(value) for value in row])})"
        if size + len(one) > STATEMENT_LENGTH and written:
            send(written)
            written, size = [], 0
        written.append(one)
        size += len(one)
    send(written)


def _null(value: object) -> str:
    if value is not None:
        raise TypeError(f"{value!r} is no integer, text, bytes or null")
    return "NULL"


def _copy(connection: Connection, statement: str, rows: Sequence[Row]) -> None:
    """Send rows in the text format of COPY (PostgreSQL manual, "COPY", "Text Format")."""
    text = io.StringIO()
    for row in rows:
        text.write("\t".join([_field(value) for value in row]))
        text.write("\n")
    text.seek(0)
    cursor: Any = connection.connection.cursor()
    with closing(cursor):
        cursor.copy_expert(statement, text)


def _field(value: object) -> str:
    if value is None:
        return "\\N"
    if isinstance(value, bytes):
        return "\\\\x" + value.hex()
    written = str(value)
    if isinstance(value, str) and ("\\" in written or "\t" in written or "\n" in written):
        written = written.replace("\\", "\\\\").replace("\t", "\\t").replace("\n", "\\n")
    return written.replace("\r", "\\r") if "\r" in written else written
