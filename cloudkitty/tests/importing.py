# SPDX-License-Identifier: Apache-2.0
"""Running an import, for the tests of what it brings over."""

import itertools
import os
import signal
from collections.abc import Callable
from typing import Any, NamedTuple

from oslo_config import cfg

from cloudkitty import period
from cloudkitty.db.engine import Database
from cloudkitty.importer import origins
from cloudkitty.importer import scopes as rules
from cloudkitty.importer.run import Import, Options
from cloudkitty.storage.sqlalchemy import backfill, loader, statements


class Brought(NamedTuple):
    """How an import has ended, and what it said."""

    well: bool
    text: str


def configure(conf: cfg.ConfigOpts) -> None:
    """The configuration of the service that the old one is replaced by."""
    conf.set_override("collector", "csv", "collect")
    conf.set_override("backend", "source", "fetcher")
    conf.set_override("auth_strategy", "noauth")


def bring(
    conf: cfg.ConfigOpts,
    database: Database,
    url: str,
    *,
    zone: str = "UTC",
    batch: int = 50,
    dry_run: bool = False,
) -> Brought:
    """Run the import."""
    origin = origins.opened(url)
    said: list[str] = []
    options = Options(period.zone(zone), batch, dry_run)
    try:
        well = Import(conf, database, origin, options, said.append).run()
    finally:
        origin.dispose()
    return Brought(well, "\n".join(said))


def _die_in(where: str, number: int) -> None:
    """Let this process kill itself: in the transaction of the rules, in the numbered one of the
    history, or right after that."""
    calls = itertools.count(1)

    def die() -> None:
        if next(calls) == number:
            os.kill(os.getpid(), signal.SIGKILL)

    if where == "rules":
        rules.write_tasks = lambda *_arguments: die()  # type: ignore[assignment]
    elif where == "transaction":
        statements.move_version = lambda *_arguments: die()  # type: ignore[assignment]
    else:
        for kind in (loader.History, backfill.Backfill):
            kind.commit = _dying(kind.commit, die)  # type: ignore[attr-defined]


def _dying(commit: Callable[..., None], die: Callable[[], None]) -> Callable[..., None]:
    def dying(*arguments: Any) -> None:
        commit(*arguments)
        die()

    return dying


def killed(conf: cfg.ConfigOpts, database: Database, url: str, where: str, number: int) -> bool:
    """Import in a process of its own that dies on its way; return whether it has."""
    pid = os.fork()
    if not pid:
        try:
            _die_in(where, number)
            bring(conf, database, url, batch=20)
        finally:
            os._exit(1)
    _pid, status = os.waitpid(pid, 0)
    return os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL
