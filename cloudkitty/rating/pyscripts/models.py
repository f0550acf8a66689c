# SPDX-License-Identifier: Apache-2.0
"""The table of scripts.

Invariants, which the database keeps by itself: names of live scripts are unique. A deleted script
keeps its row, and not its live name. Order of creation, in which scripts run, is order of ``id``.
"""

import sqlalchemy as sa

from cloudkitty.db.schema import METADATA, TABLE_OPTIONS, Blob
from cloudkitty.rating.rows import dated_columns

scripts = sa.Table(
    "pyscripts_scripts",
    METADATA,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("script_id", sa.String(36), nullable=False, unique=True),
    # The source, compressed with zlib, and the SHA-512 of what it was before.
    sa.Column("data", Blob, nullable=False),
    sa.Column("checksum", sa.String(128), nullable=False),
    *dated_columns(),
    **TABLE_OPTIONS,
)
