# SPDX-License-Identifier: Apache-2.0
"""States of collectors."""

import sqlalchemy as sa
from alembic import op

from cloudkitty.db.schema import TABLE_OPTIONS

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    op.create_table(
        "collector_states",
        sa.Column("name", sa.String(255), primary_key=True),
        sa.Column("enabled", sa.Boolean, nullable=False),
        **TABLE_OPTIONS,
    )
