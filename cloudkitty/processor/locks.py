# SPDX-License-Identifier: Apache-2.0
"""What a worker has of the scopes, by what its coordination service can do.

Invariant: a lock service that does not answer costs work done twice, never a wrong ledger; so
a worker goes on without it.
"""

import hashlib
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from oslo_config import cfg
from sqlalchemy.engine import make_url

from cloudkitty.db.engine import Database
from cloudkitty.processor.coordination import Away, Coordination
from cloudkitty.processor.group import GroupShare
from cloudkitty.processor.sharing import LockedParts, Share

_LOCKS = "locks"


class PartLocks:
    """Locks of parts, of which a service without groups has nothing but the names."""

    def __init__(self, coordination: Coordination, name: str) -> None:
        self._coordination = coordination
        self._name = name

    @contextmanager
    def __call__(self, part: int) -> Iterator[bool]:
        """Enter with whether the part's lock could be had at once; release it at the end."""
        lock = self._acquired(part)
        try:
            yield lock is not False
        finally:
            if lock:
                self._coordination.release(lock)

    def _acquired(self, part: int) -> Any:
        """Return the lock, ``False`` if another has it, ``None`` if nobody can tell."""
        try:
            lock = self._coordination.try_lock(f"{self._name}-{part}")
            self._coordination.found(_LOCKS)
            return lock
        except Away as error:
            reason = error
        self._coordination.lost(_LOCKS, reason, "going on without locks")
        return None


class LockShare(LockedParts):
    """Whatever part nobody else has locked."""

    def __init__(self, coordination: Coordination, name: str, count: int, first: int) -> None:
        super().__init__(count, first, PartLocks(coordination, f"{name}-part-of-{count}"))
        self._coordination = coordination

    def close(self) -> None:
        self._coordination.close()


def share_of(conf: cfg.ConfigOpts, worker: int = 0) -> Share:
    """Return the share of the worker of that number.

    :raises ConfigurationError: the coordination service cannot be used as it is configured.
    """
    options = conf.orchestrator
    coordination = Coordination(options.coordination_url, f"{conf.host}-{uuid.uuid4()}")
    name = _name(conf)
    if coordination.has_groups:
        return GroupShare(coordination, name)
    count = max(1, options.max_workers)
    return LockShare(coordination, name, count, worker % count)


def _name(conf: cfg.ConfigOpts) -> str:
    """Return what those call their group that rate the same scopes into the same ledger: who does
    not must not get a share of them."""
    url = make_url(Database(conf).url)
    identity = (
        *(url.host, url.port, url.database),
        *(conf.collect.scope_key, conf.fetcher.backend, conf.collect.collector),
    )
    return f"cloudkitty-{hashlib.sha256(repr(identity).encode()).hexdigest()[:16]}"
