# SPDX-License-Identifier: Apache-2.0
"""An HTTP proxy in front of a real service, that spoils answers when it is told to."""

import contextlib
import gzip
import json
import re
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import requests

Headers = Mapping[str, str]

_PASSED_ON = ("content-type", "link", "x-subject-token")
_LONGEST = 30


class Exchange:
    """One request to the proxy, and the ways to deal with it."""

    def __init__(self, proxy: "FaultyProxy", handler: BaseHTTPRequestHandler) -> None:
        self._proxy = proxy
        self._handler = handler
        self.path = handler.path
        self.url = proxy.url + handler.path
        self.body = handler.rfile.read(int(handler.headers.get("Content-Length") or 0))
        self.stopped = proxy.stopped
        self.is_spoilt = proxy.is_spoilt

    def forward(self) -> "Answer":
        """The real service's answer."""
        handler = self._handler
        sent = {
            name: value
            for name, value in handler.headers.items()
            if name.lower() not in ("host", "connection", "content-length", "accept-encoding")
        }
        answer = requests.request(
            handler.command,
            self._proxy.target + self.path,
            data=self.body,
            headers={**sent, **self._proxy.adds},
            timeout=_LONGEST,
            allow_redirects=False,
        )
        kept = {name: text for name, text in answer.headers.items() if name.lower() in _PASSED_ON}
        body = answer.content.replace(self._proxy.target.encode(), self._proxy.url.encode())
        return Answer(answer.status_code, body, kept)

    def send(self, answer: "Answer") -> None:
        """Answer, and keep the connection."""
        self.begin(answer.status, {"Content-Length": str(len(answer.body)), **answer.headers})
        self._handler.wfile.write(answer.body)

    def begin(self, status: int, headers: Headers) -> None:
        self._handler.send_response(status)
        for name, value in headers.items():
            self._handler.send_header(name, value)
        self._handler.end_headers()

    def write(self, piece: bytes) -> None:
        self._handler.wfile.write(piece)

    def hang_up(self) -> None:
        self._handler.close_connection = True
        with contextlib.suppress(OSError):
            self._handler.connection.shutdown(socket.SHUT_RDWR)


class Answer(NamedTuple):
    status: int
    body: bytes
    headers: Headers = {}


Fault = Callable[[Exchange], None]


class FaultyProxy:
    """Forwards to the service at the URL *target*; ``url`` is its own.

    ``adds`` are headers that it adds to what it forwards, ``asked`` the paths and bodies of all
    requests that have reached it.
    """

    def __init__(self, target: str) -> None:
        parts = urlsplit(target)
        self.target = f"{parts.scheme}://{parts.netloc}"
        self.adds: dict[str, str] = {}
        self.asked: list[str] = []
        self.stopped = threading.Event()
        self._fault: Fault | None = None
        self._where = re.compile("")
        self._left = 0
        self._lock = threading.Lock()
        self._connections: set[socket.socket] = set()
        self._port = 0
        self._listen()
        self.url = f"http://127.0.0.1:{self._port}"

    def spoil(self, fault: Fault, *, where: str = "", times: int = 1_000_000) -> None:
        """Deal in this way with so many of the requests whose path or body *where* is found in."""
        with self._lock:
            self._fault, self._where, self._left = fault, re.compile(where), times

    def heal(self) -> None:
        """Forward everything again, and listen if it does not."""
        with self._lock:
            self._left = 0
        if self._server is None:
            self._listen()

    def is_spoilt(self) -> bool:
        """Return whether there are still requests to be dealt with in the wrong way."""
        return self._left > 0

    def vanish(self) -> None:
        """Refuse connections, and end those that there are."""
        server, self._server = self._server, None
        if server is not None:
            server.shutdown()
            server.server_close()
        for one in list(self._connections):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)

    def stop(self) -> None:
        self.stopped.set()
        self.vanish()

    def _fault_for(self, exchange: Exchange) -> Fault | None:
        with self._lock:
            self.asked.append(f"{exchange.path} {exchange.body.decode()}")
            if not self._left or not self._where.search(self.asked[-1]):
                return None
            self._left -= 1
            return self._fault

    def _listen(self) -> None:
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def setup(self) -> None:
                super().setup()
                proxy._connections.add(self.connection)

            def finish(self) -> None:
                proxy._connections.discard(self.connection)
                with contextlib.suppress(OSError):
                    super().finish()

            def handle(self) -> None:
                with contextlib.suppress(OSError):
                    super().handle()

            def do_GET(self) -> None:
                exchange = Exchange(proxy, self)
                fault = proxy._fault_for(exchange)
                if fault is None:
                    exchange.send(exchange.forward())
                else:
                    fault(exchange)

            do_POST = do_GET

            def log_message(self, *args: Any) -> None:
                pass

        self._server: ThreadingHTTPServer | None = ThreadingHTTPServer(
            ("127.0.0.1", self._port), Handler
        )
        self._port = self._server.server_port
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()


