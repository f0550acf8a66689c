# SPDX-License-Identifier: Apache-2.0
"""From a configuration to a running application: what it works with is checked and built once."""

import pathlib
from typing import TYPE_CHECKING

from oslo_config import cfg

from cloudkitty import plugins
from cloudkitty.api import deploy
from cloudkitty.api.context import ApiContext
from cloudkitty.collector import catalogue
from cloudkitty.dataframe import Registry
from cloudkitty.db import migration
from cloudkitty.db.engine import Database
from cloudkitty.rating.pipeline import Pipeline
from cloudkitty.rest.policy import Policy, build_enforcer
from cloudkitty.storage.base import Storage
from cloudkitty.telemetry.exposition import Exposition
from cloudkitty.telemetry.requests import ApiTelemetry, CountedRequests

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication


def prepare(conf: cfg.ConfigOpts, telemetry: ApiTelemetry | None = None) -> ApiContext:
    """Check what the API needs, and return what it works with.

    No connection to the database stays open: the caller may fork.

    :raises ConfigurationError: an option is wrong, or a plugin is missing.
    :raises migration.SchemaError: the database is not at the revision of this program.
    :raises MetricsError: with every mistake of the metrics file.
    """
    metrics_file = catalogue.metrics_file(conf)
    driver = plugins.load_class(plugins.STORAGES, conf.storage.backend, "[storage] backend")
    database = Database(conf)
    migration.require_head(database)
    storage: Storage = driver(conf, database, Registry())
    enforced = conf.auth_strategy == "keystone"
    context = ApiContext(
        conf=conf,
        database=database,
        policy=Policy(build_enforcer(conf) if enforced else None),
        storage=storage,
        pipeline=Pipeline(conf, database),
        metrics=metrics_file,
        telemetry=telemetry or ApiTelemetry(),
    )
    database.dispose()
    return context


def telemetry(conf: cfg.ConfigOpts) -> ApiTelemetry:
    """Return what counts requests in all processes of this service, if that is wanted.

    :raises ConfigurationError: [DEFAULT] state_path cannot be used.
    """
    if not conf.api.metrics:
        return ApiTelemetry()
    directory = pathlib.Path(conf.state_path, "metrics", f"api-{conf.api.port}")
    return CountedRequests(Exposition.shared(directory))


def load(conf: cfg.ConfigOpts, telemetry: ApiTelemetry | None = None) -> "WSGIApplication":
    """Return the application that *conf* describes, behind its pipeline.

    :raises Exception: as ``prepare``, and ``ConfigurationError`` for the paste file.
    """
    return deploy.load(prepare(conf, telemetry))
