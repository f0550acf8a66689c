# SPDX-License-Identifier: Apache-2.0
"""What a fetcher is: the list of scopes to rate."""

import abc

from oslo_config import cfg


class FetchError(Exception):
    """The scopes could not be listed; the message names the option or the source."""


class Fetcher(abc.ABC):
    """Base of all fetchers; entry points live in ``cloudkitty.fetchers``."""

    def __init__(self, conf: cfg.ConfigOpts) -> None:
        self.conf = conf

    @abc.abstractmethod
    def scopes(self) -> list[str]:
        """Return the ids of the scopes to rate, each once, in a stable order.

        :raises FetchError: the list is not to be had now.
        """
