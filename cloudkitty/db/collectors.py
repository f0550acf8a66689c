# SPDX-License-Identifier: Apache-2.0
"""What clients have noted about collectors: which service comes from which, and which are enabled.

What nobody has noted is as configured. The processor reads all notes, in one query, whenever it
looks for work.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
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


@dataclass(frozen=True, slots=True)
class Notes:
    """All of them: the collector of each service, and whether each collector is enabled."""

    mappings: Mapping[str, str] = field(default_factory=dict)
    states: Mapping[str, bool] = field(default_factory=dict)

    def enabled(self, collector: str) -> bool:
        """Return whether a collector may be asked: one without a note may."""
        return self.states.get(collector, True)


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

    def notes(self) -> Notes:
        """Return all notes, in one query."""
        mappings, states = service_to_collector_mappings.c, collector_states.c
        enabled = sa.case((states.enabled, "yes"), else_="no")
        query = sa.union_all(
            sa.select(sa.literal("mapping").label("kind"), mappings.service, mappings.collector),
            sa.select(sa.literal("state"), states.name, enabled),
        )
        with self._database.reader() as connection:
            rows = connection.execute(query).all()
        return Notes(
            {name: value for kind, name, value in rows if kind == "mapping"},
            {name: value == "yes" for kind, name, value in rows if kind == "state"},
        )

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

    def state(self, name: str, *, in_use: bool = False) -> CollectorState:
        """Return the state of a collector; without a note it is enabled if it is *in_use*."""
        query = sa.select(collector_states.c.enabled).where(collector_states.c.name == name)
        with self._database.reader() as connection:
            noted = connection.scalar(query)
        return CollectorState(name, in_use if noted is None else bool(noted))

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
