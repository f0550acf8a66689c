# SPDX-License-Identifier: Apache-2.0
"""Asks a Prometheus what the queries of a period evaluate to.

Invariants: the number of requests does not depend on how many scopes are asked for; what is
asked about all scopes is asked once for all batches of a period.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from cloudkitty.collector import promql
from cloudkitty.collector.promql import Question, Window
from cloudkitty.collector.recent import Recent
from cloudkitty.period import Period
from cloudkitty.source import prometheus
from cloudkitty.source.errors import Malformed
from cloudkitty.source.prometheus import Prometheus, Sample


class Answer(NamedTuple):
    """What was asked about which series, and what came back."""

    question: Question
    matcher: str
    samples: Sequence[Sample]
    is_about_all: bool


class Asker:
    """Asks one server. Several threads may use it."""

    def __init__(self, server: Prometheus) -> None:
        self._prometheus = server
        self._recent = Recent()

    def window(self, period: Period) -> Window:
        """Return the period as a range, as the server understands ranges."""
        is_closed = self._recent.get(period, "ranges", lambda: self._are_ranges_closed(period))
        return Window(period, is_closed)

    def matcher(self, query: Callable[[str], str], label: str, scopes: Sequence[str]) -> str:
        """Return the matcher of the scopes, or that of all scopes where naming them would make the
        query too long to be asked."""
        if len(scopes) == 1:
            return prometheus.equals(label, scopes[0])
        named = prometheus.is_one_of(label, scopes)
        return named if self._prometheus.takes(query(named)) else prometheus.is_given(label)

    def ask(self, question: Question, label: str, scopes: Sequence[str]) -> Answer:
        """Return the usage of at least these scopes. Batches that ask for that of all share it."""
        matcher = self.matcher(question.usage, label, scopes)
        query = question.usage(matcher)
        if matcher == prometheus.is_given(label):
            samples = self._recent.get(
                question.window.period, query, lambda: self.evaluate(question, query)
            )
        else:
            samples = self.evaluate(question, query)
        return Answer(question, matcher, samples, matcher == prometheus.is_given(label))

    def evaluate(self, question: Question, query: str) -> list[Sample]:
        """Return what a query about the metric answers at the end of the window."""
        return self._prometheus.vector(f"metric {question.metric!r}", query, question.window.at)

    def close(self) -> None:
        """Close the connections that are kept."""
        self._prometheus.close()

    def _are_ranges_closed(self, period: Period) -> bool:
        what = "what a range contains"
        found = self._prometheus.vector(what, promql.CLOSED_AT_BOTH_ENDS, period.end)
        if len(found) != 1:
            raise Malformed(
                f"asking for {what}: {promql.CLOSED_AT_BOTH_ENDS} evaluates to {len(found)} "
                "series, and a Prometheus gives one"
            )
        return found[0].value > 1
