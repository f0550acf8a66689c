# SPDX-License-Identifier: Apache-2.0
"""``cloudkitty-status``: what is wrong with an installation, and how far its scopes are.

Invariants: nothing is written, nowhere; what is wrong is told in sentences, and the exit code says
how bad it is: 0 fine, 1 warnings, 2 errors. ``upgrade check`` has 255 for what keeps it from
checking at all.
"""

import argparse
import json
import logging
import sys
from collections.abc import Sequence

from oslo_config import cfg

from cloudkitty import config
from cloudkitty.cli import common
from cloudkitty.config import ConfigurationError
from cloudkitty.db import troubles
from cloudkitty.db.engine import Database
from cloudkitty.db.scopes import ScopeStore
from cloudkitty.doctor import configuration, examination, finding, progress, table
from cloudkitty.doctor import database as database_check
from cloudkitty.doctor.bounded import Deadline
from cloudkitty.doctor.finding import Finding
from cloudkitty.processor import build
from cloudkitty.processor.schedule import Schedule

PROG = "cloudkitty-status"

UNEXPECTED = 255

DOCTOR, SCOPES, UPGRADE = "doctor", "scopes", "upgrade"


def main(args: Sequence[str] | None = None) -> int:
    """Run the command; for the exit code see the module."""
    given = list(sys.argv[1:] if args is None else args)
    try:
        conf = config.load(
            given,
            prog=PROG,
            description="Say what is wrong with an installation, and how far its scopes are.",
            cli_options=[cfg.SubCommandOpt("command", handler=_add_commands, title="commands")],
            check=False,
        )
        _be_quiet(conf)
    except (ConfigurationError, cfg.Error, ValueError) as error:
        return _unreadable(given, error)
    except SystemExit as leaving:
        if leaving.code != 1:
            raise  # help, or wrong usage
        return _unreadable(
            given,
            ConfigurationError(
                "an option that the command line has too, such as debug, has a wrong value in a "
                "file; the line on standard error names it"
            ),
        )
    except KeyboardInterrupt:
        return common.INTERRUPTED
    try:
        return int(conf.command.run(conf))
    except KeyboardInterrupt:
        return common.INTERRUPTED


def _unreadable(given: Sequence[str], error: Exception) -> int:
    """There is no configuration; the command is not known but by its word."""
    told = finding.error(configuration.SUBJECT, str(error))
    if DOCTOR in given:
        return _tell([told], everything=False, as_json="--json" in given)
    print(f"{PROG}: {' '.join(str(error).split())}", file=sys.stderr)
    return UNEXPECTED if UPGRADE in given else 1


def _be_quiet(conf: cfg.ConfigOpts) -> None:
    """Keep the log, which belongs to services, out of the findings and the findings out of it."""
    if conf.debug:
        common.set_up_logging(conf)
        return
    root = logging.getLogger()
    # A library that logs while it is imported makes a handler that writes to the terminal.
    for handler in [one for one in root.handlers if _writes_to_terminal(one)]:
        root.removeHandler(handler)
    root.addHandler(logging.NullHandler())


def _writes_to_terminal(handler: logging.Handler) -> bool:
    if not isinstance(handler, logging.StreamHandler):
        return False
    try:
        return handler.stream.fileno() in (1, 2)
    except (OSError, ValueError):
        return False  # a stream that is no file, or closed


def _add_commands(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    command = subparsers.add_parser(UPGRADE, help="say whether services can be upgraded")
    command.add_argument("what", choices=["check"], help="run the checks and print a table")
    command.add_argument("--json", action="store_true", help="print JSON instead of a table")
    command.set_defaults(run=_upgrade_check)

    command = subparsers.add_parser(DOCTOR, help="look for whatever is wrong")
    command.add_argument("--json", action="store_true", help="print JSON")
    command.add_argument(
        "--all", "--verbose", action="store_true", dest="everything", help="show what is fine too"
    )
    command.set_defaults(run=_doctor)

    command = subparsers.add_parser(SCOPES, help="show how far scopes have been rated")
    command.add_argument("--json", action="store_true", help="print JSON instead of a table")
    command.set_defaults(run=_scopes)


def _doctor(conf: cfg.ConfigOpts) -> int:
    found = examination.examine(conf, build.utcnow())
    return _tell(found, everything=conf.command.everything, as_json=conf.command.json)


def _tell(found: Sequence[Finding], *, everything: bool, as_json: bool) -> int:
    if as_json:
        print(json.dumps(finding.as_data(found, everything=everything), indent=2))
    else:
        for one in finding.shown(found, everything=everything):
            print(one)
        print(finding.summary(found))
    return finding.worst(found)


def _scopes(conf: cfg.ConfigOpts) -> int:
    told, database = database_check.check(conf, Deadline(database_check.SECONDS))
    if database is None:
        print(f"{PROG}: {told.text}", file=sys.stderr)
        return 1
    try:
        states = _states(conf, database)
    except (ConfigurationError, cfg.Error, ValueError) as error:
        print(f"{PROG}: {' '.join(str(error).split())}", file=sys.stderr)
        return 1
    if conf.command.json:
        print(json.dumps([one.as_dict() for one in states], indent=2))
    else:
        print("\n".join(table.lines(states)))
    return 0


def _states(conf: cfg.ConfigOpts, database: Database) -> list[progress.Progress]:
    states = ScopeStore(database).find({})
    noted = troubles.of(database)
    database.dispose()
    return progress.progress(states, Schedule.of(conf), build.utcnow(), noted)


def _upgrade_check(conf: cfg.ConfigOpts) -> int:
    # Not imported where it is not needed.
    from oslo_upgradecheck import upgradecheck

    from cloudkitty.doctor.upgrade import Checks

    # Where the library looks for --json.
    upgradecheck.CONF = conf
    conf.command.action_fn = Checks(conf).check
    return int(upgradecheck.run(conf))


if __name__ == "__main__":
    sys.exit(main())
