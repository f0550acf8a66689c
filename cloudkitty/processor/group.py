# SPDX-License-Identifier: Apache-2.0
"""The share of a worker that knows of the others: a member of a group.

Each member reckons from the list of all members which parts are whose, by consistent hashing;
nobody is asked, and nobody has more than a fair share. A member that comes or goes moves about its
share. Invariants: a part is worked at with its lock, so two lists that differ for a moment lead to
waiting; while the service is away, everybody keeps the share of before.
"""

import concurrent.futures
import logging
import time
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from typing import Any

from cloudkitty.processor.coordination import (
    ANSWER_SECONDS,
    NO_ANSWER,
    Away,
    Coordination,
)
from cloudkitty.processor.sharing import Parts, Turn

LOG = logging.getLogger(__name__)

PARTS = 128
"""How many workers can have a share; the same for all releases that share scopes."""

WATCH_SECONDS = 2
"""How old the list of members may be."""

PATIENCE_SECONDS = 1
"""How long work may wait for a new list of members while there is one."""

_MEMBERS, _LOCKS = "members", "locks"


class GroupShare:
    """A member of the group *name*."""

    count = PARTS

    def __init__(self, coordination: Coordination, name: str) -> None:
        self._coordination = coordination
        self._name = name
        self._members: frozenset[bytes] = frozenset()
        self._ours: Parts = frozenset()
        self._adopted: Parts = frozenset()
        self._locks: dict[int, Any] = {}
        self._question: concurrent.futures.Future[frozenset[bytes]] | None = None
        self._asked_at = 0.0
        self._is_blind = False

    def parts(self) -> Parts:
        """Return the parts that are ours; locks of those that have gone are given back, and what
        was taken for locked while nobody could tell is not any more."""
        self._look()
        ours = self._ours | self._adopted
        for part, lock in list(self._locks.items()):
            if part not in ours or (lock is None and not self._coordination.is_away):
                self._release(part)
        return ours

    def held(self) -> Parts:
        return frozenset(self._locks)

    def hold(self, wanted: Collection[int]) -> Parts:
        """See ``Turn``. Where nobody can tell about locks, they are taken for held."""
        for part in sorted(self.parts().intersection(wanted) - self._locks.keys()):
            lock = self._try_lock(part)
            if lock is not False:
                self._locks[part] = lock
        return self.held()

    def turns(self) -> Iterator[AbstractContextManager[Turn | None]]:
        """Yield one turn, on all of our parts."""
        yield self._turn()

    @contextmanager
    def _turn(self) -> Iterator[Turn]:
        try:
            yield self
        finally:
            for part in list(self._locks):
                self._release(part)

    def adopt(self, parts: Collection[int]) -> None:
        added = frozenset(parts) - self._adopted - self._ours
        self._adopted = frozenset(parts)
        if added:
            LOG.warning(
                "%d of %d parts of the scopes are behind and nothing happens: taking them up",
                len(added),
                PARTS,
            )

    def close(self) -> None:
        self._coordination.close()

    def _try_lock(self, part: int) -> Any:
        """Return the lock, ``False`` if another has it, ``None`` if nobody can tell."""
        try:
            lock = self._coordination.try_lock(f"{self._name}-part-{part}")
            self._coordination.found(_LOCKS)
            return lock
        except Away as error:
            reason = error
        self._lost(_LOCKS, reason)
        return None

    def _release(self, part: int) -> None:
        lock = self._locks.pop(part)
        if lock is not None:
            self._coordination.release(lock)

    def _look(self) -> None:
        """Find out who the members are, unless that is fresh; a service that is away is not
        waited for."""
        now = time.monotonic()
        if self._question is None:
            if self._asked_at and now - self._asked_at < WATCH_SECONDS:
                return
            self._asked_at = now
            self._question = self._coordination.put(self._joined)
        patience = PATIENCE_SECONDS if self._members else ANSWER_SECONDS
        if self._coordination.is_away:
            patience = 0
        if not concurrent.futures.wait([self._question], patience).done:
            if time.monotonic() - self._asked_at >= ANSWER_SECONDS:
                self._lost(_MEMBERS, Away(NO_ANSWER))
            return
        question, self._question = self._question, None
        error = question.exception()
        if error is not None:
            self._lost(_MEMBERS, error)
            return
        if self._is_blind:
            # Whether it has locks, too, is known when one is wanted; it has been away for both.
            self._coordination.found(_MEMBERS, _LOCKS)
            self._is_blind = False
        self._take(question.result())

    def _take(self, members: frozenset[bytes]) -> None:
        """Reckon our share of the scopes."""
        if members == self._members:
            return
        self._members = members
        owners = assigned(members)
        self._ours = frozenset(
            part for part, owner in owners.items() if owner == self._coordination.member
        )
        LOG.info(
            "%d workers share the scopes; %d of %d parts are this one's",
            len(members),
            len(self._ours),
            PARTS,
        )

    def _lost(self, what: str, error: BaseException) -> None:
        meanwhile = "going on with the same share of the scopes, without locks"
        if not self._members:
            meanwhile = "waiting for a share of the scopes"
        self._coordination.lost(what, error, meanwhile)
        self._is_blind = self._is_blind or what == _MEMBERS

    def _joined(self, driver: Any) -> frozenset[bytes]:
        """Return the members, among whom we are unless our last life has not lapsed yet."""
        from tooz.coordination import GroupNotCreated, MemberAlreadyExist

        group = self._name.encode()

        def members() -> frozenset[bytes]:
            return frozenset(driver.get_members(group).get(timeout=ANSWER_SECONDS))

        try:
            found = members()
        except GroupNotCreated:
            found = frozenset()
        if self._coordination.member in found:
            return found
        try:
            driver.join_group_create(group)
        except MemberAlreadyExist:
            LOG.debug("group %s: this member is there and does not count yet", self._name)
        return members()


def assigned(members: Iterable[bytes], parts: int = PARTS) -> Mapping[int, bytes]:
    """Return whose each part is: the next member's on the ring of hashes that has less than its
    fair share so far."""
    from tooz.hashring import HashRing

    owners: dict[int, bytes] = {}
    ring = HashRing(sorted(members))
    if not ring.nodes:
        return owners
    most = -(-parts // len(ring.nodes))
    counts: Counter[bytes] = Counter()
    full: set[bytes] = set()
    for part in range(parts):
        [owner] = ring.get_nodes(b"part %d" % part, ignore_nodes=full)
        owners[part] = owner
        counts[owner] += 1
        if counts[owner] == most:
            full.add(owner)
    return owners
