# SPDX-License-Identifier: Apache-2.0
"""The window of time that a report is about.

Invariant: a period counts when it lies in the window as a whole; the default is the current
month of UTC.
"""

import datetime
from collections.abc import Collection
from dataclasses import dataclass

from cloudkitty import period
from cloudkitty.storage.base import Query


@dataclass(frozen=True)
class Window:
    """``begin`` and ``end`` as asked for."""

    begin: datetime.datetime
    end: datetime.datetime

    @classmethod
    def of(cls, begin: datetime.datetime | None, end: datetime.datetime | None) -> "Window":
        """Return the window with the default for what was not given."""
        month = period.current_month(datetime.datetime.now(period.UTC))
        return cls(begin or month.begin, end or month.end)

    def query(
        self,
        seconds: int,
        scopes: Collection[str] | None = None,
        metrics: Collection[str] | None = None,
    ) -> Query | None:
        """Return the question for the store, where periods of *seconds* are counted by their
        start; ``None`` when no period fits into the window."""
        try:
            # The first instant at which a period starts too late to fit.
            late = self.end - datetime.timedelta(seconds=seconds - 1)
        except OverflowError:
            return None
        if late <= self.begin or scopes == []:
            return None
        return Query(self.begin, late, scopes, metrics)
