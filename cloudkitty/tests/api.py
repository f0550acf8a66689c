# SPDX-License-Identifier: Apache-2.0
"""An API application on an SQLite database, with a little rated usage, for tests of the API."""

import pathlib
from decimal import Decimal
from typing import Any

import webob.request
from oslo_config import cfg

from cloudkitty import plugins
from cloudkitty.api import app, deploy
from cloudkitty.api.context import ApiContext
from cloudkitty.collector import metrics
from cloudkitty.dataframe import DataFrame, Registry
from cloudkitty.db.engine import Database
from cloudkitty.rating.pipeline import Pipeline
from cloudkitty.rest.policy import Policy, build_enforcer
from cloudkitty.tests import builders

METRICS = """\
metrics:
  cpu:
    unit: instance
    alt_name: instance
    groupby: [id]
    metadata: [flavor_id, vcpus]
  volume.size:
    unit: GiB
    groupby: [id]
    metadata: [volume_type]
"""


def configure(conf: cfg.ConfigOpts, directory: pathlib.Path) -> None:
    """Name a metrics file, and a collector that is always there."""
    path = directory / "metrics.yml"
    path.write_text(METRICS)
    conf.set_override("metrics_conf", str(path), "collect")
    conf.set_override("collector", "csv", "collect")


def context(conf: cfg.ConfigOpts, database: Database, directory: pathlib.Path) -> ApiContext:
    """What an application works with; policies apply when [DEFAULT] auth_strategy says so."""
    configure(conf, directory)
    driver = plugins.load_class(plugins.STORAGES, "sqlalchemy", "[storage] backend")
    enforced = conf.auth_strategy == "keystone"
    return ApiContext(
        conf=conf,
        database=database,
        policy=Policy(build_enforcer(conf) if enforced else None),
        storage=driver(conf, database, Registry()),
        pipeline=Pipeline(conf, database),
        metrics=metrics.read(METRICS, "project_id", lambda extra_args: extra_args, collector="csv"),
    )


def seed(context: ApiContext) -> None:
    """Two projects with usage in the first hours of 2026: alpha has an instance for two hours
    (0.1 each) and a volume for one (1.25), beta a volume for one (7)."""
    usage = {
        0: {"alpha": [("instance", 1, "0.1"), ("volume.size", 10, "1.25")]},
        1: {"alpha": [("instance", 1, "0.1")], "beta": [("volume.size", 20, "7")]},
    }
    registry = Registry()
    for number, scopes in usage.items():
        frames = {}
        for state in builders.states(context.database, "alpha", "beta").values():
            name = state.scope.identifier
            frame = DataFrame(builders.hour(number))
            for metric, qty, price in scopes.get(name, []):
                series = registry.series(
                    metric,
                    unit="unit",
                    groupby={"id": f"{metric}-of-{name}", "project_id": name},
                    metadata={"vcpus": 2},
                )
                frame.add(series, Decimal(qty), Decimal(price))
            frames[state] = frame
        assert not context.storage.replace(builders.hour(number), frames)


class Client:
    """Calls an application in this process."""

    def __init__(self, application: Any, **headers: str) -> None:
        self._application = application
        self._headers = headers

    @classmethod
    def of(cls, context: ApiContext, **headers: str) -> "Client":
        """A client behind an authentication filter that trusts *headers* (``X_Roles``, ...)."""
        return cls(app.build(context), **headers)

    @classmethod
    def deployed(cls, context: ApiContext, **headers: str) -> "Client":
        """A client in front of the whole pipeline."""
        return cls(deploy.load(context), **headers)

    def __call__(
        self, method: str, path: str, json: Any = None, **headers: str
    ) -> webob.response.Response:
        request = webob.request.Request.blank(path, method=method)
        for name, value in (self._headers | headers).items():
            request.headers[name.replace("_", "-")] = value
        if json is not None:
            request.json_body = json
            request.content_type = "application/json"
        return request.get_response(self._application)

    def get(self, path: str, **headers: str) -> webob.response.Response:
        return self("GET", path, **headers)
