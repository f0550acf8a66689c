# SPDX-License-Identifier: Apache-2.0
"""Collects usage from Gnocchi, the time series database.

Invariants: the number of requests for a period grows with metrics, not with scopes or resources;
attributes are those that the resource had in the period, split at the second in which they
changed; every measure counts in the period in which it was taken, and in no other.
"""

import dataclasses
import datetime
import json
import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any

from oslo_config import cfg

from cloudkitty import money
from cloudkitty.collector import gnocchi_args, gnocchi_usage
from cloudkitty.collector.base import CollectError, Collector, SourceUnavailable
from cloudkitty.collector.gnocchi_history import Changes, Item
from cloudkitty.collector.gnocchi_usage import Part
from cloudkitty.collector.metrics import MetricDefinition
from cloudkitty.collector.recent import Recent
from cloudkitty.dataframe import Points, Registry
from cloudkitty.period import Period
from cloudkitty.source import http
from cloudkitty.source.errors import Refused, SourceError
from cloudkitty.source.gnocchi import Gnocchi

LOG = logging.getLogger(__name__)

GROUP = "collector_gnocchi"

_RESOURCE = "id"

MOST_IDS = 5000
"""More resources than these are not named in a question: it is asked about all scopes."""

Values = tuple[str, ...]
"""The attributes of a series, in the order of its shape."""


class GnocchiCollector(Collector):
    """See the module. Several threads may fetch at the same time."""

    def __init__(self, conf: cfg.ConfigOpts, registry: Registry) -> None:
        super().__init__(conf, registry)
        # Gnocchi adds up all that it was asked for before it begins to answer.
        self._gnocchi = Gnocchi(conf, GROUP, conf.orchestrator.collector_request_timeout)
        self._recent = Recent()
        self._missing: set[str] = set()

    @classmethod
    def check_extra_args(cls, extra_args: Mapping[str, object]) -> Mapping[str, object]:
        """See ``gnocchi_args``."""
        return gnocchi_args.check(extra_args)

    def fetch(
        self, metric: MetricDefinition, period: Period, scopes: Sequence[str]
    ) -> Mapping[str, Points]:
        if not scopes:
            return {}
        try:
            return self._fetch(_with_resource_key(metric), period, scopes)
        except Refused as error:
            if _is_no_data(error):
                # Gnocchi says so too when no resource of these scopes has the metric.
                LOG.debug("metric %s has no measures in %s: %s", metric.name, period, error)
                return {}
            hint = _hint(error)
            if hint:
                # It may be about one resource alone.
                raise CollectError(f"{error}; {hint}") from error
            raise SourceUnavailable(str(error)) from error
        except SourceError as error:
            raise SourceUnavailable(str(error)) from error
        except http.UNREADABLE as error:
            self._recent.forget()
            raise SourceUnavailable(
                f"Gnocchi's answer about metric {metric.name!r} in {period} has not the form of "
                f"version 1 ({type(error).__name__}: {error}); see [{GROUP}] gnocchi_endpoint"
            ) from error

    def close(self) -> None:
        self._gnocchi.close()

    def _fetch(
        self, metric: MetricDefinition, period: Period, scopes: Sequence[str]
    ) -> Mapping[str, Points]:
        resource_type = metric.extra_args["resource_type"]
        known = self._recent.get(
            period, ("type", resource_type), lambda: self._gnocchi.attributes(resource_type)
        )
        if known is None:
            if resource_type not in self._missing:
                self._missing.add(resource_type)
                LOG.warning(
                    "Gnocchi has no resource type %s: metric %s has no usage",
                    resource_type,
                    metric.name,
                )
            return {}
        _check_attributes(metric, known)
        changes = self._recent.get(
            period,
            ("changes", resource_type),
            lambda: self._changes(resource_type, known, Changes.query(period)),
        )
        collected = _Usage(metric, period, self.scope_key, scopes, self.registry)
        unclear: list[Item] = []
        asked = self._asked(scopes, changes)
        for group in self._groups(metric, period, asked, known):
            asked.check(group["group"])
            if changes.misses(group["group"], period):
                unclear.append(group)
            else:
                collected.add(group, changes)
        if unclear:
            ids = [str(group["group"][_RESOURCE]) for group in unclear]
            query = Changes.later_query(period, ids if len(ids) <= MOST_IDS else None)
            changes = self._changes(resource_type, known, query)
            for group in unclear:
                collected.add(group, changes)
        return collected.points()

    def _changes(self, resource_type: str, known: frozenset[str], query: object) -> Changes:
        """The revisions of all scopes: a resource may have come from another one."""
        rows = self._gnocchi.search(
            resource_type,
            query,
            sorted({*known, "revision_end"}),
            sort=("revision_start:asc", "started_at:asc"),
            history=True,
        )
        return Changes(rows)

    def _groups(
        self,
        metric: MetricDefinition,
        period: Period,
        asked: "_Asked",
        known: frozenset[str],
    ) -> Iterator[Item]:
        """The measures of each resource, and what it is like now."""
        args = metric.extra_args
        lead = datetime.timedelta(seconds=gnocchi_args.lead(args))
        names = {*metric.groupby, *metric.metadata, _RESOURCE, "revision_start"}
        params: list[tuple[str, object]] = [("groupby", name) for name in sorted(names & known)]
        params.append(("start", (period.begin - lead).isoformat()))
        lag = datetime.timedelta(0) if gnocchi_args.is_amount(args) else lead
        params.append(("stop", (period.end + lag).isoformat()))
        if args["force_granularity"]:
            params.append(("granularity", args["force_granularity"]))
        body = {
            "resource_type": args["resource_type"],
            "search": asked.search,
            "operations": gnocchi_args.operations(metric.name, args),
        }
        return self._gnocchi.aggregates(f"measures of metric {metric.name!r}", body, params)

    def _asked(self, scopes: Sequence[str], changes: Changes) -> "_Asked":
        """The resources asked about: they belong to the scopes, or did."""
        former = changes.resources_of(self.scope_key, set(scopes))
        return _Asked(self.scope_key, scopes, former)


