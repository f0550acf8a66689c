# SPDX-License-Identifier: Apache-2.0
"""Finds the storage driver that the configuration names."""

from oslo_config import cfg

from cloudkitty import configfiles, plugins
from cloudkitty.dataframe import Registry
from cloudkitty.db.engine import Database
from cloudkitty.storage.base import Storage

LEDGER = "sqlalchemy"


def build(conf: cfg.ConfigOpts, database: Database, registry: Registry) -> Storage:
    """Return the configured store.

    :raises ConfigurationError: there is no such store.
    """
    return driver(conf)(conf, database, registry)


def driver(conf: cfg.ConfigOpts) -> type[Storage]:
    """Return the class of the configured store.

    :raises ConfigurationError: there is no such store.
    """
    namespace = plugins.STORAGES_V1 if conf.storage.version == 1 else plugins.STORAGES
    name = conf.storage.backend
    if name in configfiles.OLD_STORES and name not in plugins.names(namespace):
        name = LEDGER
    found: type[Storage] = plugins.load_class(namespace, name, "[storage] backend")
    return found
