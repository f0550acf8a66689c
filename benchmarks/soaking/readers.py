# SPDX-License-Identifier: Apache-2.0
"""Readers of the API who come at a steady rate, whether or not those before them are done.

How long a request takes counts from the instant at which it was due, so that a server that is slow
is not spared the requests that would have come meanwhile.
"""

import bisect
import itertools
import random
import threading
import time
from collections import Counter
from collections.abc import Sequence
from decimal import Decimal
from typing import NamedTuple

from cloudkitty import period
from soaking.client import HASHMAP, Client, Refused, query
from soaking.cloud import FLAVORS, SERVICES, Cloud

THREADS = 16

WINDOW = 3600
"""Seconds, to the end of the period that is, of which readers ask for usage and costs."""

MIX = {
    "summary": 30,
    "dataframes": 20,
    "total": 15,
    "quote": 15,
    "mappings": 10,
    "report summary": 5,
    "services": 5,
}
"""Of a hundred requests."""


class Done(NamedTuple):
    """A request: when it was done, how long it took in milliseconds, and what was wrong."""

    at: float
    kind: str
    milliseconds: float
    problem: str


class Readers:
    """Threads that ask until they are told to end."""

    def __init__(self, url: str, cloud: Cloud, rate: float, seed: int) -> None:
        self._url = url
        self._cloud = cloud
        self._rate = rate
        self._chance = random.Random(seed)
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._slots = itertools.count()
        self._begin = time.time()
        self.done: list[Done] = []
        self._threads = [threading.Thread(target=self._run, daemon=True) for _ in range(THREADS)]

    def start(self) -> None:
        self._begin = time.time()
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(120)

    def since(self, moment: float) -> list[Done]:
        """Return the requests that were done after an instant."""
        with self._lock:
            return self.done[bisect.bisect_right(self.done, moment, key=lambda one: one.at) :]

    def problems(self) -> Counter[str]:
        """Return what was wrong, and how often."""
        return Counter(one.problem for one in self.since(0) if one.problem)

    def _run(self) -> None:
        client = Client(self._url)
        while True:
            with self._lock:
                slot = next(self._slots)
                kind = self._chance.choices(list(MIX), list(MIX.values()))[0]
                number = self._chance.randrange(self._cloud.count)
            due = self._begin + slot / self._rate
            if self._stop.wait(max(0, due - time.time())):
                return
            problem = self._problem(client, kind, number)
            with self._lock:
                now = time.time()
                self.done.append(Done(now, kind, 1000 * (now - due), problem))

    def _problem(self, client: Client, kind: str, number: int) -> str:
        """Ask, and return what is wrong with the answer, an empty text if nothing is."""
        try:
            answer = client.ask(*self._request(kind, number))
        except Refused as error:
            return str(error)
        if answer.status != 200:
            return f"{kind}: {answer.status} {answer.body[:200]!r}"
        try:
            document = answer.document
        except ValueError:
            return f"{kind}: no JSON: {answer.body[:200]!r}"
        # Nobody may be told that an instance costs nothing: there is a price at every instant.
        if kind == "quote" and not 0 < Decimal(document) < 1:
            return f"quote: {document}"
        return ""

    def _request(self, kind: str, number: int) -> tuple[str, str] | tuple[str, str, object]:
        end = self._cloud.begin(self._cloud.index(time.time()) + 1)
        window = {
            "begin": period.from_epoch(max(self._cloud.first, end - WINDOW)).isoformat(),
            "end": period.from_epoch(end).isoformat(),
        }
        scope = self._cloud.scope(number)
        match kind:
            case "summary":
                only = f"project_id:{scope}"
                return "GET", query("/v2/summary", **window, groupby="type", filters=only)
            case "dataframes":
                only = f"project_id:{scope}"
                return "GET", query("/v2/dataframes", **window, limit=100, filters=only)
            case "total":
                return "GET", query("/v1/report/total", **window, tenant_id=scope)
            case "report summary":
                fields = {"groupby": "res_type", "tenant_id": scope}
                return "GET", query("/v1/report/summary", **window, **fields)
            case "quote":
                metadata = {"flavor": FLAVORS[number % len(FLAVORS)]}
                service = SERVICES["soak_instance"]
                resource = {"service": service, "desc": {"metadata": metadata}, "volume": "1"}
                return "POST", "/v1/rating/quote", {"resources": [resource]}
            case "mappings":
                return "GET", query(f"{HASHMAP}/mappings", is_active="true")
        return "GET", f"{HASHMAP}/services"


def percentile(values: Sequence[float], share: float) -> float:
    """Return the value that such a share of *values* does not exceed, 0 where there are none."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))] if ordered else 0.0