class _Asked:
    """The resources that are asked about: those of *scopes* and these *former* ones, or of all
    scopes where naming them would take too much room."""

    def __init__(self, key: str, scopes: Sequence[str], former: Sequence[str]) -> None:
        self._key = key
        self._scopes = frozenset(scopes)
        self._former = frozenset(former)
        self.search = self._condition(scopes, former)

    def _condition(self, scopes: Sequence[str], former: Sequence[str]) -> Mapping[str, Any]:
        key = self._key
        belongs: Mapping[str, Any] = (
            {"=": {key: scopes[0]}} if len(scopes) == 1 else {"in": {key: sorted(scopes)}}
        )
        if not former:
            return belongs
        if len(former) > MOST_IDS:
            return {"!=": {key: None}}
        return {"or": [belongs, {"in": {_RESOURCE: list(former)}}]}

    def check(self, about: Item) -> None:
        """Refuse a resource of somebody else: the answer is not the one to the question."""
        named = about.get(self._key) in self._scopes or about[_RESOURCE] in self._former
        if not named and len(self._former) <= MOST_IDS:
            raise ValueError(
                f"a resource of {self._key} {about.get(self._key)!r} is in an answer about others"
            )


class _Usage:
    """Turns the measures of resources into points."""

    def __init__(
        self,
        metric: MetricDefinition,
        period: Period,
        scope_key: str,
        scopes: Iterable[str],
        registry: Registry,
    ) -> None:
        self._metric = metric
        self._period = period
        self._registry = registry
        self._shape = registry.shape(metric.shape)
        self._names = (*self._shape.groupby, *self._shape.metadata)
        self._scope = self._names.index(scope_key)
        self._scopes = set(scopes)
        self._reader = gnocchi_usage.Reader()
        self._seen: set[str] = set()
        self._quantities: dict[Values, Decimal] = {}
        self._of_many: dict[Values, list[Part]] = {}

    def add(self, group: Item, changes: Changes) -> None:
        """Add the usage of one resource."""
        now = group["group"]
        if now[_RESOURCE] in self._seen:
            return
        self._seen.add(now[_RESOURCE])
        granules = self._reader.granules(self._measures(group))
        if not granules:
            return
        granules = gnocchi_usage.one_granularity(granules, self._period)
        lives = changes.lives(now, self._period)
        cuts, about = lives.cuts, lives.about
        if not self._metric.extra_args["use_all_resource_revisions"]:
            cuts, about = (), about[-1:]
        parts = gnocchi_args.parts(self._metric.extra_args, granules, self._period, cuts)
        used = [
            (tuple([_text(one.get(name)) for name in self._names]), part)
            for one, part in zip(about, parts, strict=True)
            if part is not None
        ]
        if self._metric.extra_args["resource_key"] == _RESOURCE:
            self._add_quantities(used)
        else:
            for values, part in used:
                self._of_many.setdefault(values, []).append(part)

    def points(self) -> dict[str, Points]:
        """Return the points of each scope; equal series are one."""
        for values, parts in self._of_many.items():
            raw = gnocchi_usage.combined(
                self._metric.extra_args["re_aggregation_method"], [part.raw for part in parts]
            )
            self._add_quantities([(values, Part(raw, max(part.share for part in parts)))])
        if self._reader.dropped:
            LOG.warning(
                "metric %s, %s: %d measures were no numbers; dropped",
                self._metric.name,
                self._period,
                self._reader.dropped,
            )
        found: dict[str, Points] = {}
        for values, qty in self._quantities.items():
            points = found.setdefault(values[self._scope], Points())
            points.append(self._registry.of(self._shape, values), qty)
        return found

    def _measures(self, group: Item) -> Iterable[Sequence[Any]]:
        measures: Mapping[str, Any] = group["measures"]["measures"]
        if "aggregated" not in measures and measures:
            raise SourceUnavailable(
                f"metric {self._metric.name}: extra_args: custom_query gives no aggregated "
                "measures: put (aggregate ...) around (metric ...)"
            )
        found: Iterable[Sequence[Any]] = measures.get("aggregated", ())
        return found

    def _add_quantities(self, used: Sequence[tuple[Values, Part]]) -> None:
        """Convert each part for itself, then take its share."""
        try:
            quantities = gnocchi_usage.split(
                [(self._metric.quantity(part.raw), part.share) for _, part in used]
            )
        except money.NotAnAmount:
            self._reader.dropped += len(used)
            return
        for (values, _), qty in zip(used, quantities, strict=True):
            if values[self._scope] in self._scopes:
                known = self._quantities.get(values)
                self._quantities[values] = qty if known is None else money.total((known, qty))


