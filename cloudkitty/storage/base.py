# SPDX-License-Identifier: Apache-2.0
"""What a storage driver is: it keeps rated usage, and answers questions about it.

Windows are half-open and refer to the start of a point: a point is inside ``[begin, end)``
when its period starts there.
"""

import abc
import datetime
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from decimal import Decimal
from typing import NamedTuple

from oslo_config import cfg

from cloudkitty.dataframe import DataFrame, Registry, Series
from cloudkitty.db.engine import Database
from cloudkitty.period import UTC, Period
from cloudkitty.scope import Scope, ScopeState

GROUP_TYPE = "type"
GROUP_SCOPE = "scope"
GROUP_TIME = "time"


class StorageError(Exception):
    """The store could not be read or written; the message says why."""


class Purged(StorageError):
    """Of the time in question only totals are left, which cannot answer it, and are not changed;
    the message says since when, and what is possible."""

    http_status = 400


@dataclass(frozen=True, slots=True)
class Query:
    """Which points a question is about.

    ``scopes`` and ``metrics`` of ``None`` mean all. ``filters`` maps an attribute (groupby or
    metadata) to the texts of which it must have one; all attributes must match. An attribute that
    a point lacks is the empty text.
    """

    begin: datetime.datetime
    end: datetime.datetime
    scopes: Collection[str] | None = None
    metrics: Collection[str] | None = None
    filters: Mapping[str, Collection[str]] = field(default_factory=dict)


Marker = tuple[str | int, ...]
"""The place of an item in the order of its listing, as the driver writes it. It stays where it is,
whatever is added to the listing or taken away, the item itself included."""


class WrongMarker(ValueError):
    """This is not the place of any item of the listing."""


class ScopedFrame(NamedTuple):
    """The points that one scope has in one period (of one page)."""

    scope: Scope
    frame: DataFrame


class FreeRun(NamedTuple):
    """Consecutive points of a series of a scope that cost nothing: ``points`` of them, each of
    ``qty`` and ``seconds`` long, the first from ``begin`` on."""

    scope: Scope
    series: Series
    begin: datetime.datetime
    seconds: int
    points: int
    qty: Decimal


class Stretch(NamedTuple):
    """Consecutive periods of equal content: the frame of the first, and how many there are."""

    frame: DataFrame
    periods: int


@dataclass(frozen=True, slots=True)
class Page:
    """Some frames, in the order of period begin, period end, scope; ``total`` counts the points
    of the whole answer. The next page begins behind ``next``; ``None``: there is none."""

    total: int
    frames: Sequence[ScopedFrame]
    next: Marker | None = None


class Scan(NamedTuple):
    """Frames that are read from the store while they are iterated over, once; ``total`` and
    ``next`` as in ``Page``."""

    total: int
    frames: Iterator[ScopedFrame]
    next: Marker | None = None


class Extremes(NamedTuple):
    """The least and the greatest quantity and price of a point."""

    min_qty: Decimal
    max_qty: Decimal
    min_price: Decimal
    max_price: Decimal


@dataclass(frozen=True, slots=True)
class TotalRow:
    """Sums over one group. ``group`` has the values in the order of the question's group-by;
    ``begin`` and ``end`` are the question's, the part of them in one year when grouped by a
    calendar unit, or the period's when grouped by time. ``points`` is how many were added up;
    ``extremes`` are there when they were asked for."""

    begin: datetime.datetime
    end: datetime.datetime
    qty: Decimal
    price: Decimal
    group: tuple[str, ...]
    points: int
    extremes: Extremes | None = None


@dataclass(frozen=True, slots=True)
class Totals:
    """One page of sums, ordered by time and then by group values; ``total`` counts all rows. The
    next page begins behind ``next``; ``None``: there is none."""

    total: int
    rows: Sequence[TotalRow]
    next: Marker | None = None


class Removed(NamedTuple):
    """What one step of a purge has turned into totals: points, of which the rows that they were
    kept in, and the series, which nothing refers to any more, are gone or cut."""

    scopes: frozenset[int]
    points: int
    rows: int
    series: int


