# SPDX-License-Identifier: Apache-2.0
"""Scopes, module states, collector mappings and the ledger."""

import sqlalchemy as sa
from alembic import op

from cloudkitty.db.schema import TABLE_OPTIONS, Amount, BigId, Digest, Instant

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.create_table(
        "scopes",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("identifier", sa.String(255), nullable=False),
        sa.Column("scope_key", sa.String(64), nullable=False),
        sa.Column("fetcher", sa.String(64), nullable=False),
        sa.Column("collector", sa.String(64), nullable=False),
        sa.Column("active", sa.Boolean, nullable=False),
        sa.Column("toggled_at", Instant, nullable=False),
        sa.Column("starts_at", Instant, nullable=False),
        sa.Column("horizon", Instant),
        sa.Column("version", sa.BigInteger, nullable=False),
        sa.Column("failures", sa.Integer, nullable=False),
        sa.Column("retry_at", Instant),
        sa.Column("last_error", sa.Text),
        sa.UniqueConstraint("identifier", "scope_key", "collector", "fetcher"),
        **TABLE_OPTIONS,
    )
    op.create_table(
        "modules_state",
        sa.Column("name", sa.String(255), primary_key=True),
        sa.Column("state", sa.Boolean, nullable=False),
        sa.Column("priority", sa.Integer),
        sa.Column("revision", sa.BigInteger, nullable=False),
        **TABLE_OPTIONS,
    )
    op.create_table(
        "service_to_collector_mappings",
        sa.Column("service", sa.String(255), primary_key=True),
        sa.Column("collector", sa.String(255), nullable=False),
        **TABLE_OPTIONS,
    )
    op.create_table(
        "ledger_series",
        sa.Column("id", BigId, primary_key=True, autoincrement=False),
        sa.Column("scope_id", sa.Integer, nullable=False),
        sa.Column("digest", Digest, nullable=False),
        sa.Column("metric", sa.String(255), nullable=False),
        sa.Column("unit", sa.String(255), nullable=False),
        sa.Column("description", sa.Text),
        sa.Column("groupby", sa.Text, nullable=False),
        sa.Column("metadata", sa.Text, nullable=False),
        sa.UniqueConstraint("scope_id", "digest"),
        **TABLE_OPTIONS,
    )
    op.create_table(
        "ledger_runs",
        sa.Column("series_id", BigId, primary_key=True, autoincrement=False),
        sa.Column("begin", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("step", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("end", sa.BigInteger, nullable=False),
        sa.Column("qty", Amount, nullable=False),
        sa.Column("price", Amount, nullable=False),
        sqlite_with_rowid=False,
        **TABLE_OPTIONS,
    )
    op.create_index("ix_ledger_runs_end_begin", "ledger_runs", ["end", "begin"])
    sequence = op.create_table(
        "ledger_sequence",
        sa.Column("name", sa.String(64), primary_key=True),
        sa.Column("next", sa.BigInteger, nullable=False),
        **TABLE_OPTIONS,
    )
    op.bulk_insert(sequence, [{"name": "series", "next": 1}])
