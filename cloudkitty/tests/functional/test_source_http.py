# SPDX-License-Identifier: Apache-2.0
"""Asking another service over HTTP: a server on loopback gives the answers."""

import gzip
import itertools
import json
import socket
import threading
from collections.abc import Iterator
from decimal import Decimal

import pytest

from cloudkitty.source import http, sending, session
from cloudkitty.source.errors import Malformed, Place, Refused, SourceError
from cloudkitty.tests.functional.scripted import ScriptedServer

PLACE = Place("the meter store", "collector_meters", "url", "meters")


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[ScriptedServer]:
    monkeypatch.setattr("keystoneauth1.session.time.sleep", lambda seconds: None)
    server = ScriptedServer()
    yield server
    server.stop()


def service(url: str) -> http.Service:
    plain = session.plain_session(session.NoAuth(), verify=True, timeout=5)
    return http.Service(session.client(plain, PLACE, endpoint=url), PLACE, limit=60)


class TestAnswers:
    def test_numbers_keep_their_digits(self, server: ScriptedServer) -> None:
        server.answers["/one"] = [(200, '{"a": 0.1234567890123456789012345678, "b": 3}')]
        with service(server.url).asking("one"):
            answer = service(server.url).get("/one").json()
        assert answer == {"a": Decimal("0.1234567890123456789012345678"), "b": 3}

    def test_items_of_a_list_keep_their_digits(self, server: ScriptedServer) -> None:
        server.answers["/many"] = [(200, '{"data": [[1, 0.10], [2, 1e-20]]}')]
        asked = service(server.url)
        with asked.asking("many"):
            items = list(asked.get("/many").items("data.item"))
        assert items == [[1, Decimal("0.10")], [2, Decimal("1e-20")]]

    def test_parameters_may_be_repeated(self, server: ScriptedServer) -> None:
        server.answers["/one"] = [(200, "[]")]
        service(server.url).get("/one", [("groupby", "a b"), ("groupby", "c&d")])
        assert server.asked == ["/one?groupby=a+b&groupby=c%26d"]

    def test_a_body_is_json(self, server: ScriptedServer) -> None:
        server.answers["/one"] = [(200, "[]")]
        service(server.url).post("/one", {"is": None})
        assert json.loads(server.bodies[0]) == {"is": None}


