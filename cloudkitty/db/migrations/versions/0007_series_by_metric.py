# SPDX-License-Identifier: Apache-2.0
"""Series by scope and metric, as reports group them."""

from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    op.create_index("ix_ledger_series_scope_id_metric", "ledger_series", ["scope_id", "metric"])