def _with_resource_key(metric: MetricDefinition) -> MetricDefinition:
    """The definition, grouped by what tells resources apart."""
    key = metric.extra_args["resource_key"]
    if key in metric.groupby:
        return metric
    return dataclasses.replace(
        metric,
        groupby=(*metric.groupby, key),
        metadata=tuple(name for name in metric.metadata if name != key),
    )


def _check_attributes(metric: MetricDefinition, known: frozenset[str]) -> None:
    unknown = [repr(name) for name in metric.groupby if name not in known]
    if unknown:
        raise SourceUnavailable(
            f"metric {metric.name}: groupby: resources of type "
            f"{metric.extra_args['resource_type']!r} have no attribute {', '.join(unknown)} in "
            f"Gnocchi; there are: {', '.join(sorted(known))}"
        )


def _is_no_data(error: Refused) -> bool:
    """Whether an answer says that there is no such metric, and nothing else."""
    told = http.sentence(error.body)
    if error.status == 404:
        return told.startswith("Metric [") and told.endswith("does not exist")
    return error.status == 400 and told.lower().startswith("metrics not found")


def _hint(error: Refused) -> str:
    """What would help where the archive policy of a metric does not fit its definition."""
    told = http.sentence(error.body)
    if "unknown aggregation" in told:
        return "choose an aggregation_method that the archive policy of the metric has"
    if "cannot be aggregated" in told:
        return (
            "choose a force_granularity that the archive policy of the metric has, or 0 for the "
            "finest that it has"
        )
    return ""


def _text(value: object) -> str:
    """An attribute as text."""
    match value:
        case str():
            return value
        case None:
            return ""
        case Decimal():
            return money.text(value)
        case int():
            return str(value)
    return json.dumps(value, default=str)
