# SPDX-License-Identifier: Apache-2.0
"""How the scopes are shared out: in parts, of which a worker has some.

Whoever rates holds the locks of the parts in which something is due. Invariant: nothing here keeps
the ledger right, it does itself; two that believe in the same part only do the work twice.
"""

import zlib
from collections.abc import Callable, Collection, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Protocol

from cloudkitty.scope import ScopeState

Parts = frozenset[int]

Lock = Callable[[int], AbstractContextManager[bool]]
"""Given a part's number, a context that is entered with whether the part is ours."""


class Turn(Protocol):
    """A stretch of work on parts that are ours, unless they become somebody else's meanwhile."""

    def parts(self) -> Parts:
        """Return the parts that are ours as it is now."""

    def held(self) -> Parts:
        """Return those of which nobody else can have the lock."""

    def hold(self, wanted: Collection[int]) -> Parts:
        """Lock more of our parts, as far as nobody else has locked them; return all that are
        held."""


class Share(Protocol):
    """What a worker has of the scopes."""

    count: int
    """How many parts there are in all."""

    def parts(self) -> Parts:
        """Return the parts that are ours, or can be, as it is now."""

    def turns(self) -> Iterator[AbstractContextManager[Turn | None]]:
        """Yield the turns of a round, each to be entered; none where somebody else has it."""

    def adopt(self, parts: Collection[int]) -> None:
        """Take these parts for ours, too, until the next call: their owner does nothing."""

    def close(self) -> None:
        """Let others have our parts."""


class OnePart:
    """A turn on a part whose lock is held all the time."""

    def __init__(self, part: int) -> None:
        self._parts = frozenset((part,))

    def parts(self) -> Parts:
        return self._parts

    def held(self) -> Parts:
        return self._parts

    def hold(self, wanted: Collection[int]) -> Parts:
        return self._parts


def unlocked(_part: int) -> AbstractContextManager[bool]:
    """The lock of a process that works alone."""
    return nullcontext(True)


class LockedParts:
    """Any part whose lock is to be had, one after the other, beginning with *first*: for those who
    do not know of each other."""

    def __init__(self, count: int = 1, first: int = 0, lock: Lock = unlocked) -> None:
        self.count = count
        self._order = [(first + number) % count for number in range(count)]
        self._lock = lock

    def parts(self) -> Parts:
        return frozenset(self._order)

    def turns(self) -> Iterator[AbstractContextManager[Turn | None]]:
        return (self._turn(part) for part in self._order)

    @contextmanager
    def _turn(self, part: int) -> Iterator[Turn | None]:
        with self._lock(part) as ours:
            yield OnePart(part) if ours else None

    def adopt(self, parts: Collection[int]) -> None:
        """All parts can be ours as it is."""

    def close(self) -> None:
        """There is nothing that others could not have."""


def part_of(state: ScopeState, count: int) -> int:
    """Return the part of *count* that a scope is in, always the same one."""
    return zlib.crc32(state.scope.identifier.encode()) % count
