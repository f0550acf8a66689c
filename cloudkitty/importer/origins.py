# SPDX-License-Identifier: Apache-2.0
"""Opens what ``--from`` names."""

from urllib.parse import urlsplit

from cloudkitty.importer.database import OldDatabase
from cloudkitty.importer.influxdb.origin import OldInfluxDB
from cloudkitty.importer.influxdb.place import SCHEME
from cloudkitty.importer.origin import Origin


def opened(url: str) -> Origin:
    """Return the database or the store at *url*.

    :raises SourceError: the URL is none, or of something that cannot be read.
    """
    if urlsplit(url).scheme == SCHEME:
        return OldInfluxDB(url)
    return OldDatabase(url)
