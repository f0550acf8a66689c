# SPDX-License-Identifier: Apache-2.0
"""The tables of the ledger: series, the runs of points of each, and the totals of what was purged.

There are no foreign keys: the ledger alone writes here, keys and rows in one transaction, and
checking each row costs a third of a scope's first period on PostgreSQL.
"""

from typing import Any

import sqlalchemy as sa

from cloudkitty.db.schema import METADATA, TABLE_OPTIONS, Amount, BigId, Digest, Sum

OPEN = 253402300799
"""The ``end`` of a run without an end (9999-12-31 23:59:59 UTC): it is valid up to its scope's
horizon. A number larger than any instant lets one comparison find open and closed runs."""

series = sa.Table(
    "ledger_series",
    METADATA,
    sa.Column("id", BigId, primary_key=True, autoincrement=False),
    sa.Column("scope_id", sa.Integer, nullable=False),
    # Of everything but the scope; what makes a series be itself.
    sa.Column("digest", Digest, nullable=False),
    sa.Column("metric", sa.String(255), nullable=False),
    sa.Column("unit", sa.String(255), nullable=False),
    sa.Column("description", sa.Text),
    # Canonical JSON.
    sa.Column("groupby", sa.Text, nullable=False),
    sa.Column("metadata", sa.Text, nullable=False),
    sa.UniqueConstraint("scope_id", "digest"),
    # The order in which reports add up.
    sa.Index("ix_ledger_series_scope_id_metric", "scope_id", "metric"),
    **TABLE_OPTIONS,
)

runs = sa.Table(
    "ledger_runs",
    METADATA,
    sa.Column("series_id", BigId, primary_key=True, autoincrement=False),
    # Unix seconds: start of the first point, and end of the last one or OPEN.
    sa.Column("begin", sa.BigInteger, primary_key=True, autoincrement=False),
    # Length of each point's period in seconds.
    sa.Column("step", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("end", sa.BigInteger, nullable=False),
    # Of each single point.
    sa.Column("qty", Amount, nullable=False),
    sa.Column("price", Amount, nullable=False),
    sa.Index("ix_ledger_runs_end_begin", "end", "begin"),
    sqlite_with_rowid=False,
    **TABLE_OPTIONS,
)


def _sums() -> list[sa.Column[Any]]:
    """Return the columns of a total of points."""
    return [
        # Unix seconds: start of the first of the points, and of the last.
        sa.Column("first", sa.BigInteger, nullable=False),
        sa.Column("last", sa.BigInteger, nullable=False),
        sa.Column("points", sa.BigInteger, nullable=False),
        sa.Column("qty", Sum, nullable=False),
        sa.Column("price", Sum, nullable=False),
        sa.Column("min_qty", Amount, nullable=False),
        sa.Column("max_qty", Amount, nullable=False),
        sa.Column("min_price", Amount, nullable=False),
        sa.Column("max_price", Amount, nullable=False),
    ]


# What the purged points of a scope and metric in a calendar month add up to.
months = sa.Table(
    "ledger_months",
    METADATA,
    # Unix seconds of the begin of the month. First, because the months of a window are read.
    sa.Column("month", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("scope_id", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("metric", sa.String(255), primary_key=True),
    *_sums(),
    sqlite_with_rowid=False,
    **TABLE_OPTIONS,
)

# The same by day: those of one month add up to its row. Consecutive days of 24 hours that are alike
# are one row, with the sums of each and the points of the first.
days = sa.Table(
    "ledger_days",
    METADATA,
    sa.Column("month", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("scope_id", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("metric", sa.String(255), primary_key=True),
    sa.Column("day", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("days", sa.Integer, nullable=False),
    *_sums(),
    sqlite_with_rowid=False,
    **TABLE_OPTIONS,
)

# Up to which instant points of a scope have been purged: what is before stays as it is.
cuts = sa.Table(
    "ledger_cuts",
    METADATA,
    sa.Column("scope_id", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("instant", sa.BigInteger, nullable=False),
    **TABLE_OPTIONS,
)

sequence = sa.Table(
    "ledger_sequence",
    METADATA,
    sa.Column("name", sa.String(64), primary_key=True),
    sa.Column("next", sa.BigInteger, nullable=False),
    **TABLE_OPTIONS,
)
