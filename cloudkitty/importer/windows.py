# SPDX-License-Identifier: Apache-2.0
"""What is still to be brought over of scopes that were here before the import was begun: a window
of each, behind its horizon.

Invariants: a window is noted in the transaction that begins the import, so that nothing that is
rated here later is in any; its begin moves when what is before has been written. A process that is
killed between the two writes the same once more.
"""

from collections.abc import Mapping, Sequence

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from cloudkitty.dataframe import Registry
from cloudkitty.db.engine import Database
from cloudkitty.importer.models import windows
from cloudkitty.importer.scopes import OldScope
from cloudkitty.scope import Scope
from cloudkitty.storage.sqlalchemy.backfill import Backfill, Window
from cloudkitty.storage.sqlalchemy.writer import Content


def note(
    connection: Connection, record: int, found: Sequence[OldScope], here: Mapping[Scope, int]
) -> None:
    """Note the windows of those scopes that are *here*, by their keys."""
    rows = [
        {
            "import_id": record,
            "scope_id": here[old.scope],
            "begin": old.extent.first,
            "end": old.extent.last,
        }
        for old in found
        if old.extent is not None and old.scope in here
    ]
    if rows:
        connection.execute(windows.insert(), rows)


class Windows:
    """The windows of one import."""

    def __init__(self, database: Database, record: int) -> None:
        self._database = database
        self._record = record

    def open(self, scope_id: int, registry: Registry) -> "Remainder | None":
        """Return what is left of a scope's window, ``None`` when it has none."""
        statement = sa.select(windows.c.begin, windows.c.end).where(*self._of(scope_id))
        with self._database.reader() as connection:
            row = connection.execute(statement).first()
        return None if row is None else Remainder(self, scope_id, registry, Window(*row))

    def backfill(self, scope_id: int, registry: Registry, window: Window) -> Backfill:
        return Backfill(self._database, scope_id, registry, window)

    def move(self, scope_id: int, begin: int) -> None:
        """Note that what is before *begin* has been written."""
        with self._database.writer() as connection:
            connection.execute(windows.update().where(*self._of(scope_id)).values(begin=begin))

    def _of(self, scope_id: int) -> tuple[sa.ColumnElement[bool], ...]:
        return windows.c.import_id == self._record, windows.c.scope_id == scope_id


class Remainder:
    """What is left of a window, to be appended period by period, as to ``loader.History``."""

    def __init__(self, known: Windows, scope_id: int, registry: Registry, window: Window) -> None:
        self._known = known
        self._scope_id = scope_id
        self._backfill = known.backfill(scope_id, registry, window)
        self.horizon = window.begin
        self.end = window.end

    def append(self, begin: int, end: int, content: Content) -> None:
        """Add the points of one period; what came after the import was begun is none of its."""
        if begin < self.end:
            self._backfill.append(begin, end, content)

    def commit(self, until: int) -> None:
        """Write what was appended; no point that is still to come begins before *until*.

        :raises StorageError: nothing has been written.
        """
        self._backfill.commit(until)
        self.horizon = min(until, self.end)
        self._known.move(self._scope_id, self.horizon)
