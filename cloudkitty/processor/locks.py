# SPDX-License-Identifier: Apache-2.0
"""Locks on parts of the scopes, shared by all workers of all hosts through tooz.

Invariant: a lock service that does not answer costs work done twice, never a wrong ledger; so
a worker goes on without it.
"""

import logging
import pathlib
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

from tooz import ToozError, coordination

from cloudkitty.config import ConfigurationError

LOG = logging.getLogger(__name__)


class PartLocks:
    """Locks of the parts ``0`` to ``parts - 1``."""

    def __init__(self, url: str, host: str, parts: int) -> None:
        """Connect to the lock service at *url*.

        :raises ConfigurationError: *url* cannot be understood.
        """
        self._parts = parts
        self._complained = False
        split = urlsplit(url)
        if split.scheme == "file":
            pathlib.Path(split.path).mkdir(parents=True, exist_ok=True)
        member = f"{host}-{uuid.uuid4()}".encode()
        try:
            self._coordinator: Any = coordination.get_coordinator(url, member)
        except (ToozError, ValueError, ImportError) as error:
            raise ConfigurationError(f"[orchestrator] coordination_url: {error}") from error
        self._started = False

    def _start(self) -> None:
        if not self._started:
            self._coordinator.start(start_heart=True)
            self._started = True

    @contextmanager
    def __call__(self, part: int) -> Iterator[bool]:
        """Enter with whether the part's lock could be had at once; release it at the end."""
        lock = self._acquired(part)
        try:
            yield lock is not False
        finally:
            if lock:
                self._release(lock)

    def _acquired(self, part: int) -> Any:
        """Return the lock, ``False`` if another has it, ``None`` if nobody can tell."""
        try:
            self._start()
            lock = self._coordinator.get_lock(f"cloudkitty-part-{part}-of-{self._parts}".encode())
            return lock if lock.acquire(blocking=False) else False
        except ToozError as error:
            if not self._complained:
                LOG.warning("[orchestrator] coordination_url: going on without locks: %s", error)
                self._complained = True
            return None

    @staticmethod
    def _release(lock: Any) -> None:
        try:
            lock.release()
        except ToozError as error:
            LOG.warning("[orchestrator] coordination_url: a lock was not released: %s", error)

    def close(self) -> None:
        if self._started:
            try:
                self._coordinator.stop()
            except ToozError as error:
                LOG.warning("[orchestrator] coordination_url: %s", error)
