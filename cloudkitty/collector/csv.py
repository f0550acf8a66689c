# SPDX-License-Identifier: Apache-2.0
"""Collects usage from CSV files.

A row says that a series held (``kind: level``) or used (``kind: amount``) a quantity during
``[begin, end)``, which may be shorter or longer than a period: a month of a steady instance is
one row. Invariants: the files are read once, in the order of time, for all metrics and scopes of
all periods of a catch-up; memory grows with what overlaps one period, not with the files.
"""

import threading
from collections.abc import Mapping, Sequence

import voluptuous as vol
from oslo_config import cfg

from cloudkitty import period as calendar
from cloudkitty.collector import schema
from cloudkitty.collector.base import CollectError, Collector, SourceUnavailable
from cloudkitty.collector.csv_rows import AMOUNT, LEVEL, Plan
from cloudkitty.collector.csv_window import Window
from cloudkitty.collector.metrics import MetricDefinition
from cloudkitty.config import ConfigurationError
from cloudkitty.dataframe import Points, Registry
from cloudkitty.period import Period
from cloudkitty.usagefile import UsageFileError, fingerprint

_OPTION = "[collector_csv] file"

_MOST_WINDOWS = 4
"""Groups of scopes that stand at different periods move through the files independently."""

_EXTRA_ARGS = schema.record({vol.Optional("kind", default=LEVEL): schema.one_of([LEVEL, AMOUNT])})


class CsvCollector(Collector):
    """See the module. Several threads may fetch at the same time."""

    def __init__(self, conf: cfg.ConfigOpts, registry: Registry) -> None:
        super().__init__(conf, registry)
        self._paths: list[str] = conf.collector_csv.file
        if not self._paths:
            raise ConfigurationError(f"{_OPTION}: the collector 'csv' needs at least one file")
        self._lock = threading.Lock()
        self._windows: list[Window] = []
        self._plans: dict[tuple[MetricDefinition, int], Plan] = {}

    @classmethod
    def check_extra_args(cls, extra_args: Mapping[str, object]) -> Mapping[str, object]:
        """``kind``: ``level`` (the quantity of a period is the mean over the period) or
        ``amount`` (the quantity is spread evenly over the stretch of its row)."""
        checked: Mapping[str, object] = _EXTRA_ARGS(extra_args)
        return checked

    def fetch(
        self, metric: MetricDefinition, period: Period, scopes: Sequence[str]
    ) -> Mapping[str, Points]:
        with self._lock:
            window = self._window(period)
            try:
                return self._points(window, metric, period, scopes)
            except UsageFileError as error:
                raise CollectError(f"{_OPTION}: {error}") from error

    def close(self) -> None:
        with self._lock:
            while self._windows:
                self._windows.pop().close()

    def _points(
        self, window: Window, metric: MetricDefinition, period: Period, scopes: Sequence[str]
    ) -> dict[str, Points]:
        plan = self._plan(metric, period.seconds)
        begin = calendar.epoch(period.begin)
        buckets = window.buckets(metric.name)
        answers = {
            scope: buckets[scope].points(plan, begin) for scope in scopes if scope in buckets
        }
        return {scope: points for scope, points in answers.items() if points}

    def _plan(self, metric: MetricDefinition, seconds: int) -> Plan:
        key = (metric, seconds)
        if key not in self._plans:
            self._plans[key] = Plan(metric, seconds, self.registry)
        return self._plans[key]

    def _window(self, period: Period) -> Window:
        """The window nearest before the period, moved to it; one that has met a wrong row is not
        used again.

        :raises SourceUnavailable: a file is wrong for whatever scope.
        """
        begin = calendar.epoch(period.begin)
        try:
            window = self._nearest(begin)
            try:
                window.move(begin, begin + period.seconds)
            except UsageFileError:
                window.close()
                raise
        except UsageFileError as error:
            raise SourceUnavailable(f"{_OPTION}: {error}") from error
        self._windows.append(window)
        if len(self._windows) > _MOST_WINDOWS:
            self._windows.pop(0).close()
        return window

    def _nearest(self, begin: int) -> Window:
        """Take the window nearest before *begin* out of the list, or open a new one; windows on
        files that have changed since are closed."""
        now = fingerprint(self._paths)
        stale = [window for window in self._windows if window.fingerprint != now]
        self._windows = [window for window in self._windows if window.fingerprint == now]
        for window in stale:
            window.close()
        usable = [window for window in self._windows if window.begin <= begin]
        if not usable:
            return Window(self._paths, self.scope_key, begin)
        nearest = max(usable, key=lambda window: window.begin)
        self._windows.remove(nearest)
        return nearest
