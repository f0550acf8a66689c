# SPDX-License-Identifier: Apache-2.0
"""The clock of a processor: that of its host, checked by that of the database.

Invariant: it is never far ahead of either. A period that is rated before it has been is rated
empty, and never again; one that is rated late is only late.
"""

import datetime
import logging
from collections.abc import Callable

from cloudkitty.db.engine import Database

LOG = logging.getLogger(__name__)

TOLERANCE = datetime.timedelta(seconds=60)
"""How far two clocks may be apart that both are right."""


class CheckedClock:
    """The time of the host, or that of the database where the host's is far ahead of it.

    With SQLite both are the same clock.
    """

    def __init__(self, own: Callable[[], datetime.datetime], database: Database) -> None:
        self._own = own
        self._database = database
        self._told = False

    def __call__(self) -> datetime.datetime:
        """Return the instant.

        :raises DatabaseErrors: the database is away.
        """
        own, theirs = self._own(), self._database.now()
        wrong = own - theirs > TOLERANCE
        if wrong and not self._told:
            LOG.warning(
                "the clock of this host is %d s ahead of that of the database, which is believed",
                (own - theirs).total_seconds(),
            )
        self._told = wrong
        return theirs if wrong else own
