# SPDX-License-Identifier: Apache-2.0
"""Where scripts are kept.

Invariants: every change moves the module's revision first thing in its own transaction, which
makes all changes happen one after the other; scripts are listed, and run, in order of creation;
a failed call has changed nothing.
"""

import dataclasses
import datetime
import uuid
import zlib
from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from cloudkitty import period
from cloudkitty.db.engine import Database
from cloudkitty.rating import dated, rows
from cloudkitty.rating.dated import DatedFilter
from cloudkitty.rating.pyscripts.engine import Script
from cloudkitty.rating.pyscripts.errors import no_such_script
from cloudkitty.rating.pyscripts.models import scripts
from cloudkitty.rating.pyscripts.records import NewScript, ScriptRecord, check_source, checksum

MODULE = "pyscripts"

_LISTED = [column for column in scripts.c if column is not scripts.c.data]


class ScriptStore:
    """Creates, reads, changes and deletes scripts.

    All methods raise ``cloudkitty.rating.errors.RulesError`` for what is the caller's mistake.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def create(
        self, new: NewScript, *, now: datetime.datetime, user: str, force: bool = False
    ) -> ScriptRecord:
        """Create a script for the caller with id *user*; *force* allows a start in the past."""
        now = period.utc(now)
        start, end = dated.validity(new.start, new.end, now=now, force=force)
        dated.required_text("name", new.name)
        dated.text("description", new.description, dated.DESCRIPTION_LENGTH)
        dated.text("created_by", user)
        check_source(new.name, new.data)
        script = ScriptRecord(
            script_id=str(uuid.uuid4()),
            name=new.name,
            data=new.data,
            checksum=checksum(new.data),
            description=new.description,
            start=start,
            end=end,
            created_at=now,
            created_by=user,
        )
        values = dataclasses.asdict(script) | _stored(new.data) | {"live_name": new.name}
        with rows.writer(self._database, MODULE) as connection:
            columns = scripts.c
            rows.refuse_taken(connection, "Script", columns.script_id, columns.live_name, new.name)
            connection.execute(scripts.insert(), values)
        return script

    def get(self, script_id: str) -> ScriptRecord:
        """Return a live script."""
        with self._database.reader() as connection:
            return _live(connection, script_id)

    def list(
        self, wanted: DatedFilter, *, now: datetime.datetime, data: bool = True
    ) -> list[ScriptRecord]:
        """Return the scripts that match, with or without their sources."""
        if not rows.searchable(wanted):
            return []
        statement = (
            sa.select(*(scripts.c if data else _LISTED))
            .where(*rows.dated_conditions(scripts, wanted, now))
            .order_by(scripts.c.id)
        )
        with self._database.reader() as connection:
            found = [_record(row) for row in connection.execute(statement)]
        return dated.described(found, wanted.description)

    def update(
        self, script_id: str, changes: Mapping[str, Any], *, now: datetime.datetime, user: str
    ) -> ScriptRecord:
        """Change a script: once it has begun, only by giving it an end; before, its source, dates
        and description, which is removed when it is not sent.

        *changes* has what the caller sent, by attribute name of ``NewScript``; what was not sent
        must be absent. Nothing is written when nothing changes.
        """
        now = period.utc(now)
        dated.text("updated_by", user)
        with self._database.reader() as connection:
            script = _live(connection, script_id)
        if not _changes(script, changes, now):
            return script
        with rows.writer(self._database, MODULE) as connection:
            script = _live(connection, script_id)
            values = _changes(script, changes, now) | {"updated_by": user}
            stored = _stored(values["data"]) if "data" in values else {}
            connection.execute(
                scripts.update().where(scripts.c.script_id == script_id).values(values | stored)
            )
        return dataclasses.replace(script, **values)

    def delete(self, script_id: str, *, now: datetime.datetime, user: str) -> None:
        """Mark a script as deleted; it runs no more, and its name is free."""
        dated.text("deleted_by", user)
        with rows.writer(self._database, MODULE) as connection:
            script = _live(connection, script_id)
            connection.execute(
                scripts.update()
                .where(scripts.c.script_id == script.script_id)
                .values(rows.mark_deleted(now, user))
            )

    def load(self) -> tuple[Script, ...]:
        """Return every live script in the order in which they run, in one query.

        :raises ValueError: a source cannot be read.
        """
        statement = sa.select(scripts).where(scripts.c.deleted.is_(None)).order_by(scripts.c.id)
        with self._database.reader() as connection:
            return tuple(
                Script(row.name, row.checksum, _source(row), row.start, row.end)
                for row in connection.execute(statement)
            )


def _stored(source: str) -> dict[str, Any]:
    return {"data": zlib.compress(source.encode()), "checksum": checksum(source)}


def _source(row: sa.Row[Any]) -> str:
    try:
        return zlib.decompress(row.data).decode()
    except (zlib.error, UnicodeDecodeError) as error:
        raise ValueError(f"the source of script {row.name} cannot be read: {error}") from error


def _record(row: sa.Row[Any]) -> ScriptRecord:
    return ScriptRecord(
        script_id=row.script_id,
        data=_source(row) if "data" in row._fields else None,
        checksum=row.checksum,
        **rows.dated_values(row),
    )


def _live(connection: Connection, script_id: str) -> ScriptRecord:
    """:raises NotFound: there is no such script, or no more."""
    live = sa.select(scripts).where(scripts.c.deleted.is_(None))
    row = rows.find(connection, live, scripts.c.script_id, script_id)
    if row is None:
        raise no_such_script(script_id)
    return _record(row)


def _changes(
    script: ScriptRecord, wanted: Mapping[str, Any], now: datetime.datetime
) -> dict[str, Any]:
    values = dated.changes(script, wanted, now, fixed=("data",), free=("data",))
    if "data" in values:
        check_source(script.name, values["data"])
        values["checksum"] = checksum(values["data"])
    return values
