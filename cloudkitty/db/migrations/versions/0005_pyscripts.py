# SPDX-License-Identifier: Apache-2.0
"""Pyscripts: scripts."""

import sqlalchemy as sa
from alembic import op

from cloudkitty.db.schema import TABLE_OPTIONS, Blob, Instant

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    op.create_table(
        "pyscripts_scripts",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("script_id", sa.String(36), nullable=False),
        sa.Column("data", Blob, nullable=False),
        sa.Column("checksum", sa.String(128), nullable=False),
        sa.Column("name", sa.String(255), nullable=False),
        sa.Column("live_name", sa.String(255)),
        sa.Column("description", sa.String(256)),
        sa.Column("start", Instant, nullable=False),
        sa.Column("end", Instant),
        sa.Column("created_at", Instant, nullable=False),
        sa.Column("created_by", sa.String(255), nullable=False),
        sa.Column("updated_by", sa.String(255)),
        sa.Column("deleted", Instant),
        sa.Column("deleted_by", sa.String(255)),
        sa.UniqueConstraint("script_id"),
        sa.UniqueConstraint("live_name"),
        **TABLE_OPTIONS,
    )
