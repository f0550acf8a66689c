# SPDX-License-Identifier: Apache-2.0
"""Asks the service that ``[orchestrator] coordination_url`` names, through tooz.

Invariants: whatever becomes of the service, an answer or ``Away`` comes in a bounded time; that it
is away is logged once, and that it answers again.
"""

import concurrent.futures
import contextlib
import logging
import os
import pathlib
import time
import warnings
from collections.abc import Callable
from typing import Any, TypeVar
from urllib.parse import urlsplit

from stevedore.exception import NoMatches
from tooz import ToozError

from cloudkitty.config import ConfigurationError

LOG = logging.getLogger(__name__)

OPTION = "[orchestrator] coordination_url"

ANSWER_SECONDS = 10
"""How long an answer may take. Some drivers wait for ever for a server that has gone."""

NO_ANSWER = f"no answer within {ANSWER_SECONDS} s"

RETRY_SECONDS = 2
"""How long a service that is away is not asked for locks."""

LEAVE_SECONDS = 5
"""How long taking leave may take: the end of a worker waits for it."""

_EXTRAS = {
    "redis": "redis",
    "rediss": "redis",
    "etcd3+http": "etcd",
    "etcd3+https": "etcd",
    "zookeeper": "zookeeper",
    "kazoo": "zookeeper",
    "mysql": "mysql",
    "postgresql": "postgresql",
}
"""What of our extras has the library of a driver."""

_DATABASES = {
    "mariadb": "mysql",
    "mysql+pymysql": "mysql",
    "mariadb+pymysql": "mysql",
    "postgresql+psycopg2": "postgresql",
}
"""What drivers are called in the URL of a database, which may be given here, too."""

T = TypeVar("T")


class Away(Exception):
    """The service does not answer, or not as it should."""


