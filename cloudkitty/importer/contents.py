# SPDX-License-Identifier: Apache-2.0
"""All that the old service has but its history: read in one transaction, written in one.

Invariant: reading changes nothing anywhere, so that a dry run is the first half of a real one.
"""

import datetime
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from cloudkitty.db.models import modules_state, service_to_collector_mappings
from cloudkitty.importer import hashmap, scopes, scripts, tables
from cloudkitty.importer.notes import Notes
from cloudkitty.importer.scopes import Identity, OldScope
from cloudkitty.importer.source import Source
from cloudkitty.importer.usage import Extent, RatedUsage
from cloudkitty.rating.state import move_revision

Values = dict[str, Any]


@dataclass(slots=True)
class Contents:
    """What is to be brought over, ready for the tables here."""

    modules: Sequence[Values] = ()
    collectors: Sequence[Values] = ()
    rules: hashmap.Rules = hashmap.EMPTY
    scripts: Sequence[Values] = ()
    scopes: Sequence[OldScope] = ()
    tasks: Sequence[Mapping[str, Any]] = ()
    extents: Sequence[Extent] = ()
    notes: Notes = field(default_factory=Notes)
    with_rules: bool = True

    @property
    def rows(self) -> int:
        """How many rated rows there are."""
        return sum(extent.rows for extent in self.extents)

    def counts(self) -> list[tuple[str, int]]:
        """Return how many of each kind there are, by what operators call them."""
        return [*self._rules(), ("scopes", len(self.scopes)), *self._history()]

    def _rules(self) -> list[tuple[str, int]]:
        if not self.with_rules:
            return []
        rules = self.rules
        return [
            ("rating modules", len(self.modules)),
            ("hashmap services", len(rules.services)),
            ("hashmap fields", len(rules.fields)),
            ("hashmap groups", len(rules.groups)),
            ("hashmap mappings", len(rules.mappings)),
            ("hashmap thresholds", len(rules.thresholds)),
            ("scripts", len(self.scripts)),
            ("collector mappings", len(self.collectors)),
        ]

    def _history(self) -> list[tuple[str, int]]:
        tasks = [("reprocessing tasks", len(self.tasks))] if self.with_rules else []
        return [*tasks, ("rated rows", self.rows)]


def read(
    source: Source, usage: RatedUsage | None, identity: Identity, zone: datetime.tzinfo
) -> Contents:
    """Read everything; *zone* is that of the old server."""
    contents = Contents()
    notes = contents.notes
    with source.reading() as connection:
        contents.modules = _rows(connection, tables.modules_state)
        contents.collectors = _rows(connection, tables.collectors)
        if tables.mappings.name in source.has:
            contents.rules = hashmap.read(connection, zone, notes)
        if tables.scripts.name in source.has:
            contents.scripts = scripts.read(connection, zone, notes)
        if usage is not None:
            contents.extents = usage.extents(connection)
        states = scopes.read_states(connection, identity, notes)
        contents.tasks = scopes.read_tasks(connection)
    found = scopes.with_history(states, contents.extents, identity, notes)
    contents.scopes = [*found, *scopes.of_tasks(contents.tasks, found, identity)]
    scopes.note_strangers(contents.scopes, identity, notes)
    return contents


def _rows(connection: Connection, table: sa.Table) -> list[Values]:
    return [dict(row._mapping) for row in connection.execute(sa.select(table))]


def write(
    connection: Connection, contents: Contents, identity: Identity, now: datetime.datetime
) -> None:
    """Insert everything but the history."""
    for module in sorted({hashmap.MODULE, scripts.MODULE} | {m["name"] for m in contents.modules}):
        # Whoever has read the rules before looks at them again.
        move_revision(connection, module)
    for module in contents.modules:
        connection.execute(
            modules_state.update()
            .where(modules_state.c.name == module["name"])
            .values(state=bool(module["state"]), priority=module["priority"])
        )
    if contents.collectors:
        connection.execute(service_to_collector_mappings.insert(), list(contents.collectors))
    hashmap.write(connection, contents.rules)
    scripts.write(connection, contents.scripts)
    scopes.write(connection, contents.scopes, identity.seconds, now)
    scopes.write_tasks(connection, contents.tasks, contents.scopes, identity, now)
