# SPDX-License-Identifier: Apache-2.0
"""Counts requests in front of everything else, and shows the numbers at ``/metrics``.

Invariant: a request is counted by the names of its route, never by what a client has put there.
"""

import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cloudkitty.telemetry.exposition import Exposition
from cloudkitty.telemetry.requests import ApiTelemetry
from cloudkitty.telemetry.server import PATH, Shown

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})

NOWHERE = "none"
OTHER = "other"

_SEEN = "cloudkitty.seen"


@dataclass(slots=True)
class _Seen:
    """What is learned of a request while it is answered."""

    route: str = NOWHERE
    status: int = 500


def note_route(
    environ: dict[str, Any], path: Sequence[str], owners: Sequence[str], arguments: int
) -> None:
    """Note where a request leads: *path* ends with so many *arguments*, and *owners* are the ids of
    objects in it."""
    seen = environ.get(_SEEN)
    if seen is None:
        return
    words = list(path[: len(path) - arguments])
    for owner in owners:
        if owner in words:
            words[words.index(owner)] = "{}"
    seen.route = "/" + "/".join([*words, *["{}"] * arguments])


class Observed:
    """An application, and the numbers about it."""

    def __init__(
        self, application: "WSGIApplication", telemetry: ApiTelemetry, exposition: Exposition
    ) -> None:
        self._application = application
        self._telemetry = telemetry
        self._shown = Shown(exposition)

    def __call__(
        self, environ: "WSGIEnvironment", start_response: "StartResponse"
    ) -> Iterable[bytes]:
        if environ.get("PATH_INFO", "") == PATH:
            return self._shown(environ, start_response)
        seen = environ[_SEEN] = _Seen()
        method = environ["REQUEST_METHOD"]
        answer = _Answer(self._telemetry, method if method in METHODS else OTHER, seen)

        def start(status: str, headers: list[tuple[str, str]], *more: Any) -> Any:
            seen.status = int(status.split()[0])
            return start_response(status, headers, *more)

        try:
            answer.body = self._application(environ, start)
        except BaseException:
            answer.close()
            raise
        return answer


class _Answer:
    """The body of an answer, counted when it has been sent, or given up."""

    def __init__(self, telemetry: ApiTelemetry, method: str, seen: _Seen) -> None:
        self.body: Iterable[bytes] = ()
        self._telemetry = telemetry
        self._method = method
        self._seen = seen
        self._begin = time.perf_counter()

    def __iter__(self) -> Iterator[bytes]:
        return iter(self.body)

    def close(self) -> None:
        try:
            close = getattr(self.body, "close", None)
            if close is not None:
                close()
        finally:
            self._telemetry.answered(
                self._method,
                self._seen.route,
                self._seen.status,
                time.perf_counter() - self._begin,
            )
