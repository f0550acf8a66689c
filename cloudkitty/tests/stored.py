# SPDX-License-Identifier: Apache-2.0
"""What a database holds, as plain values that can be compared."""

import sqlalchemy as sa

from cloudkitty.db.engine import Database
from cloudkitty.db.models import scopes
from cloudkitty.storage.sqlalchemy import models


def ledger(database: Database) -> list[tuple[str, ...]]:
    """Every run of every series, with the scope's horizon, but for keys."""
    owner, table = models.series.c, models.runs.c
    with database.reader() as connection:
        rows = connection.execute(
            sa.select(
                scopes.c.identifier,
                scopes.c.horizon,
                owner.metric,
                owner.unit,
                owner.groupby,
                owner.metadata,
                table.begin,
                table.end,
                table.step,
                table.qty,
                table.price,
            )
            .join_from(models.runs, models.series, table.series_id == owner.id)
            .join(scopes, scopes.c.id == owner.scope_id)
        ).all()
    return sorted(tuple(map(str, row)) for row in rows)


def everything(database: Database) -> dict[str, list[str]]:
    """The rows of all tables."""
    metadata = sa.MetaData()
    with database.reader() as connection:
        metadata.reflect(connection)
        return {
            name: sorted(str(tuple(row)) for row in connection.execute(sa.select(table)))
            for name, table in metadata.tables.items()
        }


def wipe(database: Database) -> None:
    """Remove the rows of all tables but those that a new database has."""
    metadata = sa.MetaData()
    with database.writer() as connection:
        metadata.reflect(connection)
        for table in reversed(metadata.sorted_tables):
            if table.name not in ("ledger_sequence", "cloudkitty_schema_version"):
                connection.execute(table.delete())
