# SPDX-License-Identifier: Apache-2.0
"""What the core's own controllers are handed beyond what every controller gets."""

from dataclasses import dataclass, field

from cloudkitty.collector.metrics import MetricsFile
from cloudkitty.rating.pipeline import Pipeline
from cloudkitty.rest.context import Context
from cloudkitty.storage.base import Storage
from cloudkitty.telemetry.requests import ApiTelemetry


@dataclass(frozen=True)
class ApiContext(Context):
    """Everything that one API application works with."""

    storage: Storage
    pipeline: Pipeline
    metrics: MetricsFile
    telemetry: ApiTelemetry = field(default_factory=ApiTelemetry)
