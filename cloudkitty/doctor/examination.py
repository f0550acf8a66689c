# SPDX-License-Identifier: Apache-2.0
"""All checks in their order; what one has found out is what the next ones build on.

Invariants: nothing is written; a check that itself fails is a finding; everything together takes
no longer than ``[orchestrator] collector_request_timeout``.
"""

import datetime
import functools
from collections.abc import Callable, Collection, Iterable
from typing import TypeVar

from oslo_config import cfg

from cloudkitty import period
from cloudkitty.collector import catalogue
from cloudkitty.collector.metrics import MetricsError, MetricsFile
from cloudkitty.config import ConfigurationError
from cloudkitty.dataframe import Registry
from cloudkitty.db import troubles
from cloudkitty.db.collectors import CollectorStore, Notes
from cloudkitty.db.engine import Database, DatabaseErrors
from cloudkitty.db.scopes import ScopeStore
from cloudkitty.doctor import (
    configuration,
    credentials,
    database,
    fetching,
    prices,
    progress,
    rated,
    sources,
    unmatched,
    usage,
)
from cloudkitty.doctor.bounded import Deadline, TookTooLong
from cloudkitty.doctor.finding import Finding, Level, error, many, ok
from cloudkitty.doctor.prices import Module
from cloudkitty.doctor.sources import Source
from cloudkitty.doctor.usage import Sample
from cloudkitty.period import Period
from cloudkitty.processor import build
from cloudkitty.processor.schedule import Schedule
from cloudkitty.rating.base import RatingError, RatingModule
from cloudkitty.rating.pipeline import Broken, Pipeline
from cloudkitty.scope import Scope, ScopeState
from cloudkitty.storage import factory

Result = TypeVar("Result")


def examine(conf: cfg.ConfigOpts, now: datetime.datetime) -> list[Finding]:
    """Return what there is to say about the installation that *conf* describes."""
    found = configuration.check(conf)
    if any(one.level is Level.ERROR for one in found):
        return found
    examination = Examination(conf, now)
    examination.found += found
    examination.run()
    return examination.found


def last_due(schedule: Schedule, now: datetime.datetime) -> Period:
    """Return the last period, counted from 1970, that is due and has ended."""
    instant = now - max(schedule.wait, datetime.timedelta(seconds=schedule.seconds))
    begin = period.epoch(instant) // schedule.seconds * schedule.seconds
    return Period.of(period.from_epoch(begin), schedule.seconds)


