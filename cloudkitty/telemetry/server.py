# SPDX-License-Identifier: Apache-2.0
"""A small HTTP server that shows numbers at ``/metrics``, and nothing else."""

import socket
import socketserver
from collections.abc import Iterable
from typing import TYPE_CHECKING
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

from cloudkitty.telemetry.exposition import CONTENT_TYPE, Exposition

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

PATH = "/metrics"

TIMEOUT = 30
"""Seconds that a client may take to send its request."""


class Shown:
    """A WSGI application."""

    def __init__(self, exposition: Exposition) -> None:
        self._exposition = exposition

    def __call__(
        self, environ: "WSGIEnvironment", start_response: "StartResponse"
    ) -> Iterable[bytes]:
        body, status, kind = b"", "200 OK", CONTENT_TYPE
        headers = []
        if environ.get("PATH_INFO", "") != PATH:
            body, status, kind = b"Only /metrics is here.\n", "404 Not Found", "text/plain"
        elif environ["REQUEST_METHOD"] not in ("GET", "HEAD"):
            body, status, kind = b"Only GET.\n", "405 Method Not Allowed", "text/plain"
            headers = [("Allow", "GET, HEAD")]
        else:
            body = self._exposition.text()
        length = str(len(body))
        start_response(status, [("Content-Type", kind), ("Content-Length", length), *headers])
        return [b"" if environ["REQUEST_METHOD"] == "HEAD" else body]


class _Handler(WSGIRequestHandler):
    timeout = TIMEOUT

    def log_message(self, format: str, *args: object) -> None:
        """Nobody wants to read in the log that the numbers have been asked for."""


class MetricsServer(socketserver.ThreadingMixIn, WSGIServer):
    """Answers on a socket that listens already."""

    daemon_threads = True

    def __init__(self, listener: socket.socket, exposition: Exposition) -> None:
        address = listener.getsockname()
        super().__init__(address[:2], _Handler, bind_and_activate=False)
        self.socket.close()
        self.socket = listener
        self.server_name, self.server_port = str(address[0]), int(address[1])
        self.setup_environ()
        self.set_app(Shown(exposition))
