# SPDX-License-Identifier: Apache-2.0
"""When the source flaps, and how. Pure: the source acts by this plan, and others know it."""

import random
from collections.abc import Iterable
from typing import NamedTuple

KINDS = ("down", "errors", "slow", "broken", "half")
"""It refuses connections; answers 500; answers late; breaks off in the middle of an answer; leaves
every second scope out, also of the list of scopes, and says nothing about it."""


class Flap(NamedTuple):
    """A time in which the source fails, in seconds since 1970."""

    kind: str
    begin: float
    end: float


def plan(
    begin: float, end: float, *, first: int, seconds: int, every: int, seed: int
) -> list[Flap]:
    """Return a flap for each *every* periods between *begin* and *end*.

    Each begins shortly before a period ends, as the source is asked just after that, and lasts
    for a third of a period to a period and a quarter. The last two periods have none.
    """
    chance = random.Random(seed)
    flaps: list[Flap] = []
    boundary = first + -int(-(begin - first) // seconds) * seconds + every * seconds
    while boundary + 2 * seconds < end:
        start = boundary - seconds / 10
        kind = KINDS[len(flaps) % len(KINDS)]
        flaps.append(Flap(kind, start, start + seconds * chance.uniform(0.33, 1.25)))
        boundary += every * seconds
    return flaps


def current(flaps: Iterable[Flap], moment: float) -> Flap | None:
    """Return the flap of an instant."""
    return next((flap for flap in flaps if flap.begin <= moment < flap.end), None)
