# SPDX-License-Identifier: Apache-2.0
"""Statements over many rows, in pieces that every database accepts."""

from collections.abc import Collection, Iterator, Sequence
from itertools import islice
from typing import Any, TypeVar

from sqlalchemy import Insert
from sqlalchemy.engine import Connection

T = TypeVar("T")

KEYS_PER_STATEMENT = 2000
ROWS_PER_STATEMENT = 20000


def chunks(items: Collection[T], size: int = KEYS_PER_STATEMENT) -> Iterator[list[T]]:
    """Yield the items in lists of at most *size*."""
    remaining = iter(items)
    while piece := list(islice(remaining, size)):
        yield piece


def insert(connection: Connection, statement: Insert, rows: Sequence[dict[str, Any]]) -> None:
    """Insert many rows; nothing happens when there are none."""
    for piece in chunks(rows, ROWS_PER_STATEMENT):
        connection.execute(statement, piece)
