# SPDX-License-Identifier: Apache-2.0
"""Holds the whole ledger against what should be in it.

What is proven: each period of each scope, from the first to its horizon, has each resource that was
used exactly once and no other; each quantity is right, and each price that has a date; each price
that changes at once is one that was in force at an instant at which that period of the scope
may have been rated, the same for all points of the period and never one older than before. The
sums that the API answers are those of these points. All digits count.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from fractions import Fraction
from typing import Any

from cloudkitty import period
from cloudkitty.dataframe import Point
from cloudkitty.storage.base import Query, Storage
from soaking.client import Client, query
from soaking.cloud import SERVICES, Cloud, Used
from soaking.prices import SENT, SENT_COST, AtOnce, Prices
from soaking.samples import Move

SCOPES_AT_ONCE = 50

LISTED = 1_000_000
"""Most rows of a listing: more than there are."""

Sums = dict[tuple[str, str], tuple[Fraction, Fraction]]
"""By scope and service, the quantity and the price."""


class Check:
    """What is found wrong is counted in ``wrong``, and ``examples`` has some of it in words."""

    def __init__(
        self,
        *,
        cloud: Cloud,
        prices: Prices,
        moves: Mapping[str, Sequence[Move]],
        horizons: Mapping[str, int],
    ) -> None:
        """*horizons* are up to where each scope has been rated, in seconds since 1970."""
        self._cloud = cloud
        self._prices = prices
        self._moves = moves
        self._horizons = horizons
        self._dated = {
            (key, begin): prices.cost(key, begin)
            for key in prices.dated
            for begin in range(cloud.first, max(horizons.values()), cloud.seconds)
        }
        self.sums: Sums = defaultdict(lambda: (Fraction(0), Fraction(0)))
        self.points = 0
        self.periods = 0
        self.wrong: Counter[str] = Counter()
        self.examples: list[str] = []

    def ledger(self, storage: Storage) -> None:
        """Read and check every point."""
        scopes = self._cloud.scopes()
        begin = period.from_epoch(self._cloud.first - 100 * self._cloud.seconds)
        end = period.from_epoch(max(self._horizons.values()) + 100 * self._cloud.seconds)
        for start in range(0, len(scopes), SCOPES_AT_ONCE):
            some = scopes[start : start + SCOPES_AT_ONCE]
            points: dict[str, dict[int, list[Point]]] = {scope: {} for scope in some}
            for found in storage.retrieve(Query(begin, end, scopes=some), limit=None).frames:
                at = period.epoch(found.frame.period.begin)
                points[found.scope.identifier].setdefault(at, []).extend(found.frame)
            for number, scope in enumerate(some, start):
                self._scope(number, points[scope])

    def answers(self, client: Client) -> None:
        """Compare the sums of the API, of each project and service and of all, with those of the
        points that have been checked."""
        window = {
            "begin": period.from_epoch(self._cloud.first).isoformat(),
            "end": period.from_epoch(max(self._horizons.values())).isoformat(),
        }
        listing = query("/v2/summary", **window, groupby=["type", "project_id"], limit=LISTED)
        rows = client.need("GET", listing)
        place = {name: rows["columns"].index(name) for name in rows["columns"]}
        told = {
            (row[place["project_id"]], row[place["type"]]): (
                Fraction(row[place["qty"]]),
                Fraction(row[place["rate"]]),
            )
            for row in rows["results"]
        }
        for key in told.keys() | self.sums.keys():
            if told.get(key) != self.sums.get(key):
                self._say("sums", f"{key}: {told.get(key)}, not {self.sums.get(key)}")
        total = client.need("GET", query("/v1/report/total", **window, all_tenants="true"))
        if Fraction(total) != self.price:
            self._say("sums", f"the total is {total}, not {self.price}")

    @property
    def price(self) -> Fraction:
        """What all points cost."""
        return sum((price for _qty, price in self.sums.values()), Fraction(0))

    def _scope(self, number: int, points: Mapping[int, Sequence[Point]]) -> None:
        scope = self._cloud.scope(number)
        horizon = self._horizons.get(scope, self._cloud.first)
        possible = _Possible(self._prices.at_once, self._moves.get(scope, ()))
        due = range(self._cloud.first, horizon, self._cloud.seconds)
        self.periods += len(due)
        for begin in points.keys() - set(due):
            self._say("periods too many", f"{scope} has a period from {begin}")
        for begin in due:
            index = self._cloud.index(begin)
            self._period(scope, begin, self._used(number, index), points.get(begin, ()), possible)

    def _used(self, number: int, index: int) -> list[Used]:
        return [used for metric in SERVICES for used in self._cloud.used(metric, number, index)]

    def _period(
        self,
        scope: str,
        begin: int,
        expected: Iterable[Used],
        points: Sequence[Point],
        possible: "_Possible",
    ) -> None:
        where = f"{scope}, period from {begin}"
        left = Counter((point.metric, *_names(point)) for point in points)
        if not points:
            self._say("periods missing", where)
        values = {(SERVICES[one.metric], one.resource, one.flavor): one.qty for one in expected}
        for key in values.keys() - left.keys():
            self._say("points missing", f"{where}: {key}")
        factors = set()
        for point in points:
            key = (point.metric, *_names(point))
            self.points += 1
            self._add(scope, point)
            if key not in values or left[key] > 1:
                self._say(
                    "points doubled" if key in values else "points too many", f"{where}: {key}"
                )
                continue
            if Fraction(point.qty) != values[key]:
                self._say("quantities", f"{where}: {key} {point.qty}, not {values[key]}")
            elif point.metric == SENT:
                factors.add(Fraction(point.price) / (values[key] * Fraction(SENT_COST)))
            else:
                price = values[key] * self._dated[(point.metric, key[2]), begin]
                if Fraction(point.price) != price:
                    self._say("prices", f"{where}: {key} {point.price}, not {price}")
        if why := possible.why_not(begin, begin + self._cloud.seconds, factors):
            self._say("prices", f"{where}: {why}")

    def _add(self, scope: str, point: Point) -> None:
        qty, price = self.sums[scope, point.metric]
        self.sums[scope, point.metric] = qty + Fraction(point.qty), price + Fraction(point.price)

    def _say(self, what: str, example: str) -> None:
        self.wrong[what] += 1
        if self.wrong[what] <= 3:
            self.examples.append(f"{what}: {example}")


class _Possible:
    """The factors that periods of one scope may have, asked for from the oldest on."""

    def __init__(self, history: Sequence[AtOnce], moves: Sequence[Move]) -> None:
        self._history = history
        self._numbers = {Fraction(one.cost): number for number, one in enumerate(history)}
        self._moves = sorted(moves)
        self._move = 0
        self._least = 0
        self._after = 0.0

    def why_not(self, begin: int, end: int, factors: set[Fraction]) -> str:
        """Return why a period cannot have these factors, an empty text if it can.

        A period is rated when it has ended, and after the one before: so not before the last look
        that still saw that one missing, and before the first look that saw this one rated.
        """
        if len(factors) != 1:
            return f"{len(factors)} factors in one period: {sorted(map(str, factors))}"
        number = self._numbers.get(next(iter(factors)))
        if number is None:
            return f"the factor {factors} was never set"
        while self._move < len(self._moves) and self._moves[self._move].rated_to <= begin:
            self._move += 1
        if self._move == len(self._moves):
            return "nobody has seen it being rated"
        move = self._moves[self._move]
        after = max(self._after, float(end))
        self._after = move.after
        if number < self._least:
            return f"factor {number} after factor {self._least}"
        self._least = number
        came = self._history[number].sent
        left = self._history[number + 1].answered if number + 1 < len(self._history) else None
        if came > move.before or (left is not None and left < after):
            return (
                f"factor {number} was in force from {came} to {left}, rated {after} - {move.before}"
            )
        return ""


def _names(point: Point) -> tuple[str, str]:
    attributes: Mapping[str, Any] = point.desc
    return attributes["id"], attributes.get("flavor", "")
