# SPDX-License-Identifier: Apache-2.0
"""The database here: whether it can take what is brought over, and the record of doing so.

Invariant: what is here is nothing at all, or was brought over from the same source with the same
settings.
"""

import datetime
import json
from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection, make_url

from cloudkitty.config import ConfigurationError
from cloudkitty.db import migration
from cloudkitty.db.engine import Database
from cloudkitty.db.models import reprocessing_tasks, scopes, service_to_collector_mappings
from cloudkitty.importer.models import imports
from cloudkitty.importer.source import Source, name_of
from cloudkitty.rating.hashmap import models as hashmap
from cloudkitty.rating.pyscripts import models as pyscripts
from cloudkitty.storage.sqlalchemy import models as ledger

_ONLY = 1
"""Key of the one row of the record."""

MUST_BE_EMPTY = (
    scopes,
    ledger.series,
    hashmap.services,
    hashmap.groups,
    pyscripts.scripts,
    service_to_collector_mappings,
    reprocessing_tasks,
)


class TargetError(ConfigurationError):
    """The database here cannot take what is to be brought over; the message says why."""


def check_other(database: Database, source: Source) -> None:
    """:raises TargetError: source and target are one database."""
    if name_of(make_url(database.url)) == source.name:
        raise TargetError(
            f"--from: {source.name} is [database] connection itself; the old service's database is "
            "only read, so that what is brought over needs one of its own"
        )


def state(database: Database, source: Source, settings: Mapping[str, Any]) -> Any | None:
    """Return the row of the import that was begun, ``None`` when the database is empty.

    :raises TargetError: the database has something else in it.
    :raises SchemaError: its schema is not the one of this program.
    """
    migration.require_head(database)
    with database.reader() as connection:
        row = connection.execute(sa.select(imports)).first()
        if row is None:
            _require_empty(connection)
            return None
    if row.source != source.name:
        raise TargetError(
            f"[database] connection: this database was filled from {row.source}; go on with that "
            "--from, or name an empty database"
        )
    before = json.loads(row.settings)
    changed = [
        f"{name} was {before.get(name)} and is {value}"
        for name, value in settings.items()
        if before.get(name) != value
    ]
    if changed:
        raise TargetError(
            "the import was begun with other settings: "
            f"{'; '.join(changed)}; set them as they were, or begin with an empty database"
        )
    return row


def _require_empty(connection: Connection) -> None:
    filled = [
        table.name
        for table in MUST_BE_EMPTY
        if connection.execute(sa.select(sa.literal(1)).select_from(table).limit(1)).first()
    ]
    if filled:
        raise TargetError(
            "[database] connection: this database has rules or data of its own (tables "
            f"{', '.join(filled)}); name an empty one, made by cloudkitty-dbsync upgrade"
        )


def begin(
    connection: Connection, source: Source, settings: Mapping[str, Any], now: datetime.datetime
) -> None:
    """Note that an import has begun; the first statement of the transaction that begins it, so
    that of two only one does."""
    row = {
        "id": _ONLY,
        "source": source.name,
        "settings": json.dumps(dict(settings)),
        "begun_at": now,
    }
    connection.execute(imports.insert().values(row))
    _require_empty(connection)


def finish(connection: Connection, now: datetime.datetime) -> None:
    """Note that all has been brought over."""
    connection.execute(imports.update().values(finished_at=now))
