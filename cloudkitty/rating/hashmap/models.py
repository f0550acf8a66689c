# SPDX-License-Identifier: Apache-2.0
"""Hashmap's tables.

Invariants, which the database keeps by itself: names of services, of groups, of a service's
fields and of live mappings are unique; a threshold's ``slot`` (its parent, level, project and
group, of which the last two may be null) is unique. A deleted mapping keeps its row, and
neither a live name nor a slot. Order of creation is order of ``id``.
"""

import sqlalchemy as sa

from cloudkitty.db.schema import METADATA, TABLE_OPTIONS, Amount, Digest
from cloudkitty.rating.rows import dated_columns

services = sa.Table(
    "hashmap_services",
    METADATA,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("service_id", sa.String(36), nullable=False, unique=True),
    sa.Column("name", sa.String(255), nullable=False, unique=True),
    **TABLE_OPTIONS,
)

fields = sa.Table(
    "hashmap_fields",
    METADATA,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("field_id", sa.String(36), nullable=False, unique=True),
    sa.Column("name", sa.String(255), nullable=False),
    sa.Column(
        "service_id",
        sa.Integer,
        sa.ForeignKey("hashmap_services.id", ondelete="CASCADE"),
        nullable=False,
    ),
    sa.UniqueConstraint("service_id", "name"),
    **TABLE_OPTIONS,
)

groups = sa.Table(
    "hashmap_groups",
    METADATA,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("group_id", sa.String(36), nullable=False, unique=True),
    sa.Column("name", sa.String(255), nullable=False, unique=True),
    **TABLE_OPTIONS,
)

mappings = sa.Table(
    "hashmap_mappings",
    METADATA,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("mapping_id", sa.String(36), nullable=False, unique=True),
    sa.Column("value", sa.String(255), nullable=False),
    sa.Column("cost", Amount, nullable=False),
    sa.Column("type", sa.String(8), nullable=False),
    sa.Column(
        "service_id",
        sa.Integer,
        sa.ForeignKey("hashmap_services.id", ondelete="CASCADE"),
        index=True,
    ),
    sa.Column(
        "field_id", sa.Integer, sa.ForeignKey("hashmap_fields.id", ondelete="CASCADE"), index=True
    ),
    sa.Column(
        "group_id", sa.Integer, sa.ForeignKey("hashmap_groups.id", ondelete="SET NULL"), index=True
    ),
    sa.Column("tenant_id", sa.String(255)),
    # What makes live mappings rivals: of those with one slot only one may act at any instant.
    sa.Column("slot", Digest, index=True),
    *dated_columns(),
    **TABLE_OPTIONS,
)

thresholds = sa.Table(
    "hashmap_thresholds",
    METADATA,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("threshold_id", sa.String(36), nullable=False, unique=True),
    sa.Column("level", Amount, nullable=False),
    sa.Column("cost", Amount, nullable=False),
    sa.Column("type", sa.String(8), nullable=False),
    sa.Column(
        "service_id",
        sa.Integer,
        sa.ForeignKey("hashmap_services.id", ondelete="CASCADE"),
        index=True,
    ),
    sa.Column(
        "field_id", sa.Integer, sa.ForeignKey("hashmap_fields.id", ondelete="CASCADE"), index=True
    ),
    sa.Column(
        "group_id", sa.Integer, sa.ForeignKey("hashmap_groups.id", ondelete="SET NULL"), index=True
    ),
    sa.Column("tenant_id", sa.String(255)),
    sa.Column("slot", Digest, nullable=False, unique=True),
    **TABLE_OPTIONS,
)
