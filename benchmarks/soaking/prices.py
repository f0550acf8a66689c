# SPDX-License-Identifier: Apache-2.0
"""Prices that change over the API while usage is rated, and the history of what was in force.

Two kinds of change take turns. A mapping ends where a period begins that lies ahead, and another
one begins there: whenever a period is rated, its price is known. The cost of a threshold changes at
once: a period has the cost that was in force when it was rated, and all of its points the same.
"""

import time
from collections import defaultdict
from datetime import datetime
from fractions import Fraction
from typing import NamedTuple

from cloudkitty import period
from soaking.client import HASHMAP, Client, query
from soaking.cloud import FLAVORS, SERVICES, Cloud

INSTANCE, VOLUME, SENT = SERVICES.values()

SENT_COST = "0.001"

AHEAD = 10
"""Seconds that a change of a mapping lies in the future at least, so that it is there before the
first period is rated that it is for, however slowly a busy machine answers."""

Key = tuple[str, str]
"""A service, and a flavor or an empty text."""

DATED: tuple[Key, ...] = (*((INSTANCE, flavor) for flavor in FLAVORS), (VOLUME, ""))
"""What is priced by mappings with a validity."""


class Dated(NamedTuple):
    """A cost and the start of the first period that it is for, in seconds since 1970."""

    start: int
    cost: str


class AtOnce(NamedTuple):
    """A cost that came into force between two instants: when it was sent, and answered."""

    cost: str
    sent: float
    answered: float


class Prices:
    """The rules of one cloud. Costs of the same thing are never the same twice."""

    def __init__(self, client: Client, cloud: Cloud) -> None:
        self._client = client
        self._cloud = cloud
        self._mappings: dict[Key, dict[str, object]] = {}
        self._threshold: dict[str, object] = {}
        self.dated: dict[Key, list[Dated]] = defaultdict(list)
        self.at_once: list[AtOnce] = []
        self.changes = 0

    def create(self) -> None:
        """Make the first rules, in force since before the first period.

        :raises Refused: the API does not let us.
        """
        services = {
            name: self._create("services", "service", name=name) for name in SERVICES.values()
        }
        flavor = self._create("fields", "field", name="flavor", service_id=services[INSTANCE])
        start = self._cloud.begin(-1)
        for key in DATED:
            parent = {"service_id": services[VOLUME]}
            if key[1]:
                parent = {"field_id": flavor, "value": key[1]}
            self._map(key, {**parent, "cost": self._next_cost(key), "type": "flat"}, start)
        sent = {"service_id": services[SENT], "cost": SENT_COST, "type": "flat"}
        self._post_mapping(sent, start)
        self._threshold = {"service_id": services[SENT], "level": "0", "type": "rate"}
        cost = self._next_factor()
        before = time.time()
        made = self._client.need("POST", f"{HASHMAP}/thresholds", {**self._threshold, "cost": cost})
        self._threshold["threshold_id"] = made["threshold_id"]
        # Nothing has been rated yet.
        self.at_once.append(AtOnce(cost, min(before, float(start)), time.time()))

    def change(self) -> None:
        """Change one rule.

        :raises Refused: the API does not let us.
        """
        if self.changes % 2:
            self._change_at_once()
        else:
            self._change_dated(DATED[self.changes // 2 % len(DATED)])
        self.changes += 1

    def cost(self, key: Key, begin: int) -> Fraction:
        """Return what a unit costs in the period that begins then, of what has dated prices."""
        return Fraction(max(one for one in self.dated[key] if one.start <= begin).cost)

    def _change_dated(self, key: Key) -> None:
        start = self._cloud.begin(self._cloud.index(time.time() + AHEAD) + 1)
        old = self._mappings[key]
        path = f"{HASHMAP}/mappings/{old['mapping_id']}"
        self._client.need("PUT", path, {"cost": old["cost"], "end": _text(start)})
        kept = {
            name: old[name] for name in ("service_id", "field_id", "value", "type") if old[name]
        }
        self._map(key, {**kept, "cost": self._next_cost(key)}, start)
        if time.time() >= self._cloud.begin(self._cloud.index(start) + 1):
            raise RuntimeError(
                "a price came after its first period: the check would be worth nothing"
            )

    def _change_at_once(self) -> None:
        cost, sent = self._next_factor(), time.time()
        path = f"{HASHMAP}/thresholds/{self._threshold['threshold_id']}"
        self._client.need("PUT", path, {**self._threshold, "cost": cost})
        self.at_once.append(AtOnce(cost, sent, time.time()))

    def _map(self, key: Key, new: dict[str, object], start: int) -> None:
        self._mappings[key] = self._post_mapping(new, start)
        self.dated[key].append(Dated(start, str(new["cost"])))

    def _post_mapping(self, new: dict[str, object], start: int) -> dict[str, object]:
        path = query(f"{HASHMAP}/mappings", force="true")
        made: dict[str, object] = self._client.need("POST", path, {**new, "start": _text(start)})
        return made

    def _create(self, kind: str, noun: str, **new: object) -> str:
        made: str = self._client.need("POST", f"{HASHMAP}/{kind}", new)[f"{noun}_id"]
        return made

    def _next_cost(self, key: Key) -> str:
        return f"0.{DATED.index(key) + 1}{len(self.dated[key]) + 1:04}7"

    def _next_factor(self) -> str:
        return f"1.{len(self.at_once) + 1:04}"


def _text(seconds: int) -> str:
    moment: datetime = period.from_epoch(seconds)
    return moment.isoformat()
