# SPDX-License-Identifier: Apache-2.0
"""``cloudkitty-processor``: rate usage, as a daemon or once."""

import sys

from oslo_config import cfg

from cloudkitty.cli import common
from cloudkitty.fetcher.base import FetchError
from cloudkitty.processor import build, once, service
from cloudkitty.processor.worker import named
from cloudkitty.storage.base import StorageError

PROG = "cloudkitty-processor"

_DESCRIPTION = (
    "Collects usage, rates it and keeps the result. Runs as a daemon with [orchestrator] "
    "max_workers worker processes, until it is told to end (SIGTERM); SIGHUP reads the "
    "configuration again."
)

_OPTIONS = [
    cfg.BoolOpt(
        "once",
        default=False,
        help="Rate all that is due, in this process, and end: exit code 0 when nothing is left "
        "over, 1 when a scope could not be rated up to date.",
    )
]


def main() -> int:
    return common.run(PROG, _process, description=_DESCRIPTION, cli_options=_OPTIONS)


def _process(conf: cfg.ConfigOpts) -> int:
    common.log_notices(conf)
    build.check(conf)
    if conf.once:
        return _once(conf)
    service.run(conf)
    return 0


def _once(conf: cfg.ConfigOpts) -> int:
    processor = build.build(conf)
    try:
        summary = once.rate_all(processor)
    except (FetchError, StorageError) as error:
        print(f"{PROG}: {error}", file=sys.stderr)
        return 1
    finally:
        processor.close()
    print(f"rated {summary.periods} periods of scopes, {summary.points} points")
    if summary.waiting:
        print(f"scopes that wait for late usage, see above: {summary.waiting}")
    if not summary.failed:
        return 0
    print(f"{PROG}: not up to date, see above: {named(summary.failed)}", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
