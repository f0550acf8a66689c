# SPDX-License-Identifier: Apache-2.0
"""When a scope was first missing from the fetcher's list."""

import sqlalchemy as sa
from alembic import op

from cloudkitty.db.schema import Instant

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    op.add_column("scopes", sa.Column("gone_at", Instant))
