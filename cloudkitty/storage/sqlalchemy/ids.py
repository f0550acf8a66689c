# SPDX-License-Identifier: Apache-2.0
"""Keys of series, handed out by the process from blocks that it has reserved in the database.

Invariant: no key is handed out twice; keys that a process reserved and never used are lost,
which does no harm.
"""

from cloudkitty.db.engine import Database
from cloudkitty.storage.sqlalchemy.models import sequence

BLOCK = 10_000


class SeriesIds:
    """A supply of unused keys."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._next = 0
        self._end = 0

    def reserve(self, number: int) -> None:
        """Make sure that *number* keys can be taken without the database.

        Must not be called inside a transaction.
        """
        if self._end - self._next >= number:
            return
        block = max(number, BLOCK)
        series = sequence.c.name == "series"
        with self._database.writer() as connection:
            connection.execute(sequence.update().where(series).values(next=sequence.c.next + block))
            end = connection.execute(
                sequence.select().with_only_columns(sequence.c.next).where(series)
            ).scalar_one()
        self._next, self._end = end - block, end

    def take(self) -> int:
        """Return a key that nobody else has."""
        if self._next >= self._end:
            raise RuntimeError("more keys were taken than reserved")
        key = self._next
        self._next += 1
        return key
