# SPDX-License-Identifier: Apache-2.0
"""Collects usage from the metering API, version 2 (Ceilometer).

Invariants: the number of requests for a period grows with metrics, not with scopes or
resources; attributes are those that the resource had in the period; a sample counts in the
period in which it was taken, and in no other.
"""

import datetime
import logging
from collections.abc import Container, Iterable, Mapping, Sequence
from decimal import Decimal
from fractions import Fraction
from typing import Any

import voluptuous as vol
from oslo_config import cfg

from cloudkitty import money
from cloudkitty.collector import ceilometer_usage as usage
from cloudkitty.collector import schema
from cloudkitty.collector.base import Collector, SourceUnavailable
from cloudkitty.collector.ceilometer_client import GROUP, CeilometerClient, Item, Only
from cloudkitty.collector.ceilometer_usage import AGGREGATION_METHODS, TIME_MEAN, Usage
from cloudkitty.collector.metrics import MetricDefinition
from cloudkitty.collector.recent import Recent
from cloudkitty.config import ConfigurationError
from cloudkitty.dataframe import Points, Registry, Series
from cloudkitty.period import Period
from cloudkitty.source import http
from cloudkitty.source.errors import SourceError

LOG = logging.getLogger(__name__)

GAUGE = "gauge"
PRESENCE = "presence"
DELTA = "delta"
CUMULATIVE = "cumulative"

SCOPE_KEYS = ("project_id", "user_id")

_KINDS = {
    "aggregation_method": (GAUGE,),
    "interval": (GAUGE, PRESENCE),
    "rounding": (PRESENCE,),
    "lookback": (CUMULATIVE,),
}
"""For which kinds of meter an argument has an effect."""

_EXTRA_ARGS = schema.record(
    {
        vol.Optional("kind"): schema.one_of([GAUGE, PRESENCE, DELTA, CUMULATIVE]),
        vol.Optional("aggregation_method", default=TIME_MEAN): schema.one_of(AGGREGATION_METHODS),
        vol.Optional("interval", default=600): schema.positive,
        vol.Optional("rounding", default="none"): schema.one_of(["none", "whole"]),
        vol.Optional("lookback"): schema.positive,
    }
)


