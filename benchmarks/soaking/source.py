# SPDX-License-Identifier: Apache-2.0
"""A Prometheus as far as the collector and the fetcher ask one, in a process of its own, that fails
by plan.

``python -m soaking.source SETTINGS`` prints its URL, serves until it is told to end, and fails as
a line of its standard input says when it comes: the plan of its flaps. Both are JSON.
"""

import contextlib
import json
import re
import socket
import sys
import threading
import time
import urllib.parse
from datetime import datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple

from cloudkitty.collector.promql import CLOSED_AT_BOTH_ENDS
from soaking import flaps
from soaking.cloud import LISTING, SERVICES, Cloud
from soaking.flaps import Flap

RECENT_PERIODS = 3
"""An answer without half of the scopes is about a period that ended at most so long ago. Of older
ones it would not be late usage, for which periods wait, but usage that never was."""

_USAGE = re.compile(r'(soak_\w+)\{project(=~?|!=)"([^"]*)"\}')


class Settings(NamedTuple):
    """The cloud, and how many seconds a slow answer takes."""

    cloud: Cloud
    slow: float

    def written(self) -> str:
        cloud = self.cloud
        return json.dumps([[cloud.count, cloud.first, cloud.seconds], self.slow])

    @classmethod
    def read(cls, written: str) -> "Settings":
        cloud, slow = json.loads(written)
        return cls(Cloud(*cloud), slow)


class Answers:
    """What the cloud's Prometheus knows."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud
        self._numbers = {scope: number for number, scope in enumerate(cloud.scopes())}

    def result(self, query: str, at: float, *, is_half: bool) -> list[str]:
        """Return the series that a query evaluates to, each as JSON.

        :raises ValueError: nobody asks like that.
        """
        if query == CLOSED_AT_BOTH_ENDS:
            return [_series({}, at, 1)]
        if LISTING in query:
            listed = [scope for scope, n in self._numbers.items() if not (is_half and n % 2)]
            return [_series({"project": scope}, at, 1) for scope in listed]
        asked = _USAGE.search(query)
        if asked is None or asked[1] not in SERVICES:
            raise ValueError(f"not understood: {query}")
        index = self._cloud.index(at)
        age = time.time() - self._cloud.begin(index + 1)
        leaves_out = is_half and age < RECENT_PERIODS * self._cloud.seconds
        scopes = self._numbers if asked[2] == "!=" else asked[3].split("|")
        return [
            _series({"project": scope, "id": used.resource, "flavor": used.flavor}, at, used.value)
            for scope in scopes
            for number in [self._numbers[scope]]
            if not (leaves_out and number % 2)
            for used in self._cloud.used(asked[1], number, index)
        ]


def _series(labels: dict[str, str], at: float, value: int) -> str:
    named = {name: text for name, text in labels.items() if text}
    return json.dumps({"metric": named, "value": [at, str(value)]})


class Source:
    """The server; it listens on one port, whenever it listens."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._answers = Answers(settings.cloud)
        self._flaps: list[Flap] = []
        self._server: ThreadingHTTPServer | None = None
        self._connections: set[socket.socket] = set()
        self.port = 0

    def open(self) -> None:
        """Listen."""
        self._server = _Server(("127.0.0.1", self.port), self._handler())
        self.port = self._server.server_port
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def close(self) -> None:
        """Refuse connections, and end those that there are."""
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
        for one in list(self._connections):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)

    def act(self, planned: list[Flap]) -> None:
        """Fail as planned."""
        self._flaps = planned
        for flap in planned:
            if flap.kind == "down":
                time.sleep(max(0, flap.begin - time.time()))
                self.close()
                time.sleep(max(0, flap.end - time.time()))
                self.open()

    def answer(self, form: str) -> tuple[int, bytes, bool]:
        """Return status and body of the answer to a query, and whether it breaks off."""
        fields = {name: values[0] for name, values in urllib.parse.parse_qs(form).items()}
        at = datetime.fromisoformat(fields["time"]).timestamp() if "time" in fields else time.time()
        flap = flaps.current(self._flaps, time.time())
        kind = flap.kind if flap else ""
        if kind == "errors":
            return 500, b'{"status": "error", "errorType": "internal", "error": "a flap"}', False
        if kind == "slow":
            time.sleep(self._settings.slow)
        series = self._answers.result(fields["query"], at, is_half=kind == "half")
        body = '{"status":"success","data":{"resultType":"vector","result":[%s]}}'
        return 200, (body % ",".join(series)).encode(), kind == "broken"

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        source = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def setup(self) -> None:
                super().setup()
                source._connections.add(self.connection)

            def handle(self) -> None:
                with contextlib.suppress(OSError):
                    super().handle()

            def finish(self) -> None:
                source._connections.discard(self.connection)
                with contextlib.suppress(OSError):
                    super().finish()

            def do_POST(self) -> None:
                length = int(self.headers["Content-Length"])
                status, body, breaks_off = source.answer(self.rfile.read(length).decode())
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body[: len(body) // 2] if breaks_off else body)
                self.close_connection = self.close_connection or breaks_off

            def log_message(self, *args: Any) -> None:
                pass

        return Handler


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64


def main() -> None:
    source = Source(Settings.read(sys.argv[1]))
    source.open()
    print(f"http://127.0.0.1:{source.port}/api/v1", flush=True)
    source.act([Flap(*one) for one in json.loads(sys.stdin.readline() or "[]")])
    threading.Event().wait()


if __name__ == "__main__":
    main()
