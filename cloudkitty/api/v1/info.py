# SPDX-License-Identifier: Apache-2.0
"""``/v1/info``: what is collected, as the metrics file says it."""

from typing import Any

from cloudkitty.api.context import ApiContext
from cloudkitty.collector.metrics import MetricDefinition
from cloudkitty.rest import errors, types
from cloudkitty.rest.controller import Controller, expose
from cloudkitty.rest.request import Request


class Metric(types.Form):
    """One metric, called ``metric_id`` by rating and reports."""

    metric_id = types.Text
    metadata = [types.Text]
    unit = types.Text

    @classmethod
    def of(cls, definition: MetricDefinition) -> "Metric":
        return cls(
            metric_id=definition.service,
            metadata=list(definition.metadata),
            unit=definition.unit,
        )


class Metrics(types.Form):
    metrics = [Metric]


class InfoController(Controller):
    old_names = frozenset({"services"})

    def __init__(self, context: ApiContext) -> None:
        super().__init__(context)
        metrics = MetricsController(context)
        self.children = {
            "config": ConfigController(context),
            "metrics": metrics,
            # What metrics were called until 2018.
            "services": metrics,
        }


class ConfigController(Controller):
    context: ApiContext

    @expose(types.Json, rule="info:get_config")
    def get_all(self, request: Request) -> dict[str, Any]:
        """Return the metrics file as it was written."""
        written: dict[str, Any] = self.context.metrics.raw
        return written


class MetricsController(Controller):
    context: ApiContext

    @expose(Metrics, rule="info:list_metrics_info")
    def get_all(self, request: Request) -> Metrics:
        """List what is collected."""
        return Metrics(metrics=[Metric.of(definition) for definition in self.context.metrics])

    @expose(Metric, types.Text, path=1, rule="info:get_metric_info")
    def get_one(self, request: Request, metric_id: str) -> Metric:
        """Show one metric."""
        definition = self.context.metrics.service(metric_id)
        if definition is None:
            raise errors.MetricNotFound(metric=metric_id)
        return Metric.of(definition)
