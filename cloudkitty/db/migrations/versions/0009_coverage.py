# SPDX-License-Identifier: Apache-2.0
"""What keeps scopes, and metrics of them, from being rated."""

import sqlalchemy as sa
from alembic import op

from cloudkitty.db.schema import TABLE_OPTIONS, Instant

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    op.create_table(
        "coverage_troubles",
        sa.Column("scope_id", sa.Integer, sa.ForeignKey("scopes.id"), primary_key=True),
        sa.Column("metric", sa.String(255), primary_key=True),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("begin", Instant, nullable=False),
        sa.Column("since", Instant, nullable=False),
        sa.Column("error", sa.Text, nullable=False),
        **TABLE_OPTIONS,
    )
