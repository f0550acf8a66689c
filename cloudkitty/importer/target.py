# SPDX-License-Identifier: Apache-2.0
"""The database here: whether it can take what is brought over, and the record of doing so.

Invariant: what is here is nothing at all, or was brought over with the same settings, from the same
source or from one of another kind, whose usage is of another time.
"""

import datetime
import json
from collections.abc import Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection, make_url

from cloudkitty import period
from cloudkitty.config import ConfigurationError
from cloudkitty.db import migration
from cloudkitty.db.engine import Database
from cloudkitty.db.models import reprocessing_tasks, scopes, service_to_collector_mappings
from cloudkitty.importer import scopes as scopes_of_import
from cloudkitty.importer.models import imports
from cloudkitty.importer.origin import Origin
from cloudkitty.importer.scopes import OldScope
from cloudkitty.importer.source import name_of
from cloudkitty.importer.usage import Extent
from cloudkitty.rating.hashmap import models as hashmap
from cloudkitty.rating.pyscripts import models as pyscripts
from cloudkitty.storage.sqlalchemy import kept
from cloudkitty.storage.sqlalchemy import models as ledger

SCOPES = (scopes, ledger.series)

RULES = (
    hashmap.services,
    hashmap.groups,
    pyscripts.scripts,
    service_to_collector_mappings,
    reprocessing_tasks,
)


class TargetError(ConfigurationError):
    """The database here cannot take what is to be brought over; the message says why."""


def check_other(database: Database, origin: Origin) -> None:
    """:raises TargetError: source and target are one database."""
    if name_of(make_url(database.url)) == origin.name:
        raise TargetError(
            f"--from: {origin.name} is [database] connection itself; the old service's database is "
            "only read, so that what is brought over needs one of its own"
        )


def state(database: Database, origin: Origin, settings: Mapping[str, Any]) -> Any | None:
    """Return the row of the import that was begun, ``None`` when there is room for one.

    :raises TargetError: the database has something else in it.
    :raises SchemaError: its schema is not the one of this program.
    """
    migration.require_head(database)
    with database.reader() as connection:
        rows = {row.id: row for row in connection.execute(sa.select(imports))}
        row = rows.pop(origin.record, None)
        for other in rows.values():
            _refuse_changes(other, settings)
        if row is None:
            _require_room(connection, origin, list(rows.values()))
            return None
    if row.source != origin.name:
        raise TargetError(
            f"[database] connection: this database was filled from {row.source}; go on with that "
            "--from, or name an empty database"
        )
    _refuse_changes(row, settings)
    return row


def _refuse_changes(row: Any, settings: Mapping[str, Any]) -> None:
    before = json.loads(row.settings)
    changed = [
        f"{name} was {before[name]} and is {value}"
        for name, value in settings.items()
        if before.get(name, value) != value
    ]
    if changed:
        raise TargetError(
            f"the import from {row.source} was begun with other settings: "
            f"{'; '.join(changed)}; set them as they were, or begin with an empty database"
        )


def _require_room(connection: Connection, origin: Origin, others: Sequence[Any]) -> None:
    """What another import has brought is no hindrance, nor what has been rated since."""
    for other in others:
        if other.finished_at is None:
            raise TargetError(
                f"[database] connection: the import from {other.source} was begun and has not come "
                "to its end; go on with that --from first"
            )
    tables = [
        *(SCOPES if not others else ()),
        *(RULES if origin.brings_rules or not others else ()),
    ]
    filled = [
        table.name
        for table in tables
        if connection.execute(sa.select(sa.literal(1)).select_from(table).limit(1)).first()
    ]
    if filled:
        raise TargetError(
            "[database] connection: this database has rules or data of its own (tables "
            f"{', '.join(filled)}); name an empty one, made by cloudkitty-dbsync upgrade"
        )


def refuse_overlap(connection: Connection, found: Sequence[OldScope]) -> None:
    """Make sure that scopes which are here have nothing from the time that is brought over.

    :raises TargetError: one has something.
    """
    known = scopes_of_import.keys(connection)
    for old in found:
        key = known.get(old.scope)
        if key is not None and old.extent is not None:
            since = _first_inside(connection, key, old.extent)
            if since is not None:
                raise TargetError(
                    f"{old.scope} has points here from {_written(since)} on, and those there are "
                    f"from {_written(old.extent.first)} to {_written(old.extent.last)}: which of "
                    "them are right is not known. What is brought over has to end before this "
                    "service has begun"
                )


def _written(instant: int) -> str:
    return f"{period.from_epoch(instant):%Y-%m-%d %H:%M:%S} UTC"


def _first_inside(connection: Connection, key: int, extent: Extent) -> int | None:
    """Return since when a scope has something in the time of an extent, ``None`` if it has not."""
    cut = kept.cuts(connection, [key]).get(key)
    if cut is not None and cut > extent.first:
        return extent.first
    table, owner = ledger.runs.c, ledger.series.c
    horizon = sa.type_coerce(scopes.c.horizon, sa.BigInteger)
    until = sa.case((table.end == ledger.OPEN, horizon), else_=table.end)
    begin: int | None = connection.scalar(
        sa.select(sa.func.min(table.begin))
        .select_from(ledger.runs)
        .join(ledger.series, table.series_id == owner.id)
        .join(scopes, owner.scope_id == scopes.c.id)
        .where(scopes.c.id == key, table.begin < extent.last, until > extent.first)
    )
    return begin


def begin(
    connection: Connection, origin: Origin, settings: Mapping[str, Any], now: datetime.datetime
) -> None:
    """Note that an import has begun; the first statement of the transaction that begins it, so
    that of two only one does."""
    row = {
        "id": origin.record,
        "source": origin.name,
        "settings": json.dumps(dict(settings)),
        "begun_at": now,
    }
    connection.execute(imports.insert().values(row))
    others = connection.execute(sa.select(imports).where(imports.c.id != origin.record)).all()
    _require_room(connection, origin, others)


def finish(connection: Connection, origin: Origin, now: datetime.datetime) -> None:
    """Note that all has been brought over."""
    connection.execute(
        imports.update().where(imports.c.id == origin.record).values(finished_at=now)
    )
