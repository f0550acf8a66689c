# SPDX-License-Identifier: Apache-2.0
"""``cloudkitty-storage``: turn points of the past into totals by day and month.

Invariant: what has been purged stays purged when the command is ended, and nothing else has
changed; it may be repeated, and run while the services do.
"""

import argparse
import datetime
import sys
from collections.abc import Sequence

from oslo_config import cfg
from tqdm import tqdm

from cloudkitty import period
from cloudkitty.cli import common
from cloudkitty.config import ConfigurationError
from cloudkitty.dataframe import Registry
from cloudkitty.db import migration
from cloudkitty.db.engine import Database
from cloudkitty.db.scopes import ScopeStore
from cloudkitty.db.tasks import TaskStore
from cloudkitty.storage import factory, upkeep
from cloudkitty.storage.base import Storage, StorageError

PROG = "cloudkitty-storage"


def _instant(written: str) -> datetime.datetime:
    try:
        return period.parse(written)
    except period.NotAnInstant as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _add_commands(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    command = subparsers.add_parser("purge", help="turn points of past months into totals")
    command.add_argument(
        "--before",
        type=_instant,
        required=True,
        metavar="INSTANT",
        help="purge the months that ended by then, such as 2026-01-01",
    )
    command.add_argument(
        "--scope", action="append", metavar="ID", help="purge this scope only; may be repeated"
    )
    command.add_argument(
        "--dry-run", action="store_true", help="only say what would be purged of which scope"
    )


def main(args: Sequence[str] | None = None) -> int:
    """Run the command; 0 is well, 1 is an error that has been explained, 2 wrong usage."""
    return common.run(
        PROG,
        _run,
        description="Look after what the storage keeps.",
        cli_options=[cfg.SubCommandOpt("command", handler=_add_commands, title="commands")],
        args=args,
    )


def _run(conf: cfg.ConfigOpts) -> int:
    database = Database(conf)
    try:
        migration.require_head(database)
        storage = factory.build(conf, database, Registry())
        _check_scopes(conf.command.scope, ScopeStore(database), storage)
        return _purge(conf, storage, TaskStore(database))
    except StorageError as error:
        print(f"{PROG}: {error}", file=sys.stderr)
        return 1
    finally:
        database.dispose()


def _check_scopes(wanted: Sequence[str] | None, scopes: ScopeStore, storage: Storage) -> None:
    """Make sure that each of these is rated, or keeps something that was posted.

    :raises ConfigurationError: one does not.
    """
    if wanted:
        known = {state.scope.identifier for state in scopes.find({"identifier": wanted})}
        kept = storage.purgeable(datetime.datetime.max.replace(tzinfo=period.UTC), wanted)
        missing = sorted(set(wanted) - known - kept.keys())
        if missing:
            raise ConfigurationError(f"--scope: there is no scope {', '.join(missing)}")


def _purge(conf: cfg.ConfigOpts, storage: Storage, tasks: TaskStore) -> int:
    options = conf.command
    before = upkeep.boundary(options.before, datetime.datetime.now(period.UTC), conf)
    waiting = storage.purgeable(before, options.scope)
    shown = before.astimezone(upkeep.zone_of(conf)).isoformat()
    if options.dry_run:
        for scope, rows in sorted(waiting.items()):
            print(f"{scope}: {rows} rows")
        print(
            f"{len(waiting)} scopes keep points before {shown}, in {sum(waiting.values())} rows; "
            "nothing has been purged"
        )
        return 0
    spare = upkeep.spared(tasks, before)
    steps = upkeep.gently(storage.purge(before, upkeep.zone_of(conf), options.scope, spare))
    scopes: set[int] = set()
    points = rows = series = 0
    with tqdm(unit=" points", file=sys.stderr, disable=not sys.stderr.isatty()) as bar:
        for removed in steps:
            scopes |= removed.scopes
            points += removed.points
            rows += removed.rows
            series += removed.series
            bar.update(removed.points)
    print(
        f"{points} points of {len(scopes)} scopes before {shown} have become totals: {rows} rows "
        f"are gone or cut, and {series} series gone"
    )
    if spare:
        print(f"scopes with unfinished tasks of reprocessing, which stay as they are: {len(spare)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
