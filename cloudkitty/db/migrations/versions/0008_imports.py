# SPDX-License-Identifier: Apache-2.0
"""What was brought over from another rating service."""

import sqlalchemy as sa
from alembic import op

from cloudkitty.db.schema import TABLE_OPTIONS, Instant

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    op.create_table(
        "imports",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("source", sa.String(255), nullable=False),
        sa.Column("settings", sa.Text, nullable=False),
        sa.Column("begun_at", Instant, nullable=False),
        sa.Column("finished_at", Instant),
        **TABLE_OPTIONS,
    )
