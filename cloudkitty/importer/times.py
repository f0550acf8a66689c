# SPDX-License-Identifier: Apache-2.0
"""Instants of the old service. Pure.

Invariant: dates of rules are read by the clock of the old server's time zone, all others as UTC.
"""

import datetime

from cloudkitty import period


def local(moment: datetime.datetime, zone: datetime.tzinfo) -> datetime.datetime:
    """Return a date of a rule as an instant; of an hour that a clock showed twice, the first."""
    return period.utc(moment if moment.tzinfo else moment.replace(tzinfo=zone))


def local_or_none(
    moment: datetime.datetime | None, zone: datetime.tzinfo
) -> datetime.datetime | None:
    return None if moment is None else local(moment, zone)
