# SPDX-License-Identifier: Apache-2.0
"""Rules that begin, end and are never forgotten: what modules' rules with dates have in common.

Invariants: instants are aware UTC in whole seconds; a rule is in force at its start and no longer
at its end; one that has begun can only be given an end, once and in the future; a deleted rule
is kept, and its name is free.
"""

import datetime
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from cloudkitty import period
from cloudkitty.i18n import _
from cloudkitty.rating.errors import Invalid

TEXT_LENGTH = 255
DESCRIPTION_LENGTH = 256

Instants = tuple[datetime.datetime, datetime.datetime | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class DatedRule:
    """A rule of any module as its store gives it; ``end`` of ``None`` is open."""

    name: str
    description: str | None
    start: datetime.datetime
    end: datetime.datetime | None
    created_at: datetime.datetime
    created_by: str
    updated_by: str | None = None
    deleted: datetime.datetime | None = None
    deleted_by: str | None = None


Rule = TypeVar("Rule", bound=DatedRule)


@dataclass(frozen=True, kw_only=True)
class DatedFilter:
    """Which rules to list. ``start``: rules that begin then or later; ``end``: rules that end
    before; ``description``: part of it, whatever its case; ``is_active``: only rules in force now
    (false asks nothing)."""

    deleted: bool = False
    start: datetime.datetime | None = None
    end: datetime.datetime | None = None
    updated_by: str | None = None
    created_by: str | None = None
    deleted_by: str | None = None
    description: str | None = None
    is_active: bool = False


def in_force(
    start: datetime.datetime | None, end: datetime.datetime | None, at: datetime.datetime
) -> bool:
    """Whether *at* lies in the validity ``[start, end)``, open where there is no instant."""
    return (start is None or start <= at) and (end is None or at < end)


def too_long(name: str, value: str, length: int) -> Invalid:
    """Return what is said of a text with more than *length* characters."""
    return Invalid(
        _("{name}: {found} characters are more than {length}"),
        name=name,
        found=len(value),
        length=length,
    )


def text(name: str, value: str | None, length: int = TEXT_LENGTH) -> None:
    """:raises Invalid: *value* is too long, or has a character that no database keeps."""
    if value is None:
        return
    if len(value) > length:
        raise too_long(name, value, length)
    if "\0" in value:
        raise Invalid(_("{name}: a null character is not allowed"), name=name)


def required_text(name: str, value: str) -> None:
    """:raises Invalid: as ``text``, and for an empty one."""
    text(name, value)
    if not value:
        raise Invalid(_("{name}: must not be empty"), name=name)


def validity(
    start: datetime.datetime | None,
    end: datetime.datetime | None,
    *,
    now: datetime.datetime,
    force: bool,
) -> Instants:
    """Return when a new rule begins, by default *now*, and ends; *force* allows a start in the
    past.

    :raises Invalid: it would begin in the past, or after its end.
    """
    begins = now if start is None else period.utc(start)
    ends = None if end is None else period.utc(end)
    if not force:
        _check_start(begins, now)
    _check_end(begins, ends)
    return begins, ends


def _check_start(start: datetime.datetime, now: datetime.datetime) -> None:
    if start < now:
        raise Invalid(
            _("Cannot create a rule with start in the past. start: {start}, now: {now}"),
            start=start.isoformat(),
            now=now.isoformat(),
        )


def _check_end(start: datetime.datetime, end: datetime.datetime | None) -> None:
    if end is not None and end < start:
        raise Invalid(
            _("Cannot create a rule with start after end. start: {start}, end: {end}"),
            start=start.isoformat(),
            end=end.isoformat(),
        )


def changes(
    rule: DatedRule,
    wanted: Mapping[str, Any],
    now: datetime.datetime,
    *,
    fixed: Sequence[str],
    free: Sequence[str],
) -> dict[str, Any]:
    """Return the attributes of *rule* that *wanted* really changes, with their new values.

    *fixed* are the attributes, but for the dates, that a rule which has begun keeps; *free* those
    that one which has not begun may change besides its dates and description, which is removed
    when it is not sent.

    :raises Invalid: *wanted* asks for more than that.
    """
    wanted = dict(wanted)
    for key in ("start", "end"):
        if wanted.get(key) is not None:
            wanted[key] = period.utc(wanted[key])
    if rule.start <= now:
        return _changes_of_running(rule, wanted, now, (*fixed, "name", "description", "start"))
    return _changes_of_future(rule, wanted, now, (*free, "start"))


def _changes_of_running(
    rule: DatedRule, wanted: Mapping[str, Any], now: datetime.datetime, fixed: Sequence[str]
) -> dict[str, Any]:
    others = [key for key in fixed if wanted.get(key) and wanted[key] != getattr(rule, key)]
    end = wanted.get("end")
    if not others and (end is None or end == rule.end):
        return {}
    if rule.end is not None:
        raise Invalid(
            _("Cannot update a rule that was already processed and has a defined end date.")
        )
    if others:
        raise Invalid(
            _(
                "You are allowed to update only the attribute [end] as this rule is already "
                "running as it started on [{start}]; you also sent: {others}."
            ),
            start=rule.start.isoformat(),
            others=", ".join(others),
        )
    if end is None or end <= now:
        raise Invalid(_("End date must be in the future. end: {end}, now: {now}"), end=end, now=now)
    return {"end": end}


def _changes_of_future(
    rule: DatedRule, wanted: Mapping[str, Any], now: datetime.datetime, free: Sequence[str]
) -> dict[str, Any]:
    values: dict[str, Any] = {"description": wanted.get("description")}
    for key in free:
        if wanted.get(key) is not None:
            values[key] = wanted[key]
    if "end" in wanted:
        values["end"] = wanted["end"]
    text("description", values["description"], DESCRIPTION_LENGTH)
    start = values.get("start", rule.start)
    _check_start(start, now)
    _check_end(start, values.get("end", rule.end))
    return {key: value for key, value in values.items() if value != getattr(rule, key)}


def described(rules: Iterable[Rule], part: str | None) -> list[Rule]:
    """Return the rules whose description has *part* in it, whatever its case; all for ``None``.

    Not left to the database: they differ in which letters they know the other case of.
    """
    if part is None:
        return list(rules)
    part = part.casefold()
    return [rule for rule in rules if part in (rule.description or "").casefold()]
