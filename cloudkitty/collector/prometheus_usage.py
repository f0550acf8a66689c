# SPDX-License-Identifier: Apache-2.0
"""What the answers of a Prometheus say about the usage of scopes.

Invariants: a resource whose metadata change in a period is one resource, split at the change;
each series is converted for itself, before it is split or summed; what is no number is dropped
and counted.
"""

import logging
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from fractions import Fraction
from typing import NamedTuple

from cloudkitty import money
from cloudkitty.collector.metrics import MetricDefinition
from cloudkitty.collector.prometheus_asker import Answer, Asker
from cloudkitty.collector.promql import Question
from cloudkitty.dataframe import Points, Registry, Series
from cloudkitty.period import Period
from cloudkitty.source.errors import Malformed
from cloudkitty.source.prometheus import Sample

LOG = logging.getLogger(__name__)

WHOLE = "whole"

_ALL = Fraction(1)


class Line(NamedTuple):
    """One series of the answer: whose it is, its attributes, its raw value."""

    scope: str
    values: tuple[str, ...]
    sample: Sample


class Reading:
    """Makes the points of some scopes out of what the server answers about one metric."""

    def __init__(
        self, metric: MetricDefinition, scopes: Sequence[str], scope_key: str, registry: Registry
    ) -> None:
        self._metric = metric
        self._scopes = scopes
        self._scope_key = scope_key
        self._registry = registry
        self._shape = registry.shape(metric.shape)
        names: Mapping[str, str] = metric.extra_args["labels"]
        self._label = {name: names.get(name, name) for name in (*metric.groupby, *metric.metadata)}
        self._scope_label = self._label[scope_key]

    def points(self, asker: Asker, period: Period) -> dict[str, Points] | None:
        """Return the points by scope, ``None`` when the answer does not say whose they are."""
        labels = list(dict.fromkeys(self._label.values()))
        question = Question(
            self._metric.name, labels, self._metric.extra_args, asker.window(period)
        )
        answer = asker.ask(question, self._scope_label, self._scopes)
        if not answer.is_about_all:
            self._check_owners(answer.samples)
        lines = self._lines(answer.samples)
        if lines is None:
            return None
        if question.is_exact_increase:
            lines = self._after_resets(lines, answer, asker)
        good = self._numbers(lines, answer, asker)
        if len(good) < len(lines):
            LOG.warning(
                "%d values of metric %s in %s were no numbers; dropped",
                *(len(lines) - len(good), self._metric.name, period),
            )
        shares = self._shares(good, answer, asker)
        return self._summed(zip(good, shares, strict=True))

    def _check_owners(self, samples: Iterable[Sample]) -> None:
        """Somebody else's usage tells that the answer is not the one to the question."""
        others = {sample.labels.get(self._scope_label, "") for sample in samples}
        if others := others.difference(self._scopes, [""]):
            raise Malformed(
                f"metric {self._metric.name}: {self._scope_label} {sorted(others)[0]!r} is in an "
                "answer about others; see query_prefix and query_suffix, and what stands between "
                "this service and Prometheus"
            )

    def _lines(self, samples: Iterable[Sample]) -> list[Line] | None:
        """The series of the scopes asked for. One scope alone owns whatever was answered."""
        only = self._scopes[0] if len(self._scopes) == 1 else None
        wanted = set(self._scopes)
        label = [
            (name, self._label[name]) for name in (*self._shape.groupby, *self._shape.metadata)
        ]
        lines = []
        for sample in samples:
            scope = only if only is not None else sample.labels.get(self._scope_label)
            if not scope:
                return None
            if scope in wanted:
                values = tuple(
                    [
                        scope if name == self._scope_key else sample.labels.get(written, "")
                        for name, written in label
                    ]
                )
                lines.append(Line(scope, values, sample))
        return lines

    def _after_resets(self, lines: list[Line], answer: Answer, asker: Asker) -> list[Line]:
        """The series, with those of scopes in which a counter was reset asked for again, in the
        way that costs the server more."""
        question, label = answer.question, self._scope_label
        found = asker.evaluate(question, question.resets(answer.matcher, label))
        named = {sample.labels.get(label) for sample in found}
        concerned = [scope for scope in self._scopes if scope in named]
        if not concerned:
            return lines
        query = question.usage_after_resets
        samples = asker.evaluate(question, query(asker.matcher(query, label, concerned)))
        again = self._lines(samples) or []
        kept = [line for line in lines if line.scope not in named]
        return kept + [line for line in again if line.scope in named]

    def _numbers(self, lines: list[Line], answer: Answer, asker: Asker) -> list[Line]:
        """The series that have a quantity. Where one sample that is no number has spoilt a mean,
        it is that of the others."""
        good = [line for line in lines if self._is_quantity(line.sample)]
        arguments = self._metric.extra_args
        is_mean = arguments["range_function"] is None and arguments["aggregation_method"] == "avg"
        if len(good) == len(lines) or not is_mean:
            return good
        found = asker.evaluate(answer.question, answer.question.cleaned(answer.matcher))
        cleaned = {_key(sample): sample for sample in found if self._is_quantity(sample)}
        for line in lines:
            key = _key(line.sample)
            if key in cleaned and not self._is_quantity(line.sample):
                good.append(line._replace(sample=cleaned[key]))
        return good

    def _is_quantity(self, sample: Sample) -> bool:
        try:
            self._metric.quantity(sample.value)
        except money.NotAnAmount:
            return False
        return True

    def _shares(self, lines: Sequence[Line], answer: Answer, asker: Asker) -> list[Fraction]:
        """What share of the period each series stands for."""
        question = answer.question
        resources: dict[tuple[str, ...], list[int]] = defaultdict(list)
        identity = len(self._shape.groupby)
        # Without an attribute beside the scope's own, nothing tells resources apart.
        is_identified = identity > 1
        for index, line in enumerate(lines):
            resources[line.values[:identity] if is_identified else (str(index),)].append(index)
        is_whole = self._metric.extra_args["rounding"] == WHOLE
        is_split = len(resources) < len(lines)
        if not question.is_level or (is_whole and not is_split):
            return [_ALL] * len(lines)
        found = asker.evaluate(question, question.presence(answer.matcher))
        seen = {_key(sample): sample.value for sample in found}
        # A series with a sample between two instants was there for one of them.
        there = [max(money.ONE, seen.get(_key(line.sample), money.ONE)) for line in lines]
        instants = question.window.instants(self._metric.extra_args["interval"])
        shares = [_ALL] * len(lines)
        for indices in resources.values():
            total = Fraction(money.total(there[index] for index in indices))
            whole = total if is_whole else max(total, Fraction(instants))
            for index in indices:
                shares[index] = Fraction(there[index]) / whole
        return shares

    def _summed(self, lines: Iterable[tuple[Line, Fraction]]) -> dict[str, Points]:
        """The points. Each series is converted for itself; those that have the same attributes
        are summed."""
        quantities: dict[str, dict[Series, Decimal]] = {}
        for line, share in lines:
            qty = self._metric.quantity(line.sample.value)
            if share != 1:
                qty = money.amount(Fraction(qty) * share)
            series = self._registry.of(self._shape, line.values)
            of_scope = quantities.setdefault(line.scope, {})
            if series in of_scope:
                qty = money.total((of_scope[series], qty))
            of_scope[series] = qty
        return {
            scope: Points(list(of_scope), list(of_scope.values()))
            for scope, of_scope in quantities.items()
        }


def _key(sample: Sample) -> frozenset[tuple[str, str]]:
    return frozenset(sample.labels.items())