class Coordination:
    """One member's connection to the service; made in the process that uses it."""

    def __init__(self, url: str, member: str) -> None:
        """Prepare to use the service at *url*; it is asked when something is first wanted.

        :raises ConfigurationError: *url* cannot be understood, its library is not installed, or
            its directory cannot be used.
        """
        scheme = urlsplit(url).scheme
        if scheme == "file":
            _make_directory(pathlib.Path(urlsplit(url).path))
        if scheme in _DATABASES:
            url = url.replace(scheme, _DATABASES[scheme], 1)
            scheme = _DATABASES[scheme]
        # Of names, drivers accept ASCII without slashes at most.
        self.member = "".join(c if c.isascii() and c.isalnum() else "-" for c in member).encode()
        self._driver = _driver(url, scheme, self.member)
        self._started = False
        # One thread of its own: an answer that never comes must not keep a worker from working.
        self._thread = concurrent.futures.ThreadPoolExecutor(1, thread_name_prefix="coordination")
        self._not_before = 0.0
        self._lost: set[str] = set()
        self._unwanted: list[Any] = []

    @property
    def has_groups(self) -> bool:
        """Whether members can know of each other."""
        from tooz.coordination import CoordinationDriver

        return type(self._driver).join_group is not CoordinationDriver.join_group

    @property
    def is_away(self) -> bool:
        """Whether the service is known not to answer."""
        return bool(self._lost)

    def put(self, question: Callable[[Any], T]) -> "concurrent.futures.Future[T]":
        """Have *question* asked of the driver, after all that were put before. The answer may be
        ``Away``."""
        return self._thread.submit(self._ask, question)

    def _ask(self, question: Callable[[Any], T]) -> T:
        try:
            if not self._started:
                self._driver.start(start_heart=True)
                self._started = True
            self._give_back()
            return question(self._driver)
        except ToozError as error:
            # Some of its errors say nothing but what they were caused by.
            raise Away(str(error) or type(error.__cause__ or error).__name__) from error
        except Exception as error:
            # Some drivers let the errors of their libraries through.
            raise Away(f"{type(error).__name__}: {error}") from error

    def _give_back(self) -> None:
        """Release locks that nobody wants any more: what the driver knows of, it keeps alive."""
        for lock in self._unwanted[:]:
            self._unwanted.remove(lock)
            try:
                lock.release()
            except Exception as error:  # noqa: BLE001 - of libraries below the drivers
                LOG.debug("%s: a lock was not released: %s", OPTION, error)
                if lock.acquired:
                    self._unwanted.append(lock)
                return

    def try_lock(self, name: str) -> Any:
        """Return a lock, or ``False`` if somebody else has it.

        :raises Away: nobody can tell.
        """

        def attempt(driver: Any) -> Any:
            lock = driver.get_lock(name.encode())
            return lock if lock.acquire(blocking=False) else False

        if self._lost and time.monotonic() < self._not_before:
            raise Away("not asked again yet")
        answer = self.put(attempt)
        try:
            return answer.result(ANSWER_SECONDS)
        except concurrent.futures.TimeoutError:
            answer.cancel()
            answer.add_done_callback(self._take_back)
            reason = Away(NO_ANSWER)
        except Away as error:
            reason = error
        self._not_before = time.monotonic() + RETRY_SECONDS
        raise reason

    def _take_back(self, late: "concurrent.futures.Future[Any]") -> None:
        """Do not keep a lock that came when nobody waited for it any more."""
        if not late.cancelled() and late.exception() is None and late.result():
            self._unwanted.append(late.result())

    def release(self, lock: Any) -> None:
        """Give a lock back, now or when the service answers again."""
        self._unwanted.append(lock)
        if not self._lost:
            given = self.put(lambda _driver: None)
            with contextlib.suppress(Away, concurrent.futures.TimeoutError):
                given.result(ANSWER_SECONDS)

    def lost(self, what: str, reason: BaseException, meanwhile: str) -> None:
        """Log that the service does not tell about *what*, unless it is known to be away."""
        if not self._lost:
            LOG.warning("%s: %s; %s", OPTION, reason, meanwhile)
        self._lost.add(what)

    def found(self, *what: str) -> None:
        """Log that the service tells everything again, if it did not."""
        if self._lost and self._lost <= {*what}:
            LOG.info("%s: the service answers again", OPTION)
        self._lost.difference_update(what)

    def close(self) -> None:
        """Take leave of the service if it is there."""
        if self._started and not self._lost:
            leaving = self._thread.submit(self._driver.stop)
            # Who cannot take leave is missed when its time has lapsed.
            error = _error_of(leaving)
            if error is not None:
                LOG.debug("%s: no leave was taken: %s", OPTION, error)
        self._thread.shutdown(wait=False, cancel_futures=True)


def _error_of(leaving: "concurrent.futures.Future[None]") -> BaseException | None:
    try:
        return leaving.exception(LEAVE_SECONDS)
    except concurrent.futures.TimeoutError as error:
        return error


def _make_directory(path: pathlib.Path) -> None:
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigurationError(f"{OPTION}: cannot make {path}: {error.strerror}") from error
    if not os.access(path, os.W_OK | os.X_OK):
        raise ConfigurationError(f"{OPTION}: the directory {path} cannot be written to")


def _driver(url: str, scheme: str, member: bytes) -> Any:
    with warnings.catch_warnings():
        # Imports frameworks that this program does not use, one of which warns of itself.
        warnings.simplefilter("ignore")
        from tooz import coordination
    try:
        return coordination.get_coordinator(url, member)
    except (ToozError, ValueError, ImportError, NoMatches) as error:
        reason = str(error)
        if scheme in _EXTRAS and isinstance(error, (ImportError, NoMatches)):
            reason = (
                f"{scheme} needs a library that is not installed: "
                f"pip install 'cloudkitty[{_EXTRAS[scheme]}]'"
            )
        raise ConfigurationError(f"{OPTION}: {reason}") from error
