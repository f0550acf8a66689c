# SPDX-License-Identifier: Apache-2.0
"""Fetches scopes from a Prometheus: the values of a label of one metric."""

from oslo_config import cfg

from cloudkitty.config import ConfigurationError
from cloudkitty.fetcher.base import Fetcher, FetchError
from cloudkitty.source import prometheus
from cloudkitty.source.errors import SourceError

GROUP = "fetcher_prometheus"


class PrometheusFetcher(Fetcher):
    """The distinct values of the label that series have now, sorted; an empty one is no scope."""

    def __init__(self, conf: cfg.ConfigOpts) -> None:
        super().__init__(conf)
        options = conf[GROUP]
        if not options.metric:
            raise ConfigurationError(
                f"[{GROUP}] metric: give the metric whose series name the scopes in their label "
                f"{options.scope_attribute!r}"
            )
        self._attribute: str = options.scope_attribute
        filters: dict[str, str] = options.filters
        matchers = [prometheus.equals(name, value) for name, value in filters.items()]
        selected = prometheus.selector(options.metric, matchers)
        self._query = f"max({selected}) by ({prometheus.label(self._attribute)})"
        self._prometheus = prometheus.by_url(conf, GROUP)

    def scopes(self) -> list[str]:
        try:
            found = self._prometheus.vector("scopes", self._query)
        except SourceError as error:
            raise FetchError(str(error)) from error
        return sorted({sample.labels.get(self._attribute, "") for sample in found} - {""})
