# SPDX-License-Identifier: Apache-2.0
"""Finds the storage driver that the configuration names."""

from oslo_config import cfg

from cloudkitty import plugins
from cloudkitty.dataframe import Registry
from cloudkitty.db.engine import Database
from cloudkitty.storage.base import Storage


def build(conf: cfg.ConfigOpts, database: Database, registry: Registry) -> Storage:
    """Return the configured store.

    :raises ConfigurationError: there is no such store.
    """
    namespace = plugins.STORAGES_V1 if conf.storage.version == 1 else plugins.STORAGES
    driver: type[Storage] = plugins.load_class(namespace, conf.storage.backend, "[storage] backend")
    return driver(conf, database, registry)
