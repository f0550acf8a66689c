# SPDX-License-Identifier: Apache-2.0
"""Where the numbers of a service are counted, and how they are shown to Prometheus.

Invariants: processes that share a directory are shown as one; no number of theirs has the id of a
scope, project or user as a label. These are binary floating point numbers, and never money.
"""

import os
import pathlib
from collections.abc import Iterable
from typing import Any

import prometheus_client
from prometheus_client import values
from prometheus_client.core import Metric
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

from cloudkitty.config import ConfigurationError

CONTENT_TYPE = prometheus_client.CONTENT_TYPE_LATEST

_VARIABLE = "PROMETHEUS_MULTIPROC_DIR"


class Exposition:
    """Numbers of this process, or of all that share a *directory*.

    Metrics are made with ``registry``. What is read from elsewhere at the time of asking is a
    collector of ``shown``.
    """

    def __init__(self, directory: pathlib.Path | None = None) -> None:
        self.registry = prometheus_client.CollectorRegistry()
        self._directory = directory
        self._asked: list[Collector] = []

    @classmethod
    def shared(cls, directory: pathlib.Path) -> "Exposition":
        """Share the numbers with other processes by files in *directory*.

        The library keeps its way of counting as a global, so a process shares one directory.

        :raises ConfigurationError: the directory cannot be used.
        """
        try:
            directory.mkdir(parents=True, exist_ok=True)
            usable = os.access(directory, os.W_OK | os.X_OK)
        except OSError as error:
            raise ConfigurationError(f"[DEFAULT] state_path: {directory}: {error}") from error
        if not usable:
            raise ConfigurationError(f"[DEFAULT] state_path: {directory} cannot be written to")
        os.environ[_VARIABLE] = str(directory)
        # The library has looked at the variable when it was imported.
        values.ValueClass = values.get_value_class()  # type: ignore[misc,no-untyped-call]
        return cls(directory)

    def begin_anew(self) -> None:
        """Forget what processes of earlier runs have counted; those of this one must not have
        begun."""
        if self._directory is not None:
            for path in self._directory.glob("*.db"):
                path.unlink(missing_ok=True)

    def ask(self, collector: Collector) -> None:
        """Show what *collector* says when somebody asks, too."""
        self._asked.append(collector)

    def text(self) -> bytes:
        """Return all numbers as Prometheus reads them."""
        registry: Any = self.registry
        if self._directory is not None:
            registry = prometheus_client.CollectorRegistry()
            registry.register(_Files(self._directory))
        parts = [prometheus_client.generate_latest(registry)]
        for collector in self._asked:
            one = prometheus_client.CollectorRegistry()
            one.register(collector)
            parts.append(prometheus_client.generate_latest(one))
        return b"".join(parts)


class _Files(Collector):
    """What all processes have counted, as the library reads it from their files."""

    def __init__(self, directory: pathlib.Path) -> None:
        self._directory = directory

    def collect(self) -> Iterable[Metric]:
        # A process that is just starting has made a file, and its first bytes are not there yet:
        # the library takes that for a broken one.
        begun = [str(path) for path in self._directory.glob("*.db") if path.stat().st_size]
        found: Iterable[Metric] = MultiProcessCollector.merge(begun)  # type: ignore[no-untyped-call]
        return found
