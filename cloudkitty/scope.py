# SPDX-License-Identifier: Apache-2.0
"""Scopes: who is rated, and how far."""

import datetime
from dataclasses import dataclass

from cloudkitty.period import Period

POSTED = "api"
"""Fetcher and collector of the points that were sent to the API. They have scopes of their own,
which nobody rates and no list shows."""


@dataclass(frozen=True, slots=True, order=True)
class Scope:
    """The identity of a scope: its id, what kind of attribute the id is a value of, and where
    scope and usage come from."""

    identifier: str
    scope_key: str
    fetcher: str
    collector: str

    def __str__(self) -> str:
        return f"{self.scope_key}={self.identifier}"


@dataclass(frozen=True, slots=True)
class ScopeState:
    """A scope as it stands in the database.

    ``starts_at`` is where its first period begins, ``horizon`` the instant up to which it has been
    rated, ``None`` before the first period.
    ``version`` moves with every change of the scope's part of the ledger. ``gone_at`` is when
    the scope was first missing where it had been listed, ``None`` while it is listed.
    """

    id: int
    scope: Scope
    starts_at: datetime.datetime
    horizon: datetime.datetime | None
    version: int
    active: bool
    toggled_at: datetime.datetime
    failures: int = 0
    retry_at: datetime.datetime | None = None
    last_error: str | None = None
    gone_at: datetime.datetime | None = None

    def last_processed(self, seconds: int) -> datetime.datetime | None:
        """Return the start of the last period rated, for periods of *seconds*."""
        if self.horizon is None:
            return None
        return self.horizon - datetime.timedelta(seconds=seconds)

    def following(self, seconds: int) -> Period:
        """Return the period to rate next, for periods of *seconds*."""
        return Period.of(self.horizon or self.starts_at, seconds)

    def behind(self, seconds: int, until: datetime.datetime) -> int:
        """Return how many periods of *seconds* are left to rate that begin before *until*."""
        begin = self.following(seconds).begin
        until = until if self.gone_at is None else min(self.gone_at, until)
        return max(0, -((begin - until) // datetime.timedelta(seconds=seconds)))

    def rests(self, seconds: int) -> bool:
        """Return whether nothing can have been used in the period to rate next, as the scope was
        gone before it began."""
        return self.gone_at is not None and self.gone_at <= self.following(seconds).begin
