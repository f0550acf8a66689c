# SPDX-License-Identifier: Apache-2.0
"""Scripts of the old service: read, made fit for the table here, and written.

Invariants: the source is kept byte for byte, and so are id, order, validity and audit; checksums
are those of this service.
"""

import datetime
import zlib
from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from cloudkitty.importer import hashmap, tables
from cloudkitty.importer.notes import Notes
from cloudkitty.rating.errors import Invalid
from cloudkitty.rating.pyscripts import models
from cloudkitty.rating.pyscripts.records import check_source, checksum

MODULE = "pyscripts"

Values = dict[str, Any]


def read(connection: Connection, zone: datetime.tzinfo, notes: Notes) -> list[Values]:
    """Return rows for the table here; *zone* is that of the old server."""
    table = tables.scripts
    found = []
    for row in connection.execute(sa.select(table).order_by(table.c.id)):
        name = f"script {row.name} ({row.script_id})"
        try:
            source = zlib.decompress(bytes(row.data)).decode()
        except (zlib.error, UnicodeDecodeError) as error:
            notes.add(f"{name} cannot be read and is left out: {error}")
            continue
        if row.deleted is None:
            _note_broken(row.name, source, name, notes)
        found.append(
            {
                "script_id": row.script_id,
                "data": zlib.compress(source.encode()),
                "checksum": checksum(source),
                **hashmap.dated_values(dict(row._mapping), zone),
            }
        )
    hashmap.live_names(found, "script", "script_id", notes)
    return found


def _note_broken(name: str, source: str, shown: str, notes: Notes) -> None:
    try:
        check_source(name, source)
    except Invalid as error:
        notes.add(f"{shown}: {error} While it is in force, nothing can be rated.")


def write(connection: Connection, scripts: Sequence[Values]) -> None:
    """Insert the scripts into the empty table, in order of creation."""
    if scripts:
        connection.execute(models.scripts.insert(), list(scripts))
