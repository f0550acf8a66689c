# SPDX-License-Identifier: Apache-2.0
"""Fetches scopes from the configuration: the list in ``[fetcher_source] sources``."""

from oslo_config import cfg

from cloudkitty.config import ConfigurationError
from cloudkitty.fetcher.base import Fetcher


class SourceFetcher(Fetcher):
    """The configured scopes, in the order in which they are given."""

    def __init__(self, conf: cfg.ConfigOpts) -> None:
        super().__init__(conf)
        given = (scope.strip() for scope in conf.fetcher_source.sources)
        self._scopes = list(dict.fromkeys(scope for scope in given if scope))
        if not self._scopes:
            raise ConfigurationError(
                "[fetcher_source] sources: the fetcher 'source' needs at least one scope id"
            )

    def scopes(self) -> list[str]:
        return list(self._scopes)
