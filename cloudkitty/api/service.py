# SPDX-License-Identifier: Apache-2.0
"""From a configuration to a running application: what it works with is checked and built once."""

from typing import TYPE_CHECKING

from oslo_config import cfg

from cloudkitty import plugins
from cloudkitty.api import deploy
from cloudkitty.api.context import ApiContext
from cloudkitty.collector import metrics
from cloudkitty.dataframe import Registry
from cloudkitty.db import migration
from cloudkitty.db.engine import Database
from cloudkitty.rating.pipeline import Pipeline
from cloudkitty.rest.policy import Policy, build_enforcer
from cloudkitty.storage.base import Storage

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication


def prepare(conf: cfg.ConfigOpts) -> ApiContext:
    """Check what the API needs, and return what it works with.

    No connection to the database stays open: the caller may fork.

    :raises ConfigurationError: an option is wrong, or a plugin is missing.
    :raises migration.SchemaError: the database is not at the revision of this program.
    :raises metrics.MetricsError: with every mistake of the metrics file.
    """
    collector = plugins.load_class(
        plugins.COLLECTORS, conf.collect.collector, "[collect] collector"
    )
    metrics_file = metrics.load(
        conf.collect.metrics_conf, conf.collect.scope_key, collector.check_extra_args
    )
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
    )
    database.dispose()
    return context


def load(conf: cfg.ConfigOpts) -> "WSGIApplication":
    """Return the application that *conf* describes, behind its pipeline.

    :raises Exception: as ``prepare``, and ``ConfigurationError`` for the paste file.
    """
    return deploy.load(prepare(conf))
