# SPDX-License-Identifier: Apache-2.0
"""Runs the migrations on the connection that cloudkitty.db.migration hands over."""

from alembic import context

from cloudkitty.db import models  # noqa: F401
from cloudkitty.db.schema import METADATA
from cloudkitty.importer import models as importer_models  # noqa: F401
from cloudkitty.rating.hashmap import models as hashmap_models  # noqa: F401
from cloudkitty.rating.pyscripts import models as pyscripts_models  # noqa: F401

context.configure(
    connection=context.config.attributes["connection"],
    version_table=context.config.attributes["version_table"],
    target_metadata=METADATA,
    render_as_batch=True,
    transactional_ddl=False,
)
context.run_migrations()
