# SPDX-License-Identifier: Apache-2.0
"""Tasks of rating a window of the past again."""

import sqlalchemy as sa
from alembic import op

from cloudkitty.db.schema import TABLE_OPTIONS, Instant

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    op.create_table(
        "reprocessing_tasks",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("scope_id", sa.Integer, sa.ForeignKey("scopes.id"), nullable=False),
        sa.Column("begin", Instant, nullable=False),
        sa.Column("end", Instant, nullable=False),
        sa.Column("current", Instant),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("mode", sa.String(16), nullable=False),
        sa.Column("dry_run", sa.Boolean, nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("note", sa.Text),
        sa.Column("result", sa.Text),
        sa.Column("created_at", Instant, nullable=False),
        sa.Column("finished_at", Instant),
        **TABLE_OPTIONS,
    )
    op.create_index("ix_reprocessing_tasks_scope_id", "reprocessing_tasks", ["scope_id"])
    op.create_index("ix_reprocessing_tasks_state", "reprocessing_tasks", ["state"])
