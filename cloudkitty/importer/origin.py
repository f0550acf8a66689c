# SPDX-License-Identifier: Apache-2.0
"""What can be brought over at one go: the database of an existing service, or the usage that it
keeps elsewhere.

Invariant: what is opened is only read.
"""

import abc
import datetime
from collections.abc import Mapping, Sequence
from typing import Any

from cloudkitty.importer.contents import Contents
from cloudkitty.importer.scopes import Identity, OldScope
from cloudkitty.importer.usage import RatedUsage


class Origin(abc.ABC):
    """One thing that ``--from`` can name."""

    name: str
    """Kind, place and name, without user and password."""

    record: int
    """Key of its row among the imports: of each kind there is one at most."""

    brings_rules: bool
    """Whether rules and states come from it, or only what was rated."""

    @abc.abstractmethod
    def check(self, identity: Identity) -> Sequence[str]:
        """Look whether it can be read, and return what people should know of it.

        :raises SourceError: it cannot; the message says why.
        """

    @abc.abstractmethod
    def usage(self) -> RatedUsage | None:
        """Return its rated usage, after ``check``; ``None``: it has no place for any."""

    @abc.abstractmethod
    def contents(
        self,
        usage: RatedUsage | None,
        identity: Identity,
        zone: datetime.tzinfo,
        here: Sequence[OldScope],
    ) -> Contents:
        """Return all that is to be brought over but the usage itself; *zone* is that of the old
        server, and *here* are the scopes that there are here already."""

    @abc.abstractmethod
    def settings(self, identity: Identity, zone: datetime.tzinfo) -> Mapping[str, Any]:
        """Return the options that what is brought over depends on."""

    @abc.abstractmethod
    def dispose(self) -> None:
        """Close the connections."""
