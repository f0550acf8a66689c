# SPDX-License-Identifier: Apache-2.0
"""The SQL database of an existing service: rules, scopes, and what its storage of version 1 has."""

import datetime
from collections.abc import Mapping, Sequence
from typing import Any

from cloudkitty.importer import contents, tables
from cloudkitty.importer.contents import Contents
from cloudkitty.importer.origin import Origin
from cloudkitty.importer.rated import Rated
from cloudkitty.importer.scopes import Identity, OldScope
from cloudkitty.importer.source import Source
from cloudkitty.importer.usage import RatedUsage


class OldDatabase(Origin):
    """See ``Origin``.

    :raises SourceError: the URL is none, or of a database that is not supported.
    """

    record = 1
    brings_rules = True

    def __init__(self, url: str) -> None:
        self._source = Source(url)
        self.name = self._source.name

    def check(self, identity: Identity) -> Sequence[str]:
        heads = self._source.check()
        lines = [f"{name} is at {head}, as it should be" for name, head in heads.items()]
        if tables.rated.name not in self._source.has:
            lines.append(f"It has no table {tables.rated.name}: no rated history comes from it.")
        return lines

    def usage(self) -> RatedUsage | None:
        return Rated(self._source) if tables.rated.name in self._source.has else None

    def contents(
        self,
        usage: RatedUsage | None,
        identity: Identity,
        zone: datetime.tzinfo,
        here: Sequence[OldScope],
    ) -> Contents:
        return contents.read(self._source, usage, identity, zone)

    def settings(self, identity: Identity, zone: datetime.tzinfo) -> Mapping[str, Any]:
        return {"time_zone": str(zone), **identity.settings()}

    def dispose(self) -> None:
        self._source.dispose()
