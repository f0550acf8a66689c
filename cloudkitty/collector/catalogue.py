# SPDX-License-Identifier: Apache-2.0
"""The collectors that are installed, by name, and the metrics file that names them.

Invariant: a collector is imported when somebody asks for it by name, and not before.
"""

from collections.abc import Iterator, Mapping

from oslo_config import cfg

from cloudkitty import plugins
from cloudkitty.collector import metrics
from cloudkitty.collector.base import Collector
from cloudkitty.collector.metrics import CheckExtraArgs, MetricsFile
from cloudkitty.config import ConfigurationError


class Catalogue(Mapping[str, CheckExtraArgs]):
    """A map of name to ``check_extra_args``; looking up one that is installed and cannot be
    imported raises ``ConfigurationError``."""

    def names(self) -> tuple[str, ...]:
        """Return the names of all collectors, sorted."""
        return plugins.names(plugins.COLLECTORS)

    def load(self, name: str, option: str = "") -> type[Collector]:
        """Return the class; *option* is what errors call the place where the name was given, if
        anything.

        :raises ConfigurationError: there is no such collector, or it cannot be imported.
        """
        try:
            return plugins.load_class(plugins.COLLECTORS, name, option)
        except ConfigurationError as error:
            raise ConfigurationError(str(error).removeprefix(": ")) from error

    def __getitem__(self, name: str) -> CheckExtraArgs:
        if name not in self.names():
            raise KeyError(name)
        return self.load(name).check_extra_args

    def __contains__(self, name: object) -> bool:
        return name in self.names()

    def __iter__(self) -> Iterator[str]:
        return iter(self.names())

    def __len__(self) -> int:
        return len(self.names())


def metrics_file(conf: cfg.ConfigOpts, catalogue: Catalogue | None = None) -> MetricsFile:
    """Read the metrics file of the configuration.

    :raises ConfigurationError: ``[collect] collector`` is wrong.
    :raises MetricsError: with every mistake of the file.
    """
    catalogue = catalogue or Catalogue()
    default: str = conf.collect.collector
    return metrics.load(
        conf.collect.metrics_conf,
        conf.collect.scope_key,
        catalogue.load(default, "[collect] collector").check_extra_args,
        collector=default,
        others=catalogue,
    )
