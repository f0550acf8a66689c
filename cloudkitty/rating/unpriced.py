# SPDX-License-Identifier: Apache-2.0
"""Usage that nobody has priced: what the ledger has at a price of 0, and no rule acts on.

Invariants: pure; a rule that costs 0 prices; rules are those in force when a period begins, as they
stand now; points that were sent to the API have been priced by whoever sent them; work grows with
runs, and with the changes of rules in them, not with points.
"""

import dataclasses
import datetime
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from decimal import Decimal, localcontext
from typing import Protocol

from cloudkitty import money
from cloudkitty.dataframe import Series
from cloudkitty.scope import POSTED, Scope


class Run(Protocol):
    """Consecutive points of a series at a price of 0; see ``storage.base.FreeRun``."""

    @property
    def scope(self) -> Scope: ...
    @property
    def series(self) -> Series: ...
    @property
    def begin(self) -> datetime.datetime: ...
    @property
    def seconds(self) -> int: ...
    @property
    def points(self) -> int: ...
    @property
    def qty(self) -> Decimal: ...


class Rules(Protocol):
    """The rules of a scope at an instant; see ``pipeline.Matcher``."""

    @property
    def until(self) -> datetime.datetime | None: ...

    def matches(self, series: Series, qty: Decimal) -> bool: ...


RulesAt = Callable[[str, datetime.datetime], Rules]
"""From the id of a scope and an instant to the rules."""


@dataclasses.dataclass(slots=True)
class Unpriced:
    """Points of a metric whose attribute ``field`` has the text ``value``, empty where it is
    missing; an empty ``field``: rules look at no attribute. ``scope_id`` is there when points were
    told apart by it. ``begin`` is where the first point begins, ``end`` where the last one ends."""

    metric: str
    field: str
    value: str
    scope_id: str | None
    begin: datetime.datetime
    end: datetime.datetime
    points: int = 0
    qty: Decimal = money.ZERO
    scopes: set[Scope] = dataclasses.field(default_factory=set)

    @property
    def key(self) -> tuple[str, str, str, str]:
        """What tells rows apart, and what they are ordered by."""
        return self.metric, self.field, self.value, self.scope_id or ""

    def add(self, scope: Scope, stretch: "Stretch", qty: Decimal) -> None:
        self.begin = min(self.begin, stretch.begin)
        self.end = max(self.end, stretch.end)
        self.points += stretch.points
        self.qty += qty * stretch.points
        self.scopes.add(scope)


@dataclasses.dataclass(frozen=True, slots=True)
class Stretch:
    """Some consecutive points."""

    begin: datetime.datetime
    end: datetime.datetime
    points: int


@dataclasses.dataclass(frozen=True, slots=True)
class Tally:
    """``rows`` by metric, field and value: a point is in one row for each field that rules of its
    metric look at. ``points`` has every point once, by metric."""

    rows: Sequence[Unpriced]
    points: Mapping[str, int]


def tally(
    runs: Iterable[Run],
    rules_at: RulesAt,
    fields: Mapping[str, Sequence[str]],
    *,
    by_scope: bool = False,
) -> Tally:
    """Count the points that no rule acts on; *fields* are those that rules look at, by metric."""
    rows: dict[tuple[str, str, str, str], Unpriced] = {}
    points: dict[str, int] = {}
    rules_at = _Remembered(rules_at)
    with localcontext(money.EXACT):
        for run in runs:
            if run.scope.fetcher == POSTED:
                continue
            metric, whose = run.series.shape.metric, run.scope.identifier
            for stretch in unmatched(run, rules_at):
                points[metric] = points.get(metric, 0) + stretch.points
                for name in fields.get(metric) or ("",):
                    value = text_of(run.series, name)
                    key = (metric, name, value, whose if by_scope else "")
                    row = rows.get(key)
                    if row is None:
                        scope_id = whose if by_scope else None
                        row = rows[key] = Unpriced(
                            metric, name, value, scope_id, stretch.begin, stretch.end
                        )
                    row.add(run.scope, stretch, run.qty)
    return Tally([rows[key] for key in sorted(rows)], dict(sorted(points.items())))


class _Remembered:
    """Rules by scope, asked for again only where they may be others."""

    def __init__(self, rules_at: RulesAt) -> None:
        self._rules_at = rules_at
        self._known: dict[str, tuple[datetime.datetime, Rules]] = {}

    def __call__(self, scope_id: str, at: datetime.datetime) -> Rules:
        known = self._known.get(scope_id)
        if known is not None:
            begin, rules = known
            if begin <= at and (rules.until is None or at < rules.until):
                return rules
        rules = self._rules_at(scope_id, at)
        self._known[scope_id] = at, rules
        return rules


def unmatched(run: Run, rules_at: RulesAt) -> Iterator[Stretch]:
    """Yield the parts of a run that no rule acts on."""
    step = datetime.timedelta(seconds=run.seconds)
    begin, left = run.begin, run.points
    while left:
        rules = rules_at(run.scope.identifier, begin)
        count = left
        if rules.until is not None:
            # A period is rated by the rules that are in force when it begins.
            count = min(left, max(1, -((begin - rules.until) // step)))
        end = begin + count * step
        if not rules.matches(run.series, run.qty):
            yield Stretch(begin, end, count)
        begin, left = end, left - count


def text_of(series: Series, name: str) -> str:
    """Return an attribute's value as text; one that is missing is empty."""
    try:
        value = series.get(name)
    except KeyError:
        return ""
    return "" if value is None else str(value)
