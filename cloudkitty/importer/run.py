# SPDX-License-Identifier: Apache-2.0
"""From the old service's database to this one: look, bring over, compare.

Invariants: whatever instant it is killed at, the next run goes on there; a run over what has been
brought over changes nothing and compares again.
"""

import datetime
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TextIO

from oslo_config import cfg
from oslo_db.exception import DBDuplicateEntry
from tqdm import tqdm

from cloudkitty.config import ConfigurationError
from cloudkitty.dataframe import Registry
from cloudkitty.db.engine import Database
from cloudkitty.importer import contents as whole
from cloudkitty.importer import report, scopes, target, windows
from cloudkitty.importer.contents import Contents
from cloudkitty.importer.history import Importer
from cloudkitty.importer.origin import Origin
from cloudkitty.importer.rated import MARKER
from cloudkitty.importer.reconcile import Line, Reconciler, Verdict
from cloudkitty.importer.scopes import Identity
from cloudkitty.importer.target import TargetError
from cloudkitty.importer.usage import RatedUsage
from cloudkitty.importer.windows import Windows
from cloudkitty.scope import Scope
from cloudkitty.storage import factory
from cloudkitty.storage.sqlalchemy.driver import SqlAlchemyStorage
from cloudkitty.storage.sqlalchemy.loader import Loader

BATCH = 100_000
"""Rated rows in one transaction."""

Say = Callable[[str], object]


@dataclass(frozen=True, slots=True)
class Options:
    """What the operator asks for; ``zone`` is that of the old server."""

    zone: datetime.tzinfo
    batch: int = BATCH
    dry_run: bool = False


