# SPDX-License-Identifier: Apache-2.0
"""The migrations make exactly the tables that the code uses."""

import alembic.autogenerate
import pytest
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory

from cloudkitty.db import migration, models  # noqa: F401
from cloudkitty.db.engine import Database
from cloudkitty.db.schema import METADATA
from cloudkitty.importer import models as importer_models  # noqa: F401
from cloudkitty.rating.hashmap import models as hashmap_models  # noqa: F401
from cloudkitty.rating.pyscripts import models as pyscripts_models  # noqa: F401
from cloudkitty.storage.sqlalchemy import models as ledger_models  # noqa: F401


def test_migrated_schema_is_that_of_the_models(database: Database) -> None:
    with database.reader() as connection:
        context = MigrationContext.configure(
            connection, opts={"version_table": migration.VERSION_TABLE}
        )
        assert alembic.autogenerate.compare_metadata(context, METADATA) == []


def test_names_of_files_say_what_the_revisions_are() -> None:
    scripts = ScriptDirectory(str(migration.SCRIPTS))
    assert migration.head() == scripts.get_current_head()
    known = {script.revision for script in scripts.walk_revisions()}
    assert set(migration.revisions()) == known


def test_upgrade_twice_changes_nothing(database: Database) -> None:
    migration.upgrade(database)
    assert migration.current(database) == migration.head()


def test_unknown_revision_is_refused(sqlite_database: Database) -> None:
    with pytest.raises(migration.SchemaError, match="nonsense"):
        migration.upgrade(sqlite_database, "nonsense")