class CeilometerCollector(Collector):
    """See the module. Several threads may fetch at the same time."""

    def __init__(self, conf: cfg.ConfigOpts, registry: Registry) -> None:
        super().__init__(conf, registry)
        if self.scope_key not in SCOPE_KEYS:
            raise ConfigurationError(
                f"[collect] scope_key: the collector 'ceilometer' knows {' and '.join(SCOPE_KEYS)}"
                f", not {self.scope_key!r}"
            )
        self._client = CeilometerClient(conf)
        self._recent = Recent()
        self._types: dict[str, str] = {}

    @classmethod
    def check_extra_args(cls, extra_args: Mapping[str, object]) -> Mapping[str, object]:
        """``kind`` of meter (by default what the API says), and for a gauge or for presence how
        samples become the quantity of a period."""
        checked: Mapping[str, object] = _EXTRA_ARGS(extra_args)
        kind = checked.get("kind")
        errors = [
            vol.Invalid(f"has no effect with kind: {kind}", path=[name])
            for name, kinds in _KINDS.items()
            if name in extra_args and kind is not None and kind not in kinds
        ]
        if errors:
            raise vol.MultipleInvalid(errors)
        return checked

    def fetch(
        self, metric: MetricDefinition, period: Period, scopes: Sequence[str]
    ) -> Mapping[str, Points]:
        only = Only(self.scope_key, scopes[0]) if len(scopes) == 1 else None
        try:
            kind = metric.extra_args.get("kind") or self._type(metric.name)
            if kind is None:
                return {}
            if kind == CUMULATIVE:
                found = self._grown(metric, period, only)
            else:
                found = self._measured(metric, period, only, kind)
            return self._points(metric, found, set(scopes), only)
        except SourceError as error:
            # Questions are about all scopes: no error would go away with fewer of them.
            raise SourceUnavailable(str(error)) from error
        except _NotWhole as error:
            self._recent.forget()
            raise SourceUnavailable(
                f"the metering API has samples of resource {error} in {period}, and does not list "
                "the resource"
            ) from error
        except http.UNREADABLE as error:
            self._recent.forget()
            raise SourceUnavailable(
                f"the metering API's answer about meter {metric.name!r} in {period} has not the "
                f"form of version 2 ({type(error).__name__}: {error}); see [{GROUP}] endpoint"
            ) from error

    def close(self) -> None:
        self._client.close()

    def _type(self, meter: str) -> str | None:
        """The type of a meter; asked once, as it does not change."""
        known = self._types.get(meter)
        if known is None:
            known = self._client.meter_type(meter)
            if known is not None:
                self._types[meter] = known
        return known

    def _measured(
        self, metric: MetricDefinition, period: Period, only: Only | None, kind: str
    ) -> list[Usage]:
        """The usage by the statistics of the period's samples."""
        names = {*metric.groupby, *metric.metadata}
        groupby = ["project_id", "resource_id"]
        if "user_id" in names:
            groupby.append("user_id")
        groups = self._recent.get(
            period,
            ("statistics", metric.name, tuple(groupby), only),
            lambda: self._client.statistics(metric.name, period, groupby, only),
        )
        resources: Mapping[str, Item] = {}
        if groups and any(map(usage.needs_metadata, names)):
            resources = self._recent.get(
                period, ("resources", only), lambda: self._resources(period, only)
            )
            _check_known(groups, resources)
        _check_distinct(groups)
        return [
            Usage(
                _raw(group, period, kind, metric.extra_args),
                # The ids of the group are those of the samples that were counted.
                {**resources.get(group["groupby"]["resource_id"], {}), **group["groupby"]},
            )
            for group in groups
        ]

    def _resources(self, period: Period, only: Only | None) -> dict[str, Item]:
        return {
            resource["resource_id"]: resource for resource in self._client.resources(period, only)
        }

    def _grown(self, metric: MetricDefinition, period: Period, only: Only | None) -> list[Usage]:
        """The usage by the growth of counters."""
        lookback = metric.extra_args.get("lookback", period.seconds)
        since = Period(period.begin - datetime.timedelta(seconds=lookback), period.end)
        return self._recent.get(
            period,
            ("samples", metric.name, lookback, only),
            lambda: usage.increments(self._client.samples(metric.name, since, only), period),
        )

    def _points(
        self,
        metric: MetricDefinition,
        found: Iterable[Usage],
        scopes: set[str],
        only: Only | None,
    ) -> dict[str, Points]:
        """The points of the scopes asked for. Each resource is converted for itself; resources
        that are one series by their attributes are summed."""
        shape = self.registry.shape(metric.shape)
        names = (*shape.groupby, *shape.metadata)
        quantities: dict[str, dict[Series, Decimal]] = {}
        dropped = 0
        for raw, about in found:
            scope = usage.attribute(self.scope_key, about)
            if scope not in scopes:
                if only:
                    raise ValueError(f"usage of {scope!r} is in an answer about {only.value!r}")
                continue
            try:
                qty = metric.quantity(raw)
            except money.NotAnAmount:
                dropped += 1
                continue
            values = tuple([usage.attribute(name, about) for name in names])
            series = self.registry.of(shape, values)
            of_scope = quantities.setdefault(scope, {})
            if series in of_scope:
                qty = money.total((of_scope[series], qty))
            of_scope[series] = qty
        if dropped:
            LOG.warning("%d values of meter %s were no numbers; dropped", dropped, metric.name)
        return {
            scope: Points(list(of_scope), list(of_scope.values()))
            for scope, of_scope in quantities.items()
        }


class _NotWhole(Exception):
    """A list lacks something that has to be there."""


def _check_known(groups: Iterable[Item], resources: Container[str]) -> None:
    """What has samples in the period is listed."""
    for group in groups:
        resource = group["groupby"]["resource_id"]
        if resource not in resources:
            raise _NotWhole(repr(resource))


def _check_distinct(groups: Sequence[Item]) -> None:
    """A group that is there twice would be on the bill twice."""
    keys = {tuple(sorted(group["groupby"].items())) for group in groups}
    if len(keys) < len(groups):
        raise ValueError("the same group is there twice")


def _raw(
    group: Item, period: Period, kind: str, extra_args: Mapping[str, Any]
) -> Decimal | Fraction:
    """The raw value of a period by the statistics of one resource."""
    interval = extra_args["interval"]
    if kind == PRESENCE:
        is_whole = extra_args["rounding"] == "whole"
        return money.ONE if is_whole else usage.presence(group, period, interval)
    if kind == DELTA:
        return usage.level(group, period, "sum", interval)
    return usage.level(group, period, extra_args["aggregation_method"], interval)
