# SPDX-License-Identifier: Apache-2.0
"""The client of version 2 against a running server."""

import datetime
from collections.abc import Iterator
from typing import Any

import pytest
import requests

from cloudkitty.period import UTC
from cloudkitty.tests.databases import TestServer
from cloudkitty.tests.functional.live import LiveApi, client_of, seeded, shell

JANUARY = {
    "begin": datetime.datetime(2026, 1, 1, tzinfo=UTC),
    "end": datetime.datetime(2026, 2, 1, tzinfo=UTC),
}
SHELL_JANUARY = "-b 2026-01-01T00:00:00Z -e 2026-02-01T00:00:00Z"


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory, sqlite_server: TestServer) -> Iterator[LiveApi]:
    yield from seeded(tmp_path_factory, sqlite_server)


@pytest.fixture
def client(live: LiveApi) -> Any:
    return client_of(live, "2")


def test_summary(client: Any) -> None:
    table = client.summary.get_summary(groupby=["type", "project_id"], **JANUARY)
    assert table["columns"] == ["begin", "end", "qty", "rate", "type", "project_id"]
    assert [row[3] for row in table["results"]] == [0.2, 1.25, 7]
    objects = client.summary.get_summary(
        groupby="type", filters={"project_id": "alpha"}, response_format="object", **JANUARY
    )
    assert [row["rate"] for row in objects["results"]] == [0.2, 1.25]


def test_dataframes(client: Any) -> None:
    found = client.dataframes.get_dataframes(limit=3, filters={"type": "instance"}, **JANUARY)
    assert found["total"] == 2
    assert [len(frame["usage"]["instance"]) for frame in found["dataframes"]] == [1, 1]


def test_scopes(client: Any) -> None:
    found = client.scope.get_scope_state(scope_id=["alpha", "beta"], collector="csv")
    assert [scope["state"] for scope in found["results"]] == ["2026-01-01T01:00:00+00:00"] * 2
    stopped = client.scope.update_scope(scope_id="beta", active="false")
    assert stopped["active"] is False
    started = client.scope.update_scope(scope_id="beta", active="true")
    assert started["active"] is True


def test_modules(client: Any) -> None:
    names = [module["module_id"] for module in client.rating.get_module()["modules"]]
    assert names == ["hashmap", "noop", "pyscripts"]
    client.rating.update_module(module_id="hashmap", enabled=True, priority=7)
    module = client.rating.get_module(module_id="hashmap")
    assert (module["enabled"], module["priority"]) == (True, 7)


@pytest.mark.parametrize(
    ("words", "shown"),
    [
        ("module list", "noop"),
        ("module get noop", "noop"),
        ("module enable hashmap", "True"),
        ("module disable hashmap", "False"),
        ("module set priority hashmap 3", "3"),
        (f"summary get {SHELL_JANUARY} -g type -g time-m --filter project_id:beta", "volume.size"),
        ("summary get", ""),
        (f"dataframes get {SHELL_JANUARY} --filter type:instance", "instance-of-alpha"),
        ("scope state get --scope-id beta", "2026-01-01T01:00:00+00:00"),
        ("info metric list", "volume.size"),
        ("report tenant list", ""),
    ],
)
def test_commands(live: LiveApi, words: str, shown: str) -> None:
    assert shown in shell(live, "2", words)


def test_command_that_changes_a_scope(live: LiveApi) -> None:
    # It prints the scope as a message of its end, which makes that a failure to the shell.
    with pytest.raises(AssertionError, match=r"'collector': 'other'.*'active': False"):
        shell(live, "2", "scope patch -id alpha --collector other --active false")


def test_nothing_found_is_said_by_the_command(live: LiveApi) -> None:
    with pytest.raises(AssertionError, match=r"No resource found for provided filters\."):
        shell(live, "2", "dataframes get")


def test_an_answer_without_a_known_length_is_complete(live: LiveApi) -> None:
    url = f"{live.url}/v2/dataframes?begin=2026-01-01&end=2026-02-01&limit=100000"
    answer = requests.get(url, headers={"Accept": "text/csv"}, timeout=60)
    assert answer.headers["Transfer-Encoding"] == "chunked"
    assert len(answer.text.splitlines()) == 5
    assert requests.head(url, timeout=60).content == b""
