# SPDX-License-Identifier: Apache-2.0
"""``cloudkitty-storage-init``: make the configured storage ready for its first write.

Enough by itself, and harmless when repeated: it brings the schema up to date, as
``cloudkitty-dbsync upgrade`` does, and then lets the storage driver prepare what it needs.
"""

import sys
from collections.abc import Sequence

from oslo_config import cfg

from cloudkitty.cli import common
from cloudkitty.dataframe import Registry
from cloudkitty.db import migration
from cloudkitty.db.engine import Database
from cloudkitty.storage import factory
from cloudkitty.storage.base import StorageError


def main(args: Sequence[str] | None = None) -> int:
    """Run the command; 0 is well, 1 is an error that has been explained, 2 wrong usage."""
    return common.run(
        "cloudkitty-storage-init",
        _run,
        description="Make the configured storage ready for use.",
        args=args,
    )


def _run(conf: cfg.ConfigOpts) -> int:
    database = Database(conf)
    try:
        store = factory.build(conf, database, Registry())
        migration.upgrade(database)
        store.init()
    except StorageError as error:
        print(f"cloudkitty-storage-init: {error}", file=sys.stderr)
        return 1
    finally:
        database.dispose()
    return 0


if __name__ == "__main__":
    sys.exit(main())
