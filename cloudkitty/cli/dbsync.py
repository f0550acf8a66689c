# SPDX-License-Identifier: Apache-2.0
"""``cloudkitty-dbsync``: bring the database schema up to date, say where it stands, or fill it from
the database of an existing service.

All tables belong to one series of revisions, so that ``--module`` changes nothing but the check
that there is such a module; it is accepted because deployment tools give it. Every command may
be repeated.
"""

import argparse
import sys
from collections.abc import Sequence

from oslo_config import cfg

from cloudkitty import config, period, plugins
from cloudkitty.cli import common
from cloudkitty.db import migration
from cloudkitty.db.engine import Database
from cloudkitty.importer import origins
from cloudkitty.importer import run as importer
from cloudkitty.rating.base import RatingModule
from cloudkitty.storage.base import StorageError

PROG = "cloudkitty-dbsync"

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


def import_cloudkitty(conf: cfg.ConfigOpts, database: Database) -> int:
    """Bring over what the database of an existing service has; 1 when something differs after."""
    arguments = conf.command
    try:
        zone = period.zone(arguments.time_zone)
    except ValueError as error:
        raise UsageError(f"--time-zone: {error}") from None
    origin = origins.opened(arguments.source)
    options = importer.Options(zone, arguments.batch, arguments.dry_run)
    try:
        return 0 if importer.Import(conf, database, origin, options).run() else 1
    except StorageError as error:
        print(f"{PROG}: {error}", file=sys.stderr)
        return 1
    finally:
        origin.dispose()


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

    command = subparsers.add_parser(
        "import-cloudkitty",
        help="bring over rules, scopes and rated history from an existing service",
    )
    command.add_argument(
        "--from",
        dest="source",
        required=True,
        metavar="URL",
        help="database of the existing service, such as mysql://USER:PASSWORD@HOST/cloudkitty, or "
        "the InfluxDB (version 1) that it keeps rated usage in, such as "
        "influxdb://USER:PASSWORD@HOST:8086/cloudkitty; it is only read",
    )
    command.add_argument(
        "--time-zone",
        default="UTC",
        metavar="ZONE",
        help="time zone of the server that the existing service runs on, by whose clock it keeps "
        "the dates of rules, such as Europe/Paris (default: UTC)",
    )
    command.add_argument(
        "--dry-run", action="store_true", help="say what there is, and write nothing"
    )
    command.add_argument(
        "--batch",
        type=_positive,
        default=importer.BATCH,
        metavar="ROWS",
        help=f"rated rows in one transaction (default: {importer.BATCH})",
    )
    command.set_defaults(run=import_cloudkitty)


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise ValueError(text)
    return number


def main(args: Sequence[str] | None = None) -> int:
    """Run the command; 0 is well, 1 is an error that has been explained, 2 wrong usage."""
    return common.run(
        PROG,
        _run,
        description="Bring the database schema up to date, say where it stands, or fill it from "
        "the database of an existing service.",
        cli_options=[cfg.SubCommandOpt("command", handler=_add_commands, title="commands")],
        args=args,
    )


def _run(conf: cfg.ConfigOpts) -> int | None:
    database = Database(conf)
    try:
        code: int | None = conf.command.run(conf, database)
        return code
    finally:
        database.dispose()


if __name__ == "__main__":
    sys.exit(main())
