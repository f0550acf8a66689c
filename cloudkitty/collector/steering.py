# SPDX-License-Identifier: Apache-2.0
"""Which definitions of the metrics file are collected, as the notes about collectors have it.

Invariants: a service comes from one collector at a time, so that two sources of the same usage
never add up: from the one that it is mapped to, else from the first of the file that is
enabled; a service that nobody may be asked for is an obstacle, never left out.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from cloudkitty.collector.metrics import MetricDefinition, MetricsFile
from cloudkitty.config import ConfigurationError
from cloudkitty.db.collectors import Notes


class Checker(Protocol):
    """Who knows what collectors take; see ``Sources.checked``."""

    def checked(self, name: str, extra_args: Mapping[str, object]) -> Mapping[str, object]: ...


@dataclass(frozen=True, slots=True)
class Plan:
    """What to ask, and for each service that cannot be had why, and what would help. ``blocked``
    are those services."""

    metrics: tuple[MetricDefinition, ...]
    obstacles: tuple[str, ...] = ()
    blocked: tuple[str, ...] = ()


class Steering:
    """Makes plans for one metrics file."""

    def __init__(self, definitions: MetricsFile, checker: Checker) -> None:
        self._checker = checker
        self._services: dict[str, list[MetricDefinition]] = {}
        for definition in definitions:
            self._services.setdefault(definition.service, []).append(definition)

    def plan(self, notes: Notes) -> Plan:
        """Return what to ask while the notes are these."""
        metrics: list[MetricDefinition] = []
        obstacles = {}
        for service, definitions in self._services.items():
            try:
                metrics += self._chosen(service, definitions, notes)
            except ConfigurationError as error:
                obstacles[service] = str(error)
        return Plan(tuple(metrics), tuple(obstacles.values()), tuple(obstacles))

    def _chosen(
        self, service: str, definitions: Sequence[MetricDefinition], notes: Notes
    ) -> list[MetricDefinition]:
        mapped = notes.mappings.get(service)
        if mapped is not None and notes.enabled(mapped):
            own = [one for one in definitions if one.collector == mapped]
            return own or self._moved(service, _of_first(definitions), mapped)
        usable = [one for one in definitions if notes.enabled(one.collector)]
        if not usable:
            raise ConfigurationError(_disabled(service, definitions))
        return _of_first(usable)

    def _moved(
        self, service: str, definitions: Sequence[MetricDefinition], collector: str
    ) -> list[MetricDefinition]:
        """Return the definitions as questions to another collector."""
        try:
            return [
                dataclasses.replace(
                    one,
                    collector=collector,
                    extra_args=self._checker.checked(collector, one.written_args),
                )
                for one in definitions
            ]
        except ConfigurationError as error:
            raise ConfigurationError(
                f"service {service} is mapped to the collector {collector!r}, which cannot be "
                f"asked for it: {error}; define it for that collector in the metrics file, or "
                f"take the mapping away: DELETE /v1/collector/mappings/{service}"
            ) from error


def _of_first(definitions: Sequence[MetricDefinition]) -> list[MetricDefinition]:
    return [one for one in definitions if one.collector == definitions[0].collector]


def _disabled(service: str, definitions: Sequence[MetricDefinition]) -> str:
    names = list(dict.fromkeys(one.collector for one in definitions))
    listed = " and ".join(map(repr, names))
    which = f"collector {listed} is" if len(names) == 1 else f"collectors {listed} are"
    return (
        f"service {service} has no source: the {which} disabled; enable it with "
        f'PUT /v1/collector/states/{names[0]} {{"enabled": true}}, or take the service out of '
        "the metrics file"
    )
