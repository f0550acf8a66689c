# SPDX-License-Identifier: Apache-2.0
"""Sends a request until it is answered, and reads the answer, within bounds.

Invariants: a request is sent at most ``1 + TRIES_AGAIN`` times, with growing pauses; again only
when no connection is made, or the service is busy or out of order, not when it is silent: then it
may still be at work. Reading ends at a deadline, however slowly bytes arrive.
"""

import logging
import time
from typing import Any

import requests
from keystoneauth1 import adapter
from keystoneauth1 import exceptions as keystone_errors

LOG = logging.getLogger(__name__)

TRIES_AGAIN = 3
BUSY = (429, 500, 502, 503, 504)

FIRST_PAUSE = 0.5
LONGEST_PAUSE = 30.0
"""Seconds between two tries. A service that wants to be left alone for longer is given up."""

_PIECE = 65_536


class TooSlow(Exception):
    """An answer takes longer than the limit."""


class Deadline:
    """The instant at which an answer has to be complete."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._at = time.monotonic() + seconds

    def allows(self, pause: float) -> bool:
        """Return whether there is time left after a pause of so many seconds."""
        return time.monotonic() + pause < self._at

    def check(self) -> None:
        """Raise ``TooSlow`` when it has passed."""
        if not self.allows(0):
            raise TooSlow


def send(
    http: adapter.Adapter, method: str, url: str, deadline: Deadline, **arguments: Any
) -> requests.Response:
    """Return the answer, whatever its status; its body is still to be read.

    :raises keystoneauth1.exceptions.ClientException: there is none.
    """
    pause = FIRST_PAUSE
    for tries_left in range(TRIES_AGAIN, -1, -1):
        try:
            response: requests.Response = http.request(
                url, method, stream=True, log=False, **arguments
            )
            if response.status_code not in BUSY:
                return response
            wait = max(pause, wanted_pause(response))
            if not tries_left or wait > LONGEST_PAUSE or not deadline.allows(wait):
                return response
            LOG.debug("%s answers %d: trying again in %s s", url, response.status_code, wait)
            response.close()
        except keystone_errors.ConnectTimeout:
            raise
        except keystone_errors.RetriableConnectionFailure as error:
            wait = pause
            if not tries_left or not deadline.allows(wait):
                raise
            LOG.debug("%s: trying again in %s s", error, wait)
        time.sleep(wait)
        pause *= 2
    raise AssertionError("the last try has returned or raised")


def wanted_pause(response: requests.Response) -> float:
    """Return for how many seconds a service wants to be left alone, 0 if it does not say so."""
    told = response.headers.get("Retry-After", "")
    return float(told) if told.isascii() and told.isdigit() else 0


class Body:
    """The decoded bytes of an answer, as they arrive."""

    def __init__(self, response: requests.Response, deadline: Deadline) -> None:
        self._raw: Any = response.raw
        self._deadline = deadline

    def read(self, size: int) -> bytes:
        """Return what has arrived, at most *size* bytes; nothing only at the end."""
        if not size:
            return b""
        # Not read(): it would wait for all these bytes, each of which may take the time-out.
        piece: bytes = self._raw.read1(size, decode_content=True)
        if piece:
            self._deadline.check()
        return piece

    def all(self) -> bytes:
        """Return the rest."""
        return b"".join(iter(lambda: self.read(_PIECE), b""))
