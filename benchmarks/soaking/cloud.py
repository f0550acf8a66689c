# SPDX-License-Identifier: Apache-2.0
"""What each scope uses in each period. Pure, so that the source that tells it and the check that
expects it come to the same without asking each other.

A scope has two instances, the second of which is away in every tenth period, a volume that grows
every thirty periods, and two ports that send something else in every period.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import NamedTuple

FLAVORS = ("small", "medium", "large")

LISTING = "soak_scopes"
"""The metric in the source whose series name the scopes."""

SERVICES: Mapping[str, str] = {
    "soak_instance": "instance",
    "soak_volume": "volume.size",
    "soak_sent": "network.sent",
}
"""By the name of a metric in the source, that in rating."""

METRICS = f"""
metrics:
  soak_instance:
    alt_name: instance
    unit: instance
    groupby: [project_id, id]
    metadata: [flavor]
    extra_args: {{labels: {{project_id: project}}}}
  soak_volume:
    alt_name: volume.size
    unit: GiB
    groupby: [project_id, id]
    extra_args: {{labels: {{project_id: project}}}}
  soak_sent:
    alt_name: {SERVICES["soak_sent"]}
    unit: MB
    factor: 1/1000000
    groupby: [project_id, id]
    extra_args:
      range_function: increase
      aggregation_method: sum
      labels: {{project_id: project}}
"""

_FACTORS = {"soak_sent": Fraction(1, 10**6)}


class Used(NamedTuple):
    """What one resource has used of one metric in one period; ``value`` is as the source says it,
    and ``flavor`` is empty where there is none."""

    metric: str
    resource: str
    flavor: str
    value: int

    @property
    def qty(self) -> Fraction:
        """The quantity to be rated."""
        return self.value * _FACTORS.get(self.metric, Fraction(1))


@dataclass(frozen=True)
class Cloud:
    """Scopes, and periods of so many seconds that are counted from ``first`` on, in seconds since
    1970."""

    count: int
    first: int
    seconds: int

    def scope(self, number: int) -> str:
        return f"{number:032x}"

    def scopes(self) -> list[str]:
        return [self.scope(number) for number in range(self.count)]

    def index(self, moment: float) -> int:
        """Return the number of the period that an instant lies in."""
        return int((moment - self.first) // self.seconds)

    def begin(self, index: int) -> int:
        return self.first + index * self.seconds

    def used(self, metric: str, number: int, index: int) -> Iterator[Used]:
        """Return what the scope of that number has used of a metric in a period."""
        if metric == "soak_instance":
            for place in range(2):
                if place == 0 or (index + number) % 10:
                    flavor = FLAVORS[(number + place) % len(FLAVORS)]
                    yield Used(metric, f"server-{number}-{place}", flavor, 1)
        elif metric == "soak_volume":
            yield Used(metric, f"volume-{number}", "", 10 + number % 7 + index // 30)
        else:
            for place in range(2):
                sent = 1_000_003 * (index + 1) * (2 * number + place + 1) % 10**9
                yield Used(metric, f"port-{number}-{place}", "", sent)
