# SPDX-License-Identifier: Apache-2.0
"""Totals that stay when points are purged."""

from typing import Any

import sqlalchemy as sa
from alembic import op

from cloudkitty.db.schema import TABLE_OPTIONS, Amount, Sum

revision = "0010"
down_revision = "0009"


def _sums() -> list[sa.Column[Any]]:
    return [
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


def upgrade() -> None:
    op.create_table(
        "ledger_months",
        sa.Column("month", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("scope_id", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("metric", sa.String(255), primary_key=True),
        *_sums(),
        sqlite_with_rowid=False,
        **TABLE_OPTIONS,
    )
    op.create_table(
        "ledger_days",
        sa.Column("month", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("scope_id", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("metric", sa.String(255), primary_key=True),
        sa.Column("day", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("days", sa.Integer, nullable=False),
        *_sums(),
        sqlite_with_rowid=False,
        **TABLE_OPTIONS,
    )
    op.create_table(
        "ledger_cuts",
        sa.Column("scope_id", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("instant", sa.BigInteger, nullable=False),
        **TABLE_OPTIONS,
    )
