# SPDX-License-Identifier: Apache-2.0
"""Fetches scopes from the resources that Gnocchi knows.

Invariants: what has been found is not asked for again, so that requests grow with scopes and
hardly with resources; each page lies behind the one before, so that they come to an end.
"""

from oslo_config import cfg

from cloudkitty.config import ConfigurationError
from cloudkitty.fetcher.base import Fetcher, FetchError
from cloudkitty.source.errors import SourceError
from cloudkitty.source.gnocchi import Gnocchi

GROUP = "fetcher_gnocchi"

_GENERIC = "generic"
"""The type from which all others are derived."""


class GnocchiFetcher(Fetcher):
    """The distinct values of one attribute of the resources, sorted; an empty one is no scope."""

    def __init__(self, conf: cfg.ConfigOpts) -> None:
        super().__init__(conf)
        options = conf[GROUP]
        self._attribute: str = options.scope_attribute.strip()
        if not self._attribute:
            raise ConfigurationError(
                f"[{GROUP}] scope_attribute: name the attribute whose values are the scopes, "
                "like project_id"
            )
        given = [name.strip() for name in options.resource_types]
        self._types = list(dict.fromkeys(filter(None, given))) or [_GENERIC]
        self._gnocchi = Gnocchi(conf, GROUP)

    def scopes(self) -> list[str]:
        known: set[str] = set()
        try:
            for resource_type in self._types:
                self._collect(resource_type, known)
        except SourceError as error:
            raise FetchError(str(error)) from error
        return sorted(known)

    def _collect(self, resource_type: str, known: set[str]) -> None:
        marker: str | None = None
        while True:
            # Resources before the marker have scopes that are known, so it skips none.
            page, following = self._gnocchi.page(
                resource_type, self._others(known), ["id", self._attribute], marker=marker
            )
            if any(self._attribute not in one for one in page):
                raise FetchError(
                    f"[{GROUP}] scope_attribute: Gnocchi lists resources of type "
                    f"{resource_type!r} without {self._attribute!r}, which was asked for"
                )
            known |= {str(one[self._attribute]) for one in page if one[self._attribute]}
            if following is None:
                return
            if following == marker:
                raise FetchError(
                    f"[{GROUP}] resource_types: Gnocchi lists resources of type "
                    f"{resource_type!r} after {marker!r} again and again"
                )
            marker = following

    def _others(self, known: set[str]) -> object:
        """The search for resources of other scopes."""
        has_scope = {"!=": {self._attribute: None}}
        if not known:
            return has_scope
        return {"and": [has_scope, {"not": {"in": {self._attribute: sorted(known)}}}]}
