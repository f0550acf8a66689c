# SPDX-License-Identifier: Apache-2.0
"""A collector of others: every scope uses as much as the option says, and a collector that cannot
work as it is configured."""

from decimal import Decimal

import voluptuous as vol

from cloudkitty.collector import schema
from cloudkitty.collector.base import Collector
from cloudkitty.config import ConfigurationError
from cloudkitty.dataframe import Points

EXTRA_ARGS = schema.record({vol.Optional("much", default=1): schema.positive})


class Meters(Collector):
    """Answers with one point a scope, whose quantity is ``much``."""

    @classmethod
    def check_extra_args(cls, extra_args):
        return EXTRA_ARGS(extra_args)

    def fetch_scope(self, metric, period, scope):
        points = Points()
        groupby = {name: scope if name == self.scope_key else "meter" for name in metric.groupby}
        series = self.registry.series(
            metric.service, unit=metric.unit, groupby=groupby, metadata={}
        )
        points.append(series, Decimal(metric.extra_args["much"]))
        return points


class Unable(Meters):
    def __init__(self, conf, registry) -> None:
        raise ConfigurationError("[collector_unable] url: must be set")
