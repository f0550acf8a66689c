# SPDX-License-Identifier: Apache-2.0
"""What an import needs to know of rated usage, wherever an existing service keeps it.

Invariants: reading changes nothing there; usage is read scope by scope in the order of time, some
of it at a time; amounts come as the decimals that they were written as.
"""

import abc
from collections.abc import Hashable, Iterator, Mapping
from contextlib import AbstractContextManager
from decimal import Decimal
from typing import Any, NamedTuple

from cloudkitty import period
from cloudkitty.dataframe import Scalar

_CALENDAR = frozenset(period.CALENDAR_UNITS)


class Extent(NamedTuple):
    """How many rows a scope has (marks included), and from when to when, in Unix seconds."""

    tenant: str | None
    rows: int
    first: int
    last: int


class Row(NamedTuple):
    """One rated row, decoded but for ``what``: metric, unit and attributes, which ``described``
    understands and which is equal for equal ones."""

    qty: Decimal
    price: Decimal
    what: Hashable


class Described(NamedTuple):
    """What was used."""

    metric: str
    unit: str
    groupby: dict[str, Scalar]
    metadata: dict[str, Scalar]
    description: str | None = None


class Month(NamedTuple):
    """A metric of a scope in one UTC month."""

    metric: str
    year: int
    month: int


class Alike(NamedTuple):
    """``rows`` of one month, each with this quantity and price."""

    month: Month
    rows: int
    qty: Decimal
    price: Decimal


class RatedUsage(abc.ABC):
    """Rated usage of an existing service. *connection* is what ``reading`` gives."""

    single: bool
    """Whether prices are kept in single precision."""

    @abc.abstractmethod
    def reading(self) -> AbstractContextManager[Any]:
        """Open it for reading alone.

        :raises SourceError: what is read inside has failed.
        """

    @abc.abstractmethod
    def extents(self, connection: Any) -> list[Extent]:
        """Return every scope that has rows, by name."""

    @abc.abstractmethod
    def period(self, connection: Any) -> int | None:
        """Return the length in seconds of the newest row's period."""

    @abc.abstractmethod
    def count(self, connection: Any, tenant: str | None, before: int) -> int:
        """Return how many rows of a scope begin before an instant."""

    @abc.abstractmethod
    def stream(
        self, connection: Any, extent: Extent, since: int | None
    ) -> Iterator[tuple[int, int, Hashable]]:
        """Yield the rows of a scope that begin at *since* or later, in the order of their begin:
        begin and end in Unix seconds and the rest, which ``decode`` understands and which is equal
        for equal rows."""

    @abc.abstractmethod
    def decode(self, raw: Any) -> Row:
        """Return what a row of ``stream`` says.

        :raises money.NotAnAmount: its quantity or price is no amount.
        """

    @abc.abstractmethod
    def described(self, what: Any) -> Described:
        """Return what a row is about."""

    @abc.abstractmethod
    def alike(self, connection: Any, extent: Extent) -> Iterator[Alike]:
        """Yield what a scope has, read in another way than by ``stream``."""

    @abc.abstractmethod
    def reported(self, connection: Any, extent: Extent) -> Iterator[tuple[Month, Decimal]]:
        """Yield the sums of a scope's prices as the database there adds them up."""

    @abc.abstractmethod
    def distinct(self, connection: Any, tenant: str | None, month: Month) -> int:
        """Return how many rows of a month there are, of which none has unit, period and attributes
        of another."""


def without_calendar(attributes: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return attributes without those that newer releases have made of the period: no two days
    would have the same, and reports here find them by themselves."""
    if attributes.keys() >= _CALENDAR:
        return {name: value for name, value in attributes.items() if name not in _CALENDAR}
    return attributes
