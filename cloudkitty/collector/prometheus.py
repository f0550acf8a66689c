# SPDX-License-Identifier: Apache-2.0
"""Collects usage from a Prometheus.

Invariants: the number of requests for a period grows with metrics, not with scopes or resources;
a sample counts in the period in which it was taken, and in no other; a resource whose metadata
change in a period is one resource, split at the change.
"""

import logging
from collections.abc import Mapping, Sequence
from typing import Any

import voluptuous as vol
from oslo_config import cfg

from cloudkitty.collector import promql, schema
from cloudkitty.collector.base import CollectError, Collector, SourceUnavailable
from cloudkitty.collector.metrics import MetricDefinition
from cloudkitty.collector.prometheus_asker import Asker
from cloudkitty.collector.prometheus_usage import WHOLE, Reading
from cloudkitty.dataframe import Points, Registry
from cloudkitty.period import Period
from cloudkitty.source import prometheus
from cloudkitty.source.errors import SourceError
from cloudkitty.source.prometheus import Prometheus

LOG = logging.getLogger(__name__)

TOGETHER = "together"


def _query_text(value: object) -> str:
    """A text, which may be empty."""
    return "" if value == "" else schema.text(value)


def _function_of(names: Sequence[str]) -> schema.Validator:
    """Return a validator of the name of a function, or of nothing."""
    check = schema.one_of(names)
    return lambda value: None if value is None else check(value)


def _label_map(value: object) -> dict[str, str]:
    """A map of attribute to label."""
    return {name: schema.text(label) for name, label in schema.mapping(value).items()}


_EXTRA_ARGS = schema.record(
    {
        vol.Optional("aggregation_method", default="max"): schema.one_of(promql.AGGREGATIONS),
        vol.Optional("query_function", default=None): _function_of(promql.ELEMENT_FUNCTIONS),
        vol.Optional("range_function", default=None): _function_of(promql.RANGE_FUNCTIONS),
        vol.Optional("query_prefix", default=""): _query_text,
        vol.Optional("query_suffix", default=""): _query_text,
        vol.Optional("labels", default={}): _label_map,
        vol.Optional("rounding", default=WHOLE): schema.one_of([WHOLE, "none"]),
        vol.Optional("interval", default=300): schema.positive,
        vol.Optional("lookback"): schema.positive,
        vol.Optional("scopes"): schema.one_of([TOGETHER, "one_by_one"]),
    }
)


class PrometheusCollector(Collector):
    """See the module. Several threads may fetch at the same time."""

    def __init__(self, conf: cfg.ConfigOpts, registry: Registry) -> None:
        super().__init__(conf, registry)
        self._asker = Asker(self.connected(conf))
        self._asked_alone: set[MetricDefinition] = set()

    @staticmethod
    def connected(conf: cfg.ConfigOpts) -> Prometheus:
        """Return the server to ask.

        :raises ConfigurationError: the configuration does not lead to one.
        """
        return prometheus.by_url(conf, "collector_prometheus")

    @classmethod
    def check_extra_args(cls, extra_args: Mapping[str, object]) -> Mapping[str, object]:
        """What the query is made of, and how its answer becomes the quantity of a period."""
        checked: Mapping[str, Any] = _EXTRA_ARGS(extra_args)
        is_level = promql.is_level(checked)
        is_exact = checked["range_function"] == promql.EXACT_INCREASE
        levels = f"aggregation_method {', '.join(promql.LEVELS)} without range_function"
        effects = {
            "rounding": (is_level, levels),
            "interval": (is_level or is_exact, f"{levels}, and range_function: exact_increase"),
            "lookback": (is_exact, "range_function: exact_increase"),
        }
        errors = [
            vol.Invalid(f"has an effect only with {what}", path=[name])
            for name, (has_effect, what) in effects.items()
            if name in extra_args and not has_effect
        ]
        if errors:
            raise vol.MultipleInvalid(errors)
        return checked

    def fetch(
        self, metric: MetricDefinition, period: Period, scopes: Sequence[str]
    ) -> Mapping[str, Points]:
        """Ask once for all scopes, or for one after the other where the query would have another
        meaning, or loses the label of the scope."""
        if not scopes:
            return {}
        if len(scopes) == 1 or not self._is_asked_alone(metric):
            found = self._fetched(metric, period, scopes)
            if found is not None:
                return found
            LOG.info(
                "metric %s: the query loses the label of the scope; asking for one scope at a time",
                metric.name,
            )
            self._asked_alone.add(metric)
        return super().fetch(metric, period, scopes)

    def fetch_scope(self, metric: MetricDefinition, period: Period, scope: str) -> Points:
        found = self._fetched(metric, period, [scope]) or {}
        return found.get(scope, Points())

    def close(self) -> None:
        self._asker.close()

    def _is_asked_alone(self, metric: MetricDefinition) -> bool:
        told = metric.extra_args.get("scopes")
        if told != TOGETHER and (told or not promql.is_elementwise(metric.extra_args)):
            return True
        return metric in self._asked_alone

    def _fetched(
        self, metric: MetricDefinition, period: Period, scopes: Sequence[str]
    ) -> Mapping[str, Points] | None:
        """The points of the scopes, ``None`` when the answer does not say whose they are."""
        try:
            reading = Reading(metric, scopes, self.scope_key, self.registry)
            return reading.points(self._asker, period)
        except SourceError as error:
            if prometheus.is_overloaded(error):
                raise CollectError(str(error)) from error
            raise SourceUnavailable(str(error)) from error
