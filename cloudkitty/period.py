# SPDX-License-Identifier: Apache-2.0
"""All period and calendar arithmetic.

Invariants: an instant is an aware UTC ``datetime`` without fraction of a second; a period
is half-open, ``[begin, end)``; nothing here reads a clock.
"""

import datetime
from collections.abc import Iterator
from dataclasses import dataclass
from zoneinfo import ZoneInfo

from dateutil import parser as dateutil_parser

UTC = datetime.UTC
_EPOCH = datetime.datetime(1970, 1, 1, tzinfo=UTC)

CALENDAR_UNITS = ("year", "month", "week_of_the_year", "day_of_the_year")


class NotAnInstant(ValueError):
    """The text does not name an instant."""


def utc(moment: datetime.datetime) -> datetime.datetime:
    """Return *moment* as aware UTC without fraction of a second; naive means UTC."""
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return moment.astimezone(UTC).replace(microsecond=0)


def parse(written: str) -> datetime.datetime:
    """Read an instant: a date, or a date and a time with ``T`` or a space, with or without
    an offset (without means UTC).

    :raises NotAnInstant: the text is none of these.
    """
    try:
        return utc(datetime.datetime.fromisoformat(written.strip()))
    except (ValueError, OverflowError):
        pass
    try:
        return utc(dateutil_parser.isoparse(written.strip()))
    except (ValueError, OverflowError):
        raise NotAnInstant(
            f"{written!r} is not an instant; write it like 2026-01-31T13:00:00+00:00"
        ) from None


def epoch(moment: datetime.datetime) -> int:
    """Return the whole seconds since 1970-01-01 00:00 UTC."""
    return int((moment - _EPOCH) // datetime.timedelta(seconds=1))


def from_epoch(seconds: int) -> datetime.datetime:
    """Return the instant that many seconds after 1970-01-01 00:00 UTC."""
    return _EPOCH + datetime.timedelta(seconds=seconds)


def month_start(moment: datetime.datetime, zone: datetime.tzinfo = UTC) -> datetime.datetime:
    """Return the first instant of the month that *moment* lies in, by the calendar of *zone*."""
    local = moment.astimezone(zone)
    return utc(local.replace(day=1, hour=0, minute=0, second=0, microsecond=0, fold=0))


def next_month(moment: datetime.datetime, zone: datetime.tzinfo = UTC) -> datetime.datetime:
    """Return the first instant of the month after the one that *moment* lies in."""
    local = moment.astimezone(zone)
    year, month = (local.year + 1, 1) if local.month == 12 else (local.year, local.month + 1)
    return utc(datetime.datetime(year, month, 1, tzinfo=zone))


@dataclass(frozen=True, slots=True, order=True)
class Period:
    """A half-open stretch of time, ``[begin, end)``."""

    begin: datetime.datetime
    end: datetime.datetime

    def __post_init__(self) -> None:
        for moment in (self.begin, self.end):
            if moment.tzinfo is None:
                raise ValueError(f"{moment} has no time zone")
        if not self.begin < self.end:
            raise ValueError(f"a period must end after it begins: {self}")

    @classmethod
    def of(cls, begin: datetime.datetime, seconds: int) -> "Period":
        """Return the period of *seconds* that starts at *begin*."""
        return cls(begin, begin + datetime.timedelta(seconds=seconds))

    @property
    def seconds(self) -> int:
        return epoch(self.end) - epoch(self.begin)

    def following(self) -> "Period":
        """Return the period of equal length that starts where this one ends."""
        return Period(self.end, self.end + (self.end - self.begin))

    def __str__(self) -> str:
        return f"[{self.begin.isoformat()}, {self.end.isoformat()})"


def current_month(now: datetime.datetime, zone: datetime.tzinfo = UTC) -> Period:
    """Return the month that *now* lies in: the default window of every report."""
    return Period(month_start(now, zone), next_month(now, zone))


def calendar_attributes(moment: datetime.datetime, zone: datetime.tzinfo = UTC) -> dict[str, str]:
    """Return year, month, week (weeks begin on Sunday, ``00`` to ``53``) and day of the year of
    *moment* as text, in the form that group-by columns show."""
    local = moment.astimezone(zone)
    return {
        "year": str(local.year),
        "month": str(local.month),
        "week_of_the_year": local.strftime("%U"),
        "day_of_the_year": str(local.timetuple().tm_yday),
    }


def days(
    begin: datetime.datetime, end: datetime.datetime, zone: datetime.tzinfo = UTC
) -> Iterator[tuple[datetime.datetime, datetime.datetime]]:
    """Cut ``[begin, end)`` at the midnights of *zone* and yield the pieces in order.

    A day of a zone with daylight saving has 23 or 25 hours.
    """
    while begin < end:
        local = begin.astimezone(zone)
        try:
            tomorrow = local.date() + datetime.timedelta(days=1)
            midnight = utc(datetime.datetime.combine(tomorrow, datetime.time(), tzinfo=zone))
        except OverflowError:
            midnight = end  # the last day of the calendar
        cut = min(midnight, end)
        yield begin, cut
        begin = cut


def zone(name: str) -> ZoneInfo:
    """Return the named time zone.

    :raises ValueError: there is no such zone.
    """
    try:
        return ZoneInfo(name)
    except (KeyError, OSError, ValueError):
        raise ValueError(f"{name!r} is not a time zone; write it like Europe/Paris") from None