class Storage(abc.ABC):
    """Base of all storage drivers; entry points live in ``cloudkitty.storage.v2.backends``."""

    def __init__(self, conf: cfg.ConfigOpts, database: Database, registry: Registry) -> None:
        self.conf = conf
        self.database = database
        self.registry = registry

    @abc.abstractmethod
    def init(self) -> None:
        """Make or check whatever must exist before the first write. Harmless when repeated."""

    @abc.abstractmethod
    def replace(
        self, period: Period, frames: Mapping[ScopeState, DataFrame]
    ) -> Collection[ScopeState]:
        """Make the content of *period* for each of these scopes exactly its frame.

        For a scope whose horizon is the period's begin (or that has none yet), the horizon moves
        to the period's end in the same transaction. For one whose horizon is at or after the
        period's end, the period is swapped in place. A scope whose horizon is, by now, not the
        one in its state is left untouched.

        :returns: the scopes left untouched, because somebody else has moved them.
        :raises StorageError: nothing has been written.
        """

    @abc.abstractmethod
    def stretches(self, state: ScopeState, window: Period) -> Sequence[Stretch]:
        """Return what the scope has in the window, as stretches of equal content in order.
        Periods without points are in none."""

    @abc.abstractmethod
    def rewrite(
        self, window: Period, contents: Mapping[ScopeState, Sequence[Stretch]]
    ) -> Collection[ScopeState]:
        """Make the content of the window, which lies before the scopes' horizons, exactly this,
        for all of them at one instant.

        :returns: the scopes left untouched, because somebody else has moved them.
        :raises StorageError: nothing has been written.
        """

    @abc.abstractmethod
    def rewind(self, state: ScopeState, instant: datetime.datetime) -> bool:
        """Make *instant* the scope's horizon: later points go, and rating goes on from there.

        :returns: whether the scope was still where its state has it; if not, nothing happens.
        :raises StorageError: nothing has been written.
        """

    @abc.abstractmethod
    def put(self, frames: Mapping[int, Sequence[DataFrame]]) -> None:
        """Add points that have a price already to scopes, by the key of the scope. A point of
        the same series in the same period is replaced. Horizons stay where they are.

        :raises StorageError: nothing has been written.
        """

    @abc.abstractmethod
    def scan(
        self,
        query: Query,
        offset: int = 0,
        limit: int | None = None,
        *,
        by_metric: bool = False,
        after: Marker | None = None,
    ) -> AbstractContextManager[Scan]:
        """Open points for reading, ordered and paged as if each were a row.

        All of them are of one state of the store, and memory does not grow with the number of
        periods. Frames come by period, and one a scope; with *by_metric*, points come by period
        and then by metric, and a frame has one metric of one scope. The order of two points
        never changes: a series stays where it is when its scope is given other names, and when
        its quantities or prices are. *offset* counts from behind *after*.

        :raises WrongMarker: *after* is not from a scan of this kind.
        :raises Purged: some of the points are not kept any more.
        """

    def retrieve(
        self,
        query: Query,
        offset: int = 0,
        limit: int | None = 1000,
        *,
        after: Marker | None = None,
    ) -> Page:
        """Return points, ordered and paged as if each were a row."""
        with self.scan(query, offset, limit, after=after) as scan:
            return Page(scan.total, list(scan.frames), scan.next)

    @abc.abstractmethod
    def total(
        self,
        query: Query,
        groupby: Sequence[str] = (),
        offset: int = 0,
        limit: int | None = None,
        *,
        zone: datetime.tzinfo = UTC,
        extremes: bool = False,
        after: Marker | None = None,
    ) -> Totals:
        """Return exact sums of quantities and prices. *offset* counts from behind *after*.

        *groupby*: ``type`` (the metric), ``scope``, ``time`` (each period), ``year``, ``month``,
        ``week_of_the_year``, ``day_of_the_year`` (by the calendar of *zone*, from the start of a
        period), or any attribute; an attribute that a point lacks groups as the empty text. A
        groupby attribute goes before a metadata one of the same name.

        :raises WrongMarker: *after* is not from a question with as many groups.
        :raises Purged: the totals that are left of the points do not tell.
        """

    @abc.abstractmethod
    def free(self, query: Query) -> AbstractContextManager[Iterator[FreeRun]]:
        """Open the points of a price of 0 for reading, consecutive equal ones together, in no
        order."""

    @abc.abstractmethod
    def delete(self, query: Query) -> None:
        """Remove the points. Horizons stay where they are.

        :raises StorageError: nothing has been removed.
        """

    def purgeable(
        self, before: datetime.datetime, scopes: Collection[str] | None = None
    ) -> Mapping[str, int]:
        """Return in how many rows each scope keeps points that start before the instant, by its
        id; scopes without any are left out.

        :raises StorageError: this driver cannot purge.
        """
        raise StorageError("[storage] backend: this one cannot purge")

    def purge(
        self,
        before: datetime.datetime,
        zone: datetime.tzinfo,
        scopes: Collection[str] | None = None,
        spare: Collection[int] = (),
    ) -> Iterator[Removed]:
        """Turn what scopes have before the instant (and before their horizon) into totals by
        scope, metric and day and month of *zone*; scopes with a key in *spare* stay as they are.

        Each step is done when it is asked for, and is a short transaction: points are there or
        their totals are. What has been done stays when the rest is not asked for, and is not
        done again.

        :raises StorageError: the step has not been done, or this driver cannot purge.
        """
        raise StorageError("[storage] backend: this one cannot purge")

    def purged_until(self, scope_ids: Collection[int]) -> Mapping[int, datetime.datetime]:
        """Return the instant before which a scope's points have become totals, by its key; of
        scopes that keep all, there is none."""
        return {}

    @abc.abstractmethod
    def scopes_with_data(self, begin: datetime.datetime, end: datetime.datetime) -> Sequence[str]:
        """Return the ids of the scopes that have points in the window, each once, sorted."""
