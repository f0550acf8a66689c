# SPDX-License-Identifier: Apache-2.0
"""Answers of InfluxDB that no healthy server gives, on its behalf by a server on loopback."""

import json
from collections.abc import Iterator
from decimal import Decimal
from urllib.parse import parse_qs, urlsplit

import pytest

from cloudkitty.importer.influxdb import place
from cloudkitty.importer.influxdb.client import Client, Part
from cloudkitty.importer.influxdb.origin import OldInfluxDB
from cloudkitty.importer.scopes import Identity
from cloudkitty.importer.source import SourceError
from cloudkitty.tests.functional.scripted import ScriptedServer

IDENTITY = Identity("project_id", "keystone", "gnocchi", 3600)


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    server = ScriptedServer()
    server.also_sent["X-Influxdb-Version"] = "1.8.10"
    server.answers["/ping"] = [(204, "")]
    yield server
    server.stop()


def url(server: ScriptedServer) -> str:
    return f"influxdb://reader:secret@{urlsplit(server.url).netloc}/old"


def part(rows: str, more: bool) -> str:
    """One piece of an answer, as the server writes it."""
    partial = ',"partial":true' if more else ""
    return (
        '{"results":[{"statement_id":0,"series":[{"name":"dataframes","columns":["time","qty"],'
        f'"values":{rows}{partial}}}]{partial}}}]}}\n'
    )


def rows(server: ScriptedServer, *pieces: str) -> list[Part]:
    server.answers["/query"] = [(200, "".join(pieces))]
    client = Client(place.parse(url(server)))
    return list(client.ask("SELECT qty FROM x"))


def test_numbers_are_the_digits_of_the_answer(server: ScriptedServer) -> None:
    found = rows(server, part("[[0,0.1000000000000000055511]]", True), part("[[3600,1e-9]]", False))
    assert [part.rows for part in found] == [
        [[0, Decimal("0.1000000000000000055511")]],
        [[3600, Decimal("1e-9")]],
    ]
    assert found[0].rows[0][1].as_tuple() == Decimal("0.1000000000000000055511").as_tuple()


def test_it_is_asked_for_pieces_and_nothing_is_sent_but_questions(server: ScriptedServer) -> None:
    rows(server, part("[]", False))
    [asked] = server.asked
    parameters = {name: values[0] for name, values in parse_qs(urlsplit(asked).query).items()}
    assert parameters == {
        "db": "old",
        "q": "SELECT qty FROM x",
        "epoch": "s",
        "chunked": "true",
        "chunk_size": "2000",
    }
    assert server.bodies == []
    assert server.headers[0]["Authorization"].startswith("Basic ")


@pytest.mark.parametrize(
    ("pieces", "why"),
    [
        ([part("[[0,1]]", True)], "the answer is cut short"),
        ([], "the answer is cut short"),
        ([part("[[0,1]]", True), '{"results":[{"series"'], "the answer cannot be read"),
        ([part("[[0,1]]", True), '{"error":"timeout"}'], "timeout"),
        (['{"results":[{"statement_id":0,"error":"no such policy"}]}'], "no such policy"),
        (["[]"], "is no InfluxDB"),
    ],
)
def test_an_answer_is_whole_or_an_error(server: ScriptedServer, pieces, why) -> None:
    with pytest.raises(SourceError, match=why) as refused:
        rows(server, *pieces)
    assert "secret" not in str(refused.value)


def test_a_status_of_failure_says_why(server: ScriptedServer) -> None:
    server.answers["/query"] = [(401, json.dumps({"error": "authorization failed"}))]
    with pytest.raises(SourceError, match="401 authorization failed"):
        list(Client(place.parse(url(server))).ask("SHOW TAG KEYS"))


def test_another_version_is_refused(server: ScriptedServer) -> None:
    server.also_sent["X-Influxdb-Version"] = "v2.7.1"
    with pytest.raises(SourceError, match=r"is InfluxDB 2\.7\.1, and what can be read"):
        OldInfluxDB(url(server)).check(IDENTITY)


def test_a_server_of_something_else_is_refused(server: ScriptedServer) -> None:
    server.answers["/ping"] = [(404, "<html>")]
    with pytest.raises(SourceError, match="404 Not Found"):
        OldInfluxDB(url(server)).check(IDENTITY)
