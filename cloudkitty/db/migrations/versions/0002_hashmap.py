# SPDX-License-Identifier: Apache-2.0
"""Hashmap: services, fields, groups, mappings and thresholds."""

import sqlalchemy as sa
from alembic import op

from cloudkitty.db.schema import TABLE_OPTIONS, Amount, Digest, Instant

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.create_table(
        "hashmap_services",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("service_id", sa.String(36), nullable=False),
        sa.Column("name", sa.String(255), nullable=False),
        sa.UniqueConstraint("service_id"),
        sa.UniqueConstraint("name"),
        **TABLE_OPTIONS,
    )
    op.create_table(
        "hashmap_fields",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("field_id", sa.String(36), nullable=False),
        sa.Column("name", sa.String(255), nullable=False),
        sa.Column(
            "service_id",
            sa.Integer,
            sa.ForeignKey("hashmap_services.id", ondelete="CASCADE"),
            nullable=False,
        ),
        sa.UniqueConstraint("service_id", "name"),
        sa.UniqueConstraint("field_id"),
        **TABLE_OPTIONS,
    )
    op.create_table(
        "hashmap_groups",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("group_id", sa.String(36), nullable=False),
        sa.Column("name", sa.String(255), nullable=False),
        sa.UniqueConstraint("group_id"),
        sa.UniqueConstraint("name"),
        **TABLE_OPTIONS,
    )
    op.create_table(
        "hashmap_mappings",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("mapping_id", sa.String(36), nullable=False),
        sa.Column("value", sa.String(255), nullable=False),
        sa.Column("cost", Amount, nullable=False),
        sa.Column("type", sa.String(8), nullable=False),
        sa.Column(
            "service_id",
            sa.Integer,
            sa.ForeignKey("hashmap_services.id", ondelete="CASCADE"),
        ),
        sa.Column("field_id", sa.Integer, sa.ForeignKey("hashmap_fields.id", ondelete="CASCADE")),
        sa.Column("group_id", sa.Integer, sa.ForeignKey("hashmap_groups.id", ondelete="SET NULL")),
        sa.Column("tenant_id", sa.String(255)),
        sa.Column("name", sa.String(255), nullable=False),
        sa.Column("live_name", sa.String(255)),
        sa.Column("description", sa.String(256)),
        sa.Column("start", Instant, nullable=False),
        sa.Column("end", Instant),
        sa.Column("slot", Digest),
        sa.Column("created_at", Instant, nullable=False),
        sa.Column("created_by", sa.String(255), nullable=False),
        sa.Column("updated_by", sa.String(255)),
        sa.Column("deleted", Instant),
        sa.Column("deleted_by", sa.String(255)),
        sa.UniqueConstraint("mapping_id"),
        sa.UniqueConstraint("live_name"),
        **TABLE_OPTIONS,
    )
    op.create_index("ix_hashmap_mappings_service_id", "hashmap_mappings", ["service_id"])
    op.create_index("ix_hashmap_mappings_field_id", "hashmap_mappings", ["field_id"])
    op.create_index("ix_hashmap_mappings_group_id", "hashmap_mappings", ["group_id"])
    op.create_index("ix_hashmap_mappings_slot", "hashmap_mappings", ["slot"])
    op.create_table(
        "hashmap_thresholds",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("threshold_id", sa.String(36), nullable=False),
        sa.Column("level", Amount, nullable=False),
        sa.Column("cost", Amount, nullable=False),
        sa.Column("type", sa.String(8), nullable=False),
        sa.Column(
            "service_id",
            sa.Integer,
            sa.ForeignKey("hashmap_services.id", ondelete="CASCADE"),
        ),
        sa.Column("field_id", sa.Integer, sa.ForeignKey("hashmap_fields.id", ondelete="CASCADE")),
        sa.Column("group_id", sa.Integer, sa.ForeignKey("hashmap_groups.id", ondelete="SET NULL")),
        sa.Column("tenant_id", sa.String(255)),
        sa.Column("slot", Digest, nullable=False),
        sa.UniqueConstraint("threshold_id"),
        sa.UniqueConstraint("slot"),
        **TABLE_OPTIONS,
    )
    op.create_index("ix_hashmap_thresholds_service_id", "hashmap_thresholds", ["service_id"])
    op.create_index("ix_hashmap_thresholds_field_id", "hashmap_thresholds", ["field_id"])
    op.create_index("ix_hashmap_thresholds_group_id", "hashmap_thresholds", ["group_id"])
