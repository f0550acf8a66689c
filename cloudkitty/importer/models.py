# SPDX-License-Identifier: Apache-2.0
"""The tables that say what was brought over from another rating service.

Invariant: each kind of source has one row at most, written in the transaction that writes the rules
and scopes; how far the history of a scope has come is the scope's own horizon, or for one that was
here before the begin of its window.
"""

import sqlalchemy as sa

from cloudkitty.db.schema import METADATA, TABLE_OPTIONS, Instant

imports = sa.Table(
    "imports",
    METADATA,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
    # Kind, place and name of the database, without user and password.
    sa.Column("source", sa.String(255), nullable=False),
    # JSON: the options that what was brought over depends on.
    sa.Column("settings", sa.Text, nullable=False),
    sa.Column("begun_at", Instant, nullable=False),
    sa.Column("finished_at", Instant),
    **TABLE_OPTIONS,
)

windows = sa.Table(
    "import_windows",
    METADATA,
    sa.Column("import_id", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("scope_id", sa.Integer, primary_key=True, autoincrement=False),
    # Unix seconds of what is still to come.
    sa.Column("begin", sa.BigInteger, nullable=False),
    sa.Column("end", sa.BigInteger, nullable=False),
    **TABLE_OPTIONS,
)
