# SPDX-License-Identifier: Apache-2.0
"""A server on loopback inside the tests: what it answers is a function of what it is asked."""

import threading
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple


class Request(NamedTuple):
    """What is asked: ``path`` has the query, ``peer`` is the port of the other side."""

    path: str
    headers: Mapping[str, str]
    body: str
    peer: int


class Response(NamedTuple):
    """What is answered."""

    status: int
    body: bytes
    headers: Mapping[str, str] = {}


class AnsweringServer:
    """Answers until ``stop``; requests of several connections are answered at the same time."""

    def __init__(self, answer: Callable[[Request], Response]) -> None:
        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                length = int(self.headers.get("Content-Length", 0))
                body = self.rfile.read(length).decode()
                asked = Request(self.path, dict(self.headers), body, self.client_address[1])
                response = answer(asked)
                self.send_response(response.status)
                for name, value in response.headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(response.body)))
                self.end_headers()
                self.wfile.write(response.body)

            do_POST = do_GET

            def log_message(self, *args: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"127.0.0.1:{self._server.server_port}"
        self.url = f"http://{self.address}"
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()
