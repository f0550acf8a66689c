# SPDX-License-Identifier: Apache-2.0
"""``cloudkitty-storage-init``: make the configured storage ready for its first write.

Enough by itself, and harmless when repeated: it brings the schema up to date, as
``cloudkitty-dbsync upgrade`` does, and then lets the storage driver prepare what it needs.
"""

import sys
from collections.abc import Sequence

from cloudkitty import config
from cloudkitty.dataframe import Registry
from cloudkitty.db import migration
from cloudkitty.db.engine import Database
from cloudkitty.storage import factory
from cloudkitty.storage.base import StorageError


def main(args: Sequence[str] | None = None) -> int:
    """Run the command; 0 is well, 1 is an error that has been explained, 2 wrong usage."""
    try:
        conf = config.load(
            sys.argv[1:] if args is None else args,
            prog="cloudkitty-storage-init",
            description="Make the configured storage ready for use.",
        )
        database = Database(conf)
        try:
            store = factory.build(conf, database, Registry())
            migration.upgrade(database)
            store.init()
        finally:
            database.dispose()
    except (config.ConfigurationError, migration.SchemaError, StorageError) as error:
        print(f"cloudkitty-storage-init: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
