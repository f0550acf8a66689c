# SPDX-License-Identifier: Apache-2.0
"""What clients have noted about collectors: which service comes from which, and which are enabled.

Both are kept and shown for clients of the first years; collecting follows the configuration alone.
"""

from typing import NamedTuple

import sqlalchemy as sa
from oslo_db import exception as db_exception

from cloudkitty.db.engine import Database
from cloudkitty.db.models import collector_states, service_to_collector_mappings


class CollectorMapping(NamedTuple):
    service: str
    collector: str


class CollectorState(NamedTuple):
    name: str
    enabled: bool


class CollectorStore:
    """Reads and writes the notes."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def mappings(self, collector: str | None = None) -> list[CollectorMapping]:
        """Return all mappings, or those to one collector, by service."""
        table = service_to_collector_mappings
        query = sa.select(table.c.service, table.c.collector).order_by(table.c.service)
        if collector is not None:
            query = query.where(table.c.collector == collector)
        with self._database.reader() as connection:
            return [CollectorMapping(*row) for row in connection.execute(query)]

    def mapping(self, service: str) -> CollectorMapping | None:
        """Return the mapping of a service, ``None`` when there is none."""
        table = service_to_collector_mappings
        query = sa.select(table.c.service, table.c.collector).where(table.c.service == service)
        with self._database.reader() as connection:
            row = connection.execute(query).one_or_none()
        return None if row is None else CollectorMapping(*row)

    def map(self, service: str, collector: str) -> CollectorMapping:
        """Note that *service* comes from *collector*, whatever was noted before."""
        self._put(service_to_collector_mappings, {"service": service}, {"collector": collector})
        return CollectorMapping(service, collector)

    def unmap(self, service: str) -> bool:
        """Forget the mapping of a service, and return whether there was one."""
        table = service_to_collector_mappings
        with self._database.writer() as connection:
            done = connection.execute(table.delete().where(table.c.service == service))
            return bool(done.rowcount)

    def state(self, name: str) -> CollectorState:
        """Return the state of a collector; one that nobody has enabled is disabled."""
        query = sa.select(collector_states.c.enabled).where(collector_states.c.name == name)
        with self._database.reader() as connection:
            return CollectorState(name, bool(connection.scalar(query)))

    def set_state(self, name: str, enabled: bool) -> CollectorState:
        self._put(collector_states, {"name": name}, {"enabled": enabled})
        return CollectorState(name, enabled)

    def _put(self, table: sa.Table, key: dict[str, str], values: dict[str, object]) -> None:
        update = table.update().where(*(table.c[name] == key[name] for name in key)).values(values)
        try:
            with self._database.writer() as connection:
                if not connection.execute(update).rowcount:
                    connection.execute(table.insert().values(key | values))
        except db_exception.DBDuplicateEntry:
            # Somebody else has inserted the same key in between.
            with self._database.writer() as connection:
                connection.execute(update)