@contextlib.contextmanager
def in_front_of(target: str) -> Iterator[FaultyProxy]:
    proxy = FaultyProxy(target)
    try:
        yield proxy
    finally:
        proxy.stop()


# -- faults ----------------------------------------------------------------------------------------


def answers(status: int, body: str = "", **headers: str) -> Fault:
    """Another answer than that of the service; ``Retry_After`` becomes ``Retry-After``."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return lambda exchange: exchange.send(Answer(status, body.encode(), named))


def leads_to_a_page(exchange: Exchange) -> None:
    """A redirection to where people log in."""
    if exchange.path == "/login":
        exchange.send(Answer(200, b"<html>Log in!</html>", {"Content-Type": "text/html"}))
    else:
        to = exchange.url.removesuffix(exchange.path) + "/login"
        exchange.send(Answer(303, b"", {"Location": to}))


def breaks_off(exchange: Exchange) -> None:
    """Half of what ``Content-Length`` has promised."""
    whole = exchange.forward()
    exchange.begin(whole.status, {"Content-Length": str(len(whole.body)), **whole.headers})
    exchange.write(whole.body[: len(whole.body) // 2])
    exchange.hang_up()


def breaks_off_in_a_chunk(exchange: Exchange) -> None:
    whole = exchange.forward()
    exchange.begin(whole.status, {"Transfer-Encoding": "chunked", **whole.headers})
    exchange.write(b"%x\r\n%s" % (len(whole.body), whole.body[: len(whole.body) // 2]))
    exchange.hang_up()


def ends_between_chunks(exchange: Exchange) -> None:
    """A whole chunk, but no last one."""
    whole = exchange.forward()
    exchange.begin(whole.status, {"Transfer-Encoding": "chunked", **whole.headers})
    exchange.write(b"%x\r\n%s\r\n" % (len(whole.body), whole.body))
    exchange.hang_up()


def breaks_off_compressed(exchange: Exchange) -> None:
    """Half of what was compressed, which ends with the connection."""
    whole = exchange.forward()
    packed = gzip.compress(whole.body)
    exchange.begin(whole.status, {"Content-Encoding": "gzip", **whole.headers})
    exchange.write(packed[: len(packed) // 2])
    exchange.hang_up()


def hangs_up(exchange: Exchange) -> None:
    exchange.hang_up()


def is_cut_short(exchange: Exchange) -> None:
    """Half the JSON, whose length is right."""
    whole = exchange.forward()
    exchange.send(whole._replace(body=whole.body[: len(whole.body) // 2]))


def is_silent(exchange: Exchange) -> None:
    """No answer before the client gives up."""
    exchange.stopped.wait(_LONGEST)
    exchange.hang_up()


def is_slow(exchange: Exchange) -> None:
    """An answer that takes its time, and is good."""
    exchange.stopped.wait(0.05)
    exchange.send(exchange.forward())


def trickles(exchange: Exchange) -> None:
    """A byte now and then, until the service is well again."""
    exchange.begin(200, {"Content-Type": "application/json"})
    exchange.write(b"[")
    while not exchange.stopped.wait(0.002) and exchange.is_spoilt():
        exchange.write(b" ")
    exchange.hang_up()


def rewritten(change: Callable[[Any], Any]) -> Fault:
    """The answer of the service with its JSON changed."""

    def fault(exchange: Exchange) -> None:
        whole = exchange.forward()
        changed = json.dumps(change(json.loads(whole.body))).encode()
        exchange.send(whole._replace(body=changed))

    return fault


def with_other_text(old: str, new: str) -> Fault:
    """The answer of the service with a text replaced."""

    def fault(exchange: Exchange) -> None:
        whole = exchange.forward()
        exchange.send(whole._replace(body=whole.body.replace(old.encode(), new.encode())))

    return fault
