# SPDX-License-Identifier: Apache-2.0
"""A server on loopback that gives scripted answers, for what no real server does on request."""

import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Answer = tuple[int, str]


class ScriptedServer:
    """Gives each path its answers in turn, the last one for ever."""

    def __init__(self) -> None:
        self.answers: dict[str, list[Answer]] = {}
        self.asked: list[str] = []
        self.peers: set[int] = set()
        self.also_sent: dict[str, str] = {}
        self.compress: Callable[[bytes], bytes] | None = None
        self.bodies: list[str] = []
        self.headers: list[dict[str, str]] = []
        scripted = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                length = int(self.headers["Content-Length"])
                scripted.bodies.append(self.rfile.read(length).decode())
                self.do_GET()

            def do_GET(self) -> None:
                path = self.path.partition("?")[0]
                scripted.asked.append(self.path)
                scripted.headers.append(dict(self.headers))
                scripted.peers.add(self.client_address[1])
                answers = scripted.answers.get(path, [(404, "{}")])
                status, body = answers.pop(0) if len(answers) > 1 else answers[0]
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("X-Subject-Token", "token")
                for name, value in scripted.also_sent.items():
                    self.send_header(name, value)
                content = body.encode()
                if scripted.compress:
                    content = scripted.compress(content)
                    self.send_header("Content-Encoding", "gzip")
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *args: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()
