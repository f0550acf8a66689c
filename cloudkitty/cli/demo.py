# SPDX-License-Identifier: Apache-2.0
"""``cloudkitty-demo``: rate a month of a small cloud, print the bill, and serve it."""

import argparse
import contextlib
import pathlib
import signal
import sys
import time
from collections.abc import Sequence

from oslo_config import cfg

from cloudkitty import config, money
from cloudkitty.collector.metrics import MetricsError
from cloudkitty.db.engine import DatabaseErrors
from cloudkitty.db.migration import SchemaError
from cloudkitty.demo import bill, month, server
from cloudkitty.demo.directory import DirectoryError, StateDirectory
from cloudkitty.fetcher.base import FetchError
from cloudkitty.period import Period
from cloudkitty.storage.base import StorageError

DEFAULT_PORT = 8889

_ENDS = (signal.SIGTERM, signal.SIGHUP)

_EXPLAINED = (
    config.ConfigurationError,
    DirectoryError,
    FetchError,
    MetricsError,
    SchemaError,
    StorageError,
    month.MonthNotRated,
    server.ServerError,
    *DatabaseErrors,
)

_TRY = """\
Three questions to ask it, in another terminal:

  curl -s '{url}/v1/report/total?all_tenants=true&{window}'
  curl -s '{url}/v1/report/summary?all_tenants=true&groupby=tenant_id,res_type&{window}'
  curl -s '{url}/v1/rating/module_config/hashmap/services'
"""


def main(args: Sequence[str] | None = None) -> int:
    """Run the command; 0 is well, 1 is an error that has been explained, 2 wrong usage."""
    arguments = _parser().parse_args(args)
    # Whatever ends the demo ends the API that it has started.
    before = {number: signal.signal(number, _interrupt) for number in _ENDS}
    try:
        return _run(arguments)
    except KeyboardInterrupt:
        return 130
    except _EXPLAINED as error:
        print(f"cloudkitty-demo: {error}", file=sys.stderr)
        return 1
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="cloudkitty-demo",
        description="Rate a month of a small cloud, print the bill, and serve it on this machine.",
    )
    parser.add_argument(
        "--state-dir",
        type=pathlib.Path,
        default=pathlib.Path("demo-state"),
        help="directory for configuration and database; new or empty, or that of an earlier demo "
        "(default: ./demo-state)",
    )
    parser.add_argument(
        "--no-serve", action="store_true", help="end after the bill instead of serving it"
    )
    parser.add_argument(
        "--port",
        type=_port,
        help=f"port of the API (default: {DEFAULT_PORT}; with --no-serve, any free one)",
    )
    return parser


def _port(written: str) -> int:
    port = int(written)
    if not 0 < port < 65536:
        raise argparse.ArgumentTypeError(f"{written} is no port; it is from 1 to 65535")
    return port


def _interrupt(_signal: int, _frame: object) -> None:
    raise KeyboardInterrupt


def _run(arguments: argparse.Namespace) -> int:
    state = StateDirectory(arguments.state_dir)
    begin = month.MONTH.begin.strftime(server.TIME_FORM)
    finished = state.open(begin, arguments.port or DEFAULT_PORT)
    conf = config.load([], prog="cloudkitty-demo", config_files=[str(state.conf_file)])
    if finished:
        print(f"Rated before in {state.path}; nothing is changed.\n")
    else:
        _rate(conf, state)
    found = month.read_bill(conf)
    text = bill.render(found)
    if not finished:
        state.finish(text)
    print(text, flush=True)
    port = arguments.port or (server.free_port() if arguments.no_serve else DEFAULT_PORT)
    return _serve(state, found, port, arguments.no_serve)


def _rate(conf: cfg.ConfigOpts, state: StateDirectory) -> None:
    started = time.monotonic()
    print(f"Made {state.path} with a configuration, metrics and usage.")
    rules = month.prepare(conf)
    print(f"Made the database, entered {rules} price rules, enabled hashmap.")
    summary = month.rate(conf)
    print(
        f"Rated {summary.points:,} points in {summary.periods:,} project-hours, "
        f"{time.monotonic() - started:.1f} s in all.\n"
    )


def _serve(state: StateDirectory, found: bill.Bill, port: int, at_once: bool) -> int:
    with server.serve(state.conf_file, port, state.api_log) as api:
        answer = api.total(found.period)
        print(f"The API says          {money.text(answer)} {bill.CURRENCY}.")
        if answer != found.total:
            raise server.ServerError(f"{api.url} does not answer what the ledger holds")
        if at_once:
            return 0
        print(f"\nThe API runs at {api.url}; Ctrl-C ends it.")
        print(proposal(api.url, found.period), flush=True)
        with contextlib.suppress(KeyboardInterrupt):
            api.wait()
            raise server.ServerError(f"cloudkitty-api has ended; see {state.api_log}")
    print("The API has ended.")
    return 0


def proposal(url: str, period: Period) -> str:
    """Return three questions to ask the API at *url* about *period*."""
    window = f"begin={period.begin.date()}&end={period.end.date()}"
    return _TRY.format(url=url, window=window)


if __name__ == "__main__":
    sys.exit(main())
