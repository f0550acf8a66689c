# SPDX-License-Identifier: Apache-2.0
"""The queries that ask a Prometheus for the usage of a period.

Invariants: pure; a sample counts in the period in which it was taken, and in no other, whichever
release evaluates the query; one query serves any number of scopes.
"""

import datetime
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cloudkitty import period as calendar
from cloudkitty.period import Period
from cloudkitty.source import prometheus

AGGREGATIONS = ("avg", "count", "max", "min", "stddev", "stdvar", "sum")
ELEMENT_FUNCTIONS = ("abs", "ceil", "exp", "floor", "ln", "log2", "log10", "round", "sqrt")
EXACT_INCREASE = "exact_increase"
RANGE_FUNCTIONS = (
    *("changes", "delta", "deriv", "idelta", "increase", "irange", "irate", "rate"),
    EXACT_INCREASE,
)

LEVELS = ("avg", "max", "min")
"""Aggregations whose result is a level: half the time counts half."""

CLOSED_AT_BOTH_ENDS = "count_over_time(vector(1)[1s:1s])"
"""Evaluates to 2 at a full second where ranges contain their begin (Prometheus 2), else to 1."""

_ELEMENTWISE = re.compile(
    r"(?:[\s(),]|[-+*/%^]|[<>]=?|[=!]=|\d+(?:\.\d+)?(?:e[-+]?\d+)?"
    rf"|\b(?:bool|inf|clamp|clamp_max|clamp_min|sgn|{'|'.join(ELEMENT_FUNCTIONS)})\b)*",
    re.IGNORECASE,
)

_MILLISECOND = datetime.timedelta(milliseconds=1)


@dataclass(frozen=True)
class Window:
    """A period as a range. Prometheus 2 takes both ends of a range for a part of it, Prometheus 3
    the last alone: *is_closed* tells them apart."""

    period: Period
    is_closed: bool

    @property
    def at(self) -> datetime.datetime:
        """When queries are evaluated: the last millisecond of the period."""
        return self.period.end - _MILLISECOND

    @property
    def length(self) -> str:
        """The length of the range that ends ``at`` and has just the period's samples."""
        return f"{1000 * self.period.seconds - self.is_closed}ms"

    def step(self, interval: int) -> int:
        """Return the seconds between two of the instants at which the period is looked at."""
        return min(interval, self.period.seconds)

    def instants(self, interval: int) -> int:
        """Return at how many instants the period is looked at: at the multiples of the step
        since 1970, as the server does it."""
        step = self.step(interval)
        return (
            -(-calendar.epoch(self.period.end) // step) + calendar.epoch(self.period.begin) // -step
        )


@dataclass(frozen=True)
class Question:
    """What is asked about one metric in one window; *labels* are those of the answer,
    *arguments* the checked ``extra_args``."""

    metric: str
    labels: Sequence[str]
    arguments: Mapping[str, Any]
    window: Window

    @property
    def is_level(self) -> bool:
        return is_level(self.arguments)

    @property
    def is_exact_increase(self) -> bool:
        return bool(self.arguments["range_function"] == EXACT_INCREASE)

    def usage(self, matcher: str) -> str:
        """Return the query for the quantities of the series that *matcher* holds for."""
        selected = f"{self._selector(matcher)}[{self.window.length}]"
        function = self.arguments["range_function"]
        if function == EXACT_INCREASE:
            inner = self._growth(matcher)
        elif function is not None:
            inner = f"{function}({selected})"
        else:
            inner = f"{self.arguments['aggregation_method']}_over_time({selected})"
        return self._whole(inner)

    def cleaned(self, matcher: str) -> str:
        """Return the query for the mean of what is a number, where ``usage`` is none: at the
        instants of the interval."""
        numbers = f"({self._selector(matcher)} > -Inf < Inf)"
        return self._whole(f"avg_over_time({numbers}{self._instants()})")

    def presence(self, matcher: str) -> str:
        """Return the query for the number of instants at which each series of the answer of
        ``usage`` was there: a sample stands for the interval that follows it."""
        length = 1000 * self.arguments["interval"] - self.window.is_closed
        selected = f"last_over_time({self._selector(matcher)}[{length}ms])"
        return f"count_over_time(({self._grouped(selected)}){self._instants()})"

    def resets(self, matcher: str, by: str) -> str:
        """Return the query for the values of the label *by* of which a counter has been reset."""
        reach = 1000 * (self._lookback + self.window.period.seconds)
        found = f"resets({self._selector(matcher)}[{reach}ms]) > 0"
        return f"count({found}) by ({prometheus.label(by)})"

    def usage_after_resets(self, matcher: str) -> str:
        """Return the query for the growth of counters of which some have been reset: by how much
        they grew from one instant to the next, or what they showed after a reset, summed.

        The instants are moved, so that they lie just before the ends of the intervals.
        """
        step = self.window.step(self.arguments["interval"])
        latest = f"last_over_time({self._selector(matcher)}[{max(self._lookback, step)}s]"
        after, before = f"{latest} offset -{1000 * step - 1}ms)", f"{latest} offset 1ms)"
        grown = f"({after} - {before} >= 0) or ({after} + 0 * {before})"
        return self._whole(f"sum_over_time(({grown}){self._instants()})")

    def _growth(self, matcher: str) -> str:
        """By how much counters that are not reset grew since the last value before the period, or
        since the first one in it: no extrapolation, and what one period counts no other does."""
        selector, length = self._selector(matcher), self.window.length
        base = (
            f"(last_over_time({selector}[{self._lookback}s] "
            f"offset {1000 * self.window.period.seconds}ms) "
            f"or min_over_time({selector}[{length}]))"
        )
        return f"last_over_time({selector}[{length}]) - {base}"

    @property
    def _lookback(self) -> int:
        """How far before the period the base of a counter may lie, in seconds."""
        told: int | None = self.arguments.get("lookback")
        return told or self.window.period.seconds

    def _whole(self, inner: str) -> str:
        function = self.arguments["query_function"]
        return self._grouped(inner if function is None else f"{function}({inner})")

    def _grouped(self, inner: str) -> str:
        by = ", ".join(map(prometheus.label, self.labels))
        grouped = f"{self.arguments['aggregation_method']}({inner}) by ({by})"
        around = (self.arguments["query_prefix"], grouped, self.arguments["query_suffix"])
        return " ".join(filter(None, around))

    def _selector(self, matcher: str) -> str:
        return prometheus.selector(self.metric, [matcher])

    def _instants(self) -> str:
        return f"[{self.window.length}:{self.window.step(self.arguments['interval'])}s]"


def is_level(arguments: Mapping[str, Any]) -> bool:
    """Return whether the quantity is a level, of which a share of the period has its share."""
    return arguments["range_function"] is None and arguments["aggregation_method"] in LEVELS


def is_elementwise(arguments: Mapping[str, Any]) -> bool:
    """Return whether prefix and suffix treat each series for itself: numbers, operators and
    functions of one value. Then the query for many scopes has the answers of those for each."""
    around = f"{arguments['query_prefix']} {arguments['query_suffix']}"
    return _ELEMENTWISE.fullmatch(around) is not None
