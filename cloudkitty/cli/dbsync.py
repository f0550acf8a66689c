# SPDX-License-Identifier: Apache-2.0
"""``cloudkitty-dbsync``: bring the database schema up to date, or say where it stands.

All tables belong to one series of revisions, so that ``--module`` changes nothing but the check
that there is such a module; it is accepted because deployment tools give it. Every command may
be repeated.
"""

import argparse
import sys
from collections.abc import Sequence

from oslo_config import cfg

from cloudkitty import config, plugins
from cloudkitty.cli import common
from cloudkitty.db import migration
from cloudkitty.db.engine import Database
from cloudkitty.rating.base import RatingModule

CORE = "cloudkitty"


class UsageError(config.ConfigurationError):
    """The arguments do not fit together; the message says which."""


def modules() -> list[str]:
    """Return the names that ``--module`` takes: the core, and each rating module with tables."""
    return [CORE, *(name for name in plugins.names(plugins.RATING_MODULES) if _has_schema(name))]


def _has_schema(name: str) -> bool:
    try:
        module = plugins.load_class(plugins.RATING_MODULES, name, "--module")
    except config.ConfigurationError:
        return False
    return issubclass(module, RatingModule) and module.has_schema


def _check_module(name: str) -> None:
    known = modules()
    if name not in known:
        raise UsageError(
            f"--module: {name!r} is no module with a schema; there is {', '.join(known)}"
        )


def upgrade(conf: cfg.ConfigOpts, database: Database) -> None:
    """Bring the schema to the wanted revision."""
    revision = conf.command.revision
    if conf.command.module:
        _check_module(conf.command.module)
    elif revision not in ("head", "base"):
        raise UsageError(
            f"--revision {revision}: without --module only 'head' and 'base' are possible"
        )
    if revision != "base":
        migration.upgrade(database, revision)


def stamp(conf: cfg.ConfigOpts, database: Database) -> None:
    """Record a revision without running anything."""
    _check_module(conf.command.module)
    migration.stamp(database, conf.command.revision)


def revision(conf: cfg.ConfigOpts, database: Database) -> None:
    """Write a new migration script."""
    _check_module(conf.command.module)
    migration.create_revision(database, conf.command.message or "", conf.command.autogenerate)


def version(conf: cfg.ConfigOpts, database: Database) -> None:
    """Print where the schema stands; nothing when the database has none."""
    _check_module(conf.command.module)
    found = migration.current(database)
    if found is not None:
        print(f"{found} (head)" if found == migration.head() else found)


def _add_commands(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    command = subparsers.add_parser("upgrade", help="bring the schema up to date")
    command.add_argument("--revision", default="head", help="revision to reach (default: head)")
    command.add_argument("--module", help="module whose tables are meant (default: all)")
    command.set_defaults(run=upgrade)

    command = subparsers.add_parser("stamp", help="record a revision without running anything")
    command.add_argument("--revision", default="head", help="revision to record (default: head)")
    command.add_argument("--module", required=True, help="module whose tables are meant")
    command.set_defaults(run=stamp)

    command = subparsers.add_parser("revision", help="write a new migration (for developers)")
    command.add_argument("-m", "--message", help="what the migration does")
    command.add_argument(
        "--autogenerate", action="store_true", help="compare the tables with the code"
    )
    command.add_argument("--module", required=True, help="module whose tables are meant")
    command.set_defaults(run=revision)

    command = subparsers.add_parser("version", help="print where the schema stands")
    command.add_argument("--module", required=True, help="module whose tables are meant")
    command.set_defaults(run=version)


def main(args: Sequence[str] | None = None) -> int:
    """Run the command; 0 is well, 1 is an error that has been explained, 2 wrong usage."""
    return common.run(
        "cloudkitty-dbsync",
        _run,
        description="Bring the database schema up to date, or say where it stands.",
        cli_options=[cfg.SubCommandOpt("command", handler=_add_commands, title="commands")],
        args=args,
    )


def _run(conf: cfg.ConfigOpts) -> None:
    database = Database(conf)
    try:
        conf.command.run(conf, database)
    finally:
        database.dispose()


if __name__ == "__main__":
    sys.exit(main())