class Examination:
    """One run of the checks; ``found`` are the findings so far."""

    def __init__(self, conf: cfg.ConfigOpts, now: datetime.datetime) -> None:
        self.found: list[Finding] = []
        self._conf = conf
        self._now = now
        self._deadline = Deadline(conf.orchestrator.collector_request_timeout)
        self._database: Database | None = None
        self._listed: list[str] | None = None
        self._states: list[ScopeState] = []
        self._samples: list[Sample] = []

    def run(self) -> None:
        conf = self._conf
        self._try("storage", lambda: factory.driver(conf))
        finding, self._database = database.check(conf, self._deadline)
        self.found.append(finding)
        definitions = self._try("metrics file", self._read_definitions)
        planned = self._try("collectors", lambda: self._plan(definitions)) or []
        of_metrics = self._with_credentials(planned)
        fetched = self._try("fetcher", lambda: fetching.check(conf, self._deadline))
        if fetched:
            self.found.append(fetched[0])
            self._listed = fetched[1]
        schedule = self._try("configuration", lambda: Schedule.of(conf))
        if self._database and schedule:
            self._try("scopes", lambda: self._read_states(schedule))
        if definitions and schedule:
            self._try("configuration", lambda: build.skip_filter(conf, definitions))
            self._ask(of_metrics, schedule)
        if definitions and self._database:
            self._try("prices", lambda: self._check_prices(definitions))

    def _read_definitions(self) -> MetricsFile | None:
        try:
            read = catalogue.metrics_file(self._conf)
        except ConfigurationError as failure:
            self.found.append(error("collector", str(failure)))
        except MetricsError as failure:
            self.found += [error("metrics file", problem) for problem in failure.problems]
        else:
            name = self._conf.collect.metrics_conf
            self.found.append(ok("metrics file", f"{name} has {many(len(read), 'metric')}"))
            return read
        return None

    def _plan(self, definitions: MetricsFile | None) -> list[Source]:
        """Return where the metrics come from, as the processor would ask for them."""
        if definitions is None:
            return []
        notes = Notes()
        if self._database:
            notes = self._deadline.call(CollectorStore(self._database).notes)
        obstacles, of_metrics = self._deadline.call(
            lambda: sources.plan(self._conf, definitions, notes)
        )
        self.found += obstacles
        return of_metrics

    def _with_credentials(self, of_metrics: Iterable[Source]) -> list[Source]:
        """Check all credentials, and return the sources whose own are taken: the others would
        refuse one metric after the other."""
        conf, deadline = self._conf, self._deadline
        api = self._try("api", lambda: credentials.check_api(conf, deadline))
        of_source = [(source, f"collector_{source.name}") for source in of_metrics]
        names = [f"fetcher_{conf.fetcher.backend}", *(section for _, section in of_source)]
        found = {
            name: self._try(name, functools.partial(self._check_section, name)) for name in names
        }
        self.found += [one for one in (api, *found.values()) if one]
        refused = {name for name, one in found.items() if one and one.level is Level.ERROR}
        return [source for source, section in of_source if section not in refused]

    def _check_section(self, section: str) -> Finding | None:
        return credentials.check_section(self._conf, section, self._deadline)

    def _read_states(self, schedule: Schedule) -> None:
        conf, store = self._conf, ScopeStore(self._needed())
        self._states = list(self._deadline.call(lambda: store.find({})))
        here = Scope("", conf.collect.scope_key, conf.fetcher.backend, conf.collect.collector)
        noted = self._deadline.call(lambda: troubles.of(self._needed()))
        known = progress.progress(self._states, schedule, self._now, noted)
        self.found += progress.check(known, here, self._listed)

    def _ask(self, of_metrics: Iterable[Source], schedule: Schedule) -> None:
        scopes = self._listed
        if scopes is None:
            active = [state.scope.identifier for state in self._states if state.active]
            scopes = list(dict.fromkeys(active))
        asked = scopes[: schedule.batch_size]
        stretch = last_due(schedule, self._now)
        for source in of_metrics:
            answers = self._try(
                f"source {source.name}",
                functools.partial(sources.ask, self._conf, source, stretch, asked, self._deadline),
            )
            self._samples += answers or []
        self.found += usage.check(self._samples)

    def _check_prices(self, definitions: MetricsFile) -> None:
        pipeline = Pipeline(self._conf, self._needed())
        modules = self._deadline.call(lambda: self._modules(pipeline))
        self.found += prices.check(definitions, modules)
        unpriced = prices.unpriced(prices.attributes(definitions), modules)
        if any(module.enabled and module.problem for module in modules):
            return
        self.found += rated.check(pipeline, self._samples, unpriced, self._deadline)
        self._try("prices", lambda: self._check_ledger(pipeline, unpriced))

    def _check_ledger(self, pipeline: Pipeline, known: Collection[str]) -> None:
        """Look for recent usage that no rule has priced, but for metrics of which that is known."""
        storage = factory.build(self._conf, self._needed(), Registry())
        window = unmatched.window(self._conf.collect.period, self._now)
        found = self._deadline.call(lambda: unmatched.find(storage, pipeline, window))
        self.found += unmatched.check(found, known)

    def _modules(self, pipeline: Pipeline) -> list[Module]:
        states = pipeline.states.read(pipeline.modules)
        return [
            self._module(name, pipeline.modules.get(name), pipeline.enabled(name, state))
            for name, state in sorted(states.items())
        ]

    def _module(self, name: str, module: RatingModule | Broken | None, enabled: bool) -> Module:
        if module is None:
            return Module(name, enabled, problem="it is not installed")
        if isinstance(module, Broken):
            return Module(name, enabled, problem=module.reason)
        try:
            return Module(name, enabled, module.coverage(self._now))
        except RatingError as failure:
            return Module(name, enabled, problem=str(failure))

    def _needed(self) -> Database:
        assert self._database is not None
        return self._database

    def _try(self, subject: str, check: Callable[[], Result]) -> Result | None:
        """Return what *check* returns; what it raises becomes a finding."""
        try:
            return check()
        except (ConfigurationError, cfg.Error, TookTooLong, RatingError) as failure:
            text = str(failure)
        except DatabaseErrors as failure:
            text = f"[database] connection: {str(failure).splitlines()[0]}"
        except Exception as failure:  # noqa: BLE001 - drivers and modules may fail in any way
            text = f"cannot be checked: {type(failure).__name__}: {failure}"
        self.found.append(error(subject, text))
        return None
