# SPDX-License-Identifier: Apache-2.0
"""A server on loopback that gives scripted answers, for what no real server does on request."""

from collections.abc import Callable

from cloudkitty.tests.functional.answering import AnsweringServer, Request, Response

Answer = tuple[int, str]


class ScriptedServer(AnsweringServer):
    """Gives each path its answers in turn, the last one for ever."""

    def __init__(self) -> None:
        self.answers: dict[str, list[Answer]] = {}
        self.asked: list[str] = []
        self.peers: set[int] = set()
        self.also_sent: dict[str, str] = {}
        self.compress: Callable[[bytes], bytes] | None = None
        self.bodies: list[str] = []
        self.headers: list[dict[str, str]] = []
        super().__init__(self._answer)

    def _answer(self, asked: Request) -> Response:
        if "Content-Length" in asked.headers:
            self.bodies.append(asked.body)
        self.asked.append(asked.path)
        self.headers.append(dict(asked.headers))
        self.peers.add(asked.peer)
        answers = self.answers.get(asked.path.partition("?")[0], [(404, "{}")])
        status, body = answers.pop(0) if len(answers) > 1 else answers[0]
        headers = {"Content-Type": "application/json", "X-Subject-Token": "token"}
        headers |= self.also_sent
        content = body.encode()
        if self.compress:
            content = self.compress(content)
            headers["Content-Encoding"] = "gzip"
        return Response(status, content, headers)