class TestErrors:
    @pytest.mark.parametrize(
        ("body", "told"),
        [
            ('{"error_message": {"faultstring": "no meter"}}', "no meter"),
            ('{"status": "error", "errorType": "bad_data", "error": "parse error"}', "parse error"),
            ('{"error": {"code": 400, "message": "no project"}}', "no project"),
            ('{"code": 400, "description": "no metric"}', "no metric"),
            (
                '{"description": {"cause": "Metrics not found", "detail": ["cpu"]}}',
                'Metrics not found: ["cpu"]',
            ),
            ("<html>", "Bad Request"),
            ("[1]", "Bad Request"),
        ],
    )
    def test_the_sentence_of_an_error(self, server: ScriptedServer, body: str, told: str) -> None:
        server.answers["/one"] = [(400, body)]
        asked = service(server.url)
        with pytest.raises(Refused) as caught, asked.asking("usage"):
            asked.get("/one")
        assert caught.value.status == 400
        assert str(caught.value) == (
            f"asking for usage: [collector_meters] url {server.url} answers 400 {told}"
        )

    @pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
    def test_a_busy_service_is_asked_again(self, server: ScriptedServer, status: int) -> None:
        server.answers["/one"] = [(status, "")] * sending.TRIES_AGAIN + [(200, "[7]")]
        asked = service(server.url)
        with asked.asking("usage"):
            assert asked.get("/one").json() == [7]

    def test_but_not_for_ever(self, server: ScriptedServer) -> None:
        server.answers["/one"] = [(503, "")]
        asked = service(server.url)
        with pytest.raises(Refused, match="answers 503"), asked.asking("usage"):
            asked.get("/one")
        assert len(server.asked) == 1 + sending.TRIES_AGAIN

    def test_it_is_left_alone_for_as_long_as_it_wants(
        self, server: ScriptedServer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        pauses: list[float] = []
        monkeypatch.setattr("cloudkitty.source.sending.time.sleep", pauses.append)
        server.answers["/one"] = [(429, "")] * 3 + [(200, "[7]")]
        server.also_sent["Retry-After"] = "2"
        asked = service(server.url)
        with asked.asking("usage"):
            assert asked.get("/one").json() == [7]
        assert pauses == [2, 2, 2]

    def test_but_not_for_long(self, server: ScriptedServer) -> None:
        server.answers["/one"] = [(429, "")]
        server.also_sent["Retry-After"] = "86400"
        asked = service(server.url)
        told = "answers 429 Too Many Requests; it wants to be left alone for 86400 s"
        with pytest.raises(Refused, match=told), asked.asking("usage"):
            asked.get("/one")
        assert len(server.asked) == 1

    def test_redirections_come_to_an_end(self, server: ScriptedServer) -> None:
        server.answers["/one"] = [(302, "[]")]
        server.also_sent["Location"] = f"{server.url}/one"
        asked = service(server.url)
        told = f"answers 302 Found and leads to {server.url}/one"
        with pytest.raises(Refused, match=told), asked.asking("usage"):
            asked.get("/one").json()
        assert len(server.asked) == 1 + session.REDIRECTIONS

    def test_an_answer_that_trickles_ends_at_the_limit(
        self, server: ScriptedServer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        clock = itertools.count(step=40)
        monkeypatch.setattr("cloudkitty.source.sending.time.monotonic", lambda: next(clock))
        server.answers["/one"] = [(200, f"[{' ' * 300_000}]")]
        asked = service(server.url)
        told = r"complete after 60 s; see \[orchestrator\] collector_request_timeout"
        with pytest.raises(SourceError, match=told), asked.asking("usage"):
            list(asked.get("/one").listed())

    @pytest.mark.parametrize("status", [401, 403])
    def test_refused_access_names_the_section(self, server: ScriptedServer, status: int) -> None:
        server.answers["/one"] = [(status, "{}")]
        asked = service(server.url)
        with (
            pytest.raises(Refused, match=r"the credentials in \[collector_meters\]"),
            asked.asking("usage"),
        ):
            asked.get("/one")

    @pytest.mark.parametrize("body", ["", "[1, 2", "<html>", '{"data": '])
    def test_what_is_no_json(self, server: ScriptedServer, body: str) -> None:
        server.answers["/one"] = [(200, body)]
        asked = service(server.url)
        with pytest.raises(Malformed, match="cannot be read"), asked.asking("usage"):
            asked.get("/one").json()
        with pytest.raises(Malformed, match="cannot be read"), asked.asking("usage"):
            list(asked.get("/one").items("item"))

    def test_a_mistake_while_reading_is_an_answer_without_its_form(
        self, server: ScriptedServer
    ) -> None:
        server.answers["/one"] = [(200, '{"a": 1}')]
        asked = service(server.url)
        with pytest.raises(Malformed, match="KeyError: 'b'"), asked.asking("usage"):
            asked.get("/one").json()["b"]

    def test_nobody_there(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("keystoneauth1.session.time.sleep", lambda seconds: None)
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        asked = service(f"http://127.0.0.1:{port}")
        with pytest.raises(SourceError, match="does not answer"), asked.asking("usage"):
            asked.get("/one")


class RawServer:
    """Sends the same bytes to everybody who connects, and hangs up."""

    def __init__(self, sent: bytes) -> None:
        self._sent = sent
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            with client:
                client.recv(65536)
                client.sendall(self._sent)

    def stop(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(5)


def answer(body: bytes, *headers: bytes) -> bytes:
    lines = [b"HTTP/1.1 200 OK", b"Content-Type: application/json", *headers]
    return b"\r\n".join([*lines, b"", body])


class TestTransport:
    @pytest.fixture
    def raw(self) -> Iterator[list[RawServer]]:
        servers: list[RawServer] = []
        yield servers
        for one in servers:
            one.stop()

    def test_a_compressed_answer_is_decoded_while_it_arrives(self, raw: list[RawServer]) -> None:
        body = gzip.compress(json.dumps([{"n": number} for number in range(1000)]).encode())
        length = b"Content-Length: %d" % len(body)
        raw.append(RawServer(answer(body, b"Content-Encoding: gzip", length)))
        asked = service(raw[0].url)
        with asked.asking("usage"):
            assert sum(item["n"] for item in asked.get("/").items("item")) == 499_500

    @pytest.mark.parametrize("how", ["length", "chunked", "gzip"])
    def test_half_an_answer_is_an_error(self, raw: list[RawServer], how: str) -> None:
        whole = json.dumps([{"n": number} for number in range(1000)]).encode()
        sent = {
            "length": answer(whole[:500], b"Content-Length: %d" % len(whole)),
            "chunked": answer(
                b"%x\r\n%s" % (len(whole), whole[:500]), b"Transfer-Encoding: chunked"
            ),
            "gzip": answer(gzip.compress(whole)[:-20], b"Content-Encoding: gzip"),
        }[how]
        raw.append(RawServer(sent))
        asked = service(raw[0].url)
        with pytest.raises(SourceError), asked.asking("usage"):
            list(asked.get("/").items("item"))
        with pytest.raises(SourceError), asked.asking("usage"):
            asked.get("/").json()
