# SPDX-License-Identifier: Apache-2.0
"""What a collector is: one question, "how much of this metric did these scopes use in this
period?", asked for many scopes at once."""

from collections.abc import Mapping, Sequence

from oslo_config import cfg

from cloudkitty.collector.metrics import MetricDefinition
from cloudkitty.dataframe import Points, Registry
from cloudkitty.period import Period


class CollectError(Exception):
    """Usage could not be collected; the message says of what and why, and what would help.

    The period stays open and is tried again. ``metrics`` are those that it is known to be about,
    by their names in rating and storage.
    """

    metrics: tuple[str, ...] = ()


class SourceUnavailable(CollectError):
    """The source as a whole does not answer; asking for fewer scopes would not help."""


class Collector:
    """Base of all collectors; entry points live in ``cloudkitty.collector.backends``.

    A collector holds no state that a period depends on: the same question gets the same answer.
    """

    def __init__(self, conf: cfg.ConfigOpts, registry: Registry) -> None:
        """Keep *conf*; series are made through *registry*, so that equal ones are one object."""
        self.conf = conf
        self.registry = registry
        self.scope_key: str = conf.collect.scope_key

    @classmethod
    def check_extra_args(cls, extra_args: Mapping[str, object]) -> Mapping[str, object]:
        """Return the ``extra_args`` of one metric definition with defaults filled in.

        :raises voluptuous.Invalid: with every mistake and its path.
        """
        return extra_args

    def fetch(
        self, metric: MetricDefinition, period: Period, scopes: Sequence[str]
    ) -> Mapping[str, Points]:
        """Return the points of *metric* in *period* for each of *scopes* that used any.

        Quantities are converted, prices zero. A scope without usage may be absent.
        The default asks for one scope at a time.

        :raises CollectError: nothing of the answer may be used.
        """
        answers = {scope: self.fetch_scope(metric, period, scope) for scope in scopes}
        return {scope: points for scope, points in answers.items() if points}

    def fetch_scope(self, metric: MetricDefinition, period: Period, scope: str) -> Points:
        """Return the points of *metric* in *period* for one scope.

        :raises CollectError: nothing of the answer may be used.
        """
        raise NotImplementedError(f"{type(self).__name__} has neither fetch nor fetch_scope")

    def close(self) -> None:
        """Release connections and files."""
