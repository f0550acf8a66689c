# SPDX-License-Identifier: Apache-2.0
"""Locks on parts of the scopes, shared by all workers of all hosts through tooz.

Invariant: a lock service that does not answer costs work done twice, never a wrong ledger; so
a worker goes on without it.
"""

import logging
import os
import pathlib
import uuid
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

from stevedore.exception import NoMatches
from tooz import ToozError

from cloudkitty.config import ConfigurationError

LOG = logging.getLogger(__name__)

_OPTION = "[orchestrator] coordination_url"


class PartLocks:
    """Locks of the parts ``0`` to ``parts - 1``."""

    def __init__(self, url: str, host: str, parts: int) -> None:
        """Prepare to use the lock service at *url*; it is asked when a lock is first wanted.

        :raises ConfigurationError: *url* cannot be understood, or its directory not be used.
        """
        self._parts = parts
        self._complained = False
        split = urlsplit(url)
        if split.scheme == "file":
            _make_directory(pathlib.Path(split.path))
        self._coordinator = _coordinator(url, f"{host}-{uuid.uuid4()}".encode())
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
                LOG.warning("%s: going on without locks: %s", _OPTION, error)
                self._complained = True
            return None

    @staticmethod
    def _release(lock: Any) -> None:
        try:
            lock.release()
        except ToozError as error:
            LOG.warning("%s: a lock was not released: %s", _OPTION, error)

    def close(self) -> None:
        if self._started:
            try:
                self._coordinator.stop()
            except ToozError as error:
                LOG.warning("%s: %s", _OPTION, error)


def _make_directory(path: pathlib.Path) -> None:
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigurationError(f"{_OPTION}: cannot make {path}: {error.strerror}") from error
    if not os.access(path, os.W_OK | os.X_OK):
        raise ConfigurationError(f"{_OPTION}: the directory {path} cannot be written to")


def _coordinator(url: str, member: bytes) -> Any:
    with warnings.catch_warnings():
        # Imports frameworks that this program does not use, one of which warns of itself.
        warnings.simplefilter("ignore")
        from tooz import coordination
    try:
        return coordination.get_coordinator(url, member)
    except (ToozError, ValueError, ImportError, NoMatches) as error:
        raise ConfigurationError(f"{_OPTION}: {error}") from error
