# SPDX-License-Identifier: Apache-2.0
"""The InfluxDB (version 1) that an existing service keeps its points in.

Invariant: rules and states are not there but in that service's SQL database; both can be brought
over, in either order.
"""

import datetime
from collections.abc import Mapping, Sequence
from typing import Any

from cloudkitty.importer import scopes
from cloudkitty.importer.contents import Contents
from cloudkitty.importer.influxdb import place, statements
from cloudkitty.importer.influxdb.client import Client
from cloudkitty.importer.influxdb.layout import Layout
from cloudkitty.importer.influxdb.usage import InfluxUsage, layout_of
from cloudkitty.importer.origin import Origin
from cloudkitty.importer.scopes import Identity, OldScope
from cloudkitty.importer.source import SourceError
from cloudkitty.importer.usage import RatedUsage

_MAJOR = "1."


class OldInfluxDB(Origin):
    """See ``Origin``.

    :raises SourceError: the URL is none.
    """

    record = 2
    brings_rules = False

    def __init__(self, url: str) -> None:
        self._client = Client(place.parse(url))
        self.name = self._client.name
        self._usage: InfluxUsage | None = None

    def check(self, identity: Identity) -> Sequence[str]:
        version = self._client.version()
        if not version.startswith(_MAJOR):
            raise SourceError(
                f"--from: {self.name}: is InfluxDB {version}, and what can be read is version 1"
            )
        layout = layout_of(self._client)
        self._check_place(layout, identity)
        self._usage = InfluxUsage(self._client, layout, identity.scope_key, identity.seconds)
        return [
            f"InfluxDB {version}, measurement {statements.MEASUREMENT}",
            f"The tag {identity.scope_key} ([collect] scope_key) says whose a point is.",
            "Rules and states are in the SQL database of the old service, which is brought over "
            "on its own.",
        ]

    def _check_place(self, layout: Layout, identity: Identity) -> None:
        # Asked for points, the server says what is wrong with database and policy.
        newest = statements.newer(0)
        qty = statements.name(statements.QTY)
        for _row in self._client.rows(
            statements.select([qty], self._client.retention_policy, newest)
        ):
            pass
        if not layout.tags:
            raise self._nothing()
        if identity.scope_key not in layout.tags:
            raise SourceError(
                f"--from: {self.name}: points have no tag {identity.scope_key}; set [collect] "
                f"scope_key as it was. The tags are: {', '.join(layout.tags)}"
            )

    def _nothing(self) -> SourceError:
        return SourceError(
            f"--from: {self.name}: there are no points in measurement {statements.MEASUREMENT}"
        )

    def usage(self) -> RatedUsage | None:
        return self._usage

    def contents(
        self,
        usage: RatedUsage | None,
        identity: Identity,
        zone: datetime.tzinfo,
        here: Sequence[OldScope],
    ) -> Contents:
        contents = Contents(with_rules=False)
        if usage is not None:
            with usage.reading() as connection:
                contents.extents = usage.extents(connection)
        if not contents.extents:
            raise self._nothing()
        found = scopes.with_history(here, contents.extents, identity, contents.notes)
        contents.scopes = [old for old in found if old.extent is not None]
        return contents

    def settings(self, identity: Identity, zone: datetime.tzinfo) -> Mapping[str, Any]:
        return identity.settings()

    def dispose(self) -> None:
        self._client.close()
