# SPDX-License-Identifier: Apache-2.0
"""How far an import has come with scopes that were rated here already."""

import sqlalchemy as sa
from alembic import op

from cloudkitty.db.schema import TABLE_OPTIONS

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    op.create_table(
        "import_windows",
        sa.Column("import_id", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("scope_id", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("begin", sa.BigInteger, nullable=False),
        sa.Column("end", sa.BigInteger, nullable=False),
        **TABLE_OPTIONS,
    )