class Import:
    """One run of the import; ``say`` is told every line for people, and *stream* shows progress if
    it is a terminal."""

    def __init__(
        self,
        conf: cfg.ConfigOpts,
        database: Database,
        origin: Origin,
        options: Options,
        say: Say = print,
        stream: TextIO = sys.stderr,
    ) -> None:
        self._conf = conf
        self._database = database
        self._origin = origin
        self._options = options
        self._say = say
        self._stream = stream
        self._identity = Identity(
            scope_key=conf.collect.scope_key,
            fetcher=conf.fetcher.backend,
            collector=conf.collect.collector,
            seconds=conf.collect.period,
        )
        self._settings = origin.settings(self._identity, options.zone)

    def run(self) -> bool:
        """Bring everything over, or say what would be; return whether all is as it should be.

        :raises ConfigurationError: source or target are not what they have to be.
        :raises StorageError: the ledger cannot be read or written.
        """
        if not issubclass(factory.driver(self._conf), SqlAlchemyStorage):
            raise ConfigurationError(
                f"[storage] backend: is {self._conf.storage.backend}; what was rated elsewhere is "
                f"brought over into {factory.LEDGER}"
            )
        target.check_other(self._database, self._origin)
        remarks = self._origin.check(self._identity)
        begun = target.state(self._database, self._origin, self._settings)
        usage = self._origin.usage()
        if usage is not None:
            self._check_period(usage)
        contents = self._read(usage)
        if begun is None:
            with self._database.reader() as connection:
                target.refuse_overlap(connection, contents.scopes)
        self._describe(remarks, contents)
        if self._options.dry_run:
            self._say("")
            self._say("Nothing has been written (--dry-run).")
            return True
        if begun is None:
            self._begin(contents)
        else:
            self._say("")
            what = "rules and scopes" if self._origin.brings_rules else "scopes"
            self._say(
                f"This import was begun on {begun.begun_at:%Y-%m-%d %H:%M:%S} UTC; {what} are here "
                "already."
            )
        lost = 0
        if begun is None or begun.finished_at is None:
            if usage is not None:
                lost = self._bring_history(usage, contents)
            self._finish(contents)
        return (usage is None or self._reconcile(usage, contents)) and not lost

    def _read(self, usage: RatedUsage | None) -> Contents:
        with self._database.reader() as connection:
            here = scopes.read_here(connection, self._identity.seconds)
        return self._origin.contents(usage, self._identity, self._options.zone, here)

    def _check_period(self, usage: RatedUsage) -> None:
        with usage.reading() as connection:
            seconds = usage.period(connection)
        if seconds is not None and seconds != self._identity.seconds:
            raise ConfigurationError(
                f"[collect] period: is {self._identity.seconds}, and the newest rated row lasts "
                f"{seconds} seconds; set it to the old service's period"
            )

    def _describe(self, remarks: Sequence[str], contents: Contents) -> None:
        say = self._say
        say(f"From {self._origin.name}")
        for remark in remarks:
            say(f"  {remark}")
        if self._origin.brings_rules:
            say(
                f"Dates of rules there are read as local time of {self._options.zone} "
                "(--time-zone), all others as UTC."
            )
        say("")
        rows = [("", "there"), *((name, str(number)) for name, number in contents.counts())]
        for line in report.table(rows, [1]):
            say(line)
        lines = contents.notes.lines()
        if lines:
            say("")
            say("Worth knowing:")
        for line in lines:
            say(f"- {line}")

    def _begin(self, contents: Contents) -> None:
        now = _now()
        try:
            with self._database.writer() as connection:
                target.begin(connection, self._origin, self._settings, now)
                target.refuse_overlap(connection, contents.scopes)
                here = scopes.keys(connection)
                windows.note(connection, self._origin.record, contents.scopes, here)
                whole.write(connection, contents, self._identity, now)
        except DBDuplicateEntry as error:
            raise TargetError(
                "[database] connection: something else has been written to this database since "
                f"the import was started: {str(error).splitlines()[0]}"
            ) from error

    def _bring_history(self, usage: RatedUsage, contents: Contents) -> int:
        """Return how many rows stand for no point."""
        importer = Importer(
            usage,
            Loader(self._database),
            Windows(self._database, self._origin.record),
            self._options.batch,
        )
        keys = self._keys(contents)
        with self._bar(contents.rows, " rows") as bar:
            for old in contents.scopes:
                if old.extent is not None:
                    importer.bring(old, keys[old.scope], self._identity.seconds, bar.update)
        for reason, number in importer.unusable.items():
            self._say(f"- {number} rated rows cannot be kept: {reason}")
        return importer.unusable.total()

    def _keys(self, contents: Contents) -> Mapping[Scope, int]:
        """Return the keys of the scopes; those that the old service has got since the import was
        begun are added."""
        with self._database.writer() as connection:
            known = scopes.keys(connection)
            missing = [old for old in contents.scopes if old.scope not in known]
            if not missing:
                return known
            scopes.write(connection, missing, self._identity.seconds, _now())
            return scopes.keys(connection)

    def _finish(self, contents: Contents) -> None:
        with self._database.writer() as connection:
            scopes.activate(connection, contents.scopes)
            target.finish(connection, self._origin, _now())
        self._say("")
        self._say("All has been brought over.")

    def _reconcile(self, usage: RatedUsage, contents: Contents) -> bool:
        reconciler = Reconciler(usage, factory.build(self._conf, self._database, Registry()))
        owners = [old for old in contents.scopes if old.extent is not None]
        lines: list[Line] = []
        with self._bar(len(owners), " scopes compared") as bar:
            for old in owners:
                with usage.reading() as connection:
                    lines += reconciler.lines(connection, old)
                bar.update()
        self._say("")
        left_out = f" (rows of {MARKER} are no usage and left out)"
        self._say(f"What is there and what is here{left_out if self._origin.brings_rules else ''}:")
        self._say("")
        for text in report.reconciliation(lines):
            self._say(text)
        wrong = sum(line.verdict is Verdict.DIFFERENT for line in lines)
        self._say("")
        if wrong:
            self._say(f"{wrong} lines are different, and nothing explains it.")
        elif any(line.verdict is Verdict.MERGED for line in lines):
            self._say("All lines are equal, but for what is explained above.")
        else:
            self._say("All lines are equal.")
        return not wrong

    def _bar(self, total: int, unit: str) -> "tqdm[None]":
        return tqdm(total=total, unit=unit, file=self._stream, disable=not self._stream.isatty())


def _now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC)
