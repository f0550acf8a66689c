# SPDX-License-Identifier: Apache-2.0
"""Running an import, for the tests of what it brings over."""

from typing import NamedTuple

from oslo_config import cfg

from cloudkitty import period
from cloudkitty.db.engine import Database
from cloudkitty.importer import origins
from cloudkitty.importer.run import Import, Options


class Brought(NamedTuple):
    """How an import has ended, and what it said."""

    well: bool
    text: str


def configure(conf: cfg.ConfigOpts) -> None:
    """The configuration of the service that the old one is replaced by."""
    conf.set_override("collector", "csv", "collect")
    conf.set_override("backend", "source", "fetcher")
    conf.set_override("auth_strategy", "noauth")


def bring(
    conf: cfg.ConfigOpts,
    database: Database,
    url: str,
    *,
    zone: str = "UTC",
    batch: int = 50,
    dry_run: bool = False,
) -> Brought:
    """Run the import."""
    origin = origins.opened(url)
    said: list[str] = []
    options = Options(period.zone(zone), batch, dry_run)
    try:
        well = Import(conf, database, origin, options, said.append).run()
    finally:
        origin.dispose()
    return Brought(well, "\n".join(said))
