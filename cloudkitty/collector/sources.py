# SPDX-License-Identifier: Apache-2.0
"""Several sources at once, asked like one: each metric is asked of its own collector.

Invariants: a collector is made once, before it is first asked, and closed with the others.
"""

import contextlib
import threading
from collections.abc import Iterable, Mapping, Sequence

import voluptuous as vol
from oslo_config import cfg

from cloudkitty.collector import schema
from cloudkitty.collector.base import Collector
from cloudkitty.collector.catalogue import Catalogue
from cloudkitty.collector.metrics import MetricDefinition
from cloudkitty.config import ConfigurationError
from cloudkitty.dataframe import Points, Registry
from cloudkitty.period import Period


class Sources(Collector):
    """See the module. Several threads may fetch at the same time."""

    def __init__(self, conf: cfg.ConfigOpts, registry: Registry, catalogue: Catalogue) -> None:
        super().__init__(conf, registry)
        self._catalogue = catalogue
        self._lock = threading.Lock()
        self._made: dict[str, Collector] = {}

    def make(self, names: Iterable[str]) -> None:
        """Make these collectors, or none.

        :raises ConfigurationError: one of them does not exist, or cannot work as configured.
        """
        try:
            for name in names:
                self.named(name)
        except ConfigurationError:
            self.close()
            raise

    def named(self, name: str) -> Collector:
        """Return the collector with this name, made when it is asked for first.

        :raises ConfigurationError: it does not exist, or cannot work as configured.
        """
        with self._lock:
            if name not in self._made:
                self._made[name] = self._new(name)
            return self._made[name]

    def _new(self, name: str) -> Collector:
        if name not in self._catalogue.names():
            message = schema.unknown(name, self._catalogue.names(), "collector")
            raise ConfigurationError(message)
        collector_class = self._catalogue.load(name)
        try:
            return collector_class(self.conf, self.registry)
        except ConfigurationError:
            raise
        except Exception as error:
            raise ConfigurationError(
                f"collector {name!r} cannot be used: {type(error).__name__}: {error}"
            ) from error

    def checked(self, name: str, extra_args: Mapping[str, object]) -> Mapping[str, object]:
        """Return the ``extra_args`` of a definition as the collector *name* has them.

        :raises ConfigurationError: it does not exist, or does not take these.
        """
        self.named(name)
        try:
            return dict(self._catalogue[name](extra_args))
        except vol.Invalid as error:
            raise ConfigurationError("; ".join(schema.problems(error, "extra_args"))) from error

    def fetch(
        self, metric: MetricDefinition, period: Period, scopes: Sequence[str]
    ) -> Mapping[str, Points]:
        return self.named(metric.collector).fetch(metric, period, scopes)

    def close(self) -> None:
        with self._lock, contextlib.ExitStack() as stack:
            while self._made:
                stack.callback(self._made.popitem()[1].close)
