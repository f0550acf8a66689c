# SPDX-License-Identifier: Apache-2.0
"""Arguments of version 2 are taken as they are written, or refused with their name."""

from typing import Any

import pytest

from cloudkitty.api.v2 import arguments
from cloudkitty.api.v2.arguments import Argument
from cloudkitty.rest import errors
from cloudkitty.rest.request import Request

QUERY = (
    *arguments.PAGE,
    arguments.listed("name", arguments.text()),
    arguments.pairs("filters", repeat=True),
    arguments.single("shape", arguments.choice("round", "square"), "round"),
)

BODY = (
    Argument("id", arguments.text(1, 5), required=True),
    Argument("active", arguments.flag),
    Argument("enabled", arguments.worded_flag, null=True),
    Argument("priority", arguments.json_whole(0, 9), 1),
)


def query(written: str) -> dict[str, Any]:
    return arguments.read_query(QUERY, Request.blank(f"/?{written}"))


def body(written: str, content_type: str = "application/json") -> dict[str, Any]:
    request = Request.blank("/", method="POST", body=written.encode(), content_type=content_type)
    return arguments.read_body(BODY, request)


def test_defaults() -> None:
    assert query("") == {"offset": 0, "limit": 100, "name": None, "filters": {}, "shape": "round"}


def test_lists_take_commas_and_repetition() -> None:
    assert query("name=a,b&name=c")["name"] == ["a", "b", "c"]
    assert query("name=")["name"] == [""]


def test_pairs_are_gathered_by_key() -> None:
    assert query("filters=a:1,b:2&filters=a:3")["filters"] == {"a": ["1", "3"], "b": ["2"]}


@pytest.mark.parametrize(
    "written",
    [
        "limit=0",
        "limit=1e2",
        "limit=",
        "limit=%2B5",
        "limit=1_0",
        "limit=%D9%A1",
        "limit=99999999999",
        "offset=-1",
        "limit=1&limit=1",
        "filters=a",
        "filters=a:b:c",
        "filters=",
        "name=%00",
        "shape=oval",
        "colour=red",
    ],
)
def test_what_a_query_may_not_say(written: str) -> None:
    with pytest.raises(errors.InvalidData) as raised:
        query(written)
    assert f"(path: '{written.partition('=')[0]}')" in str(raised.value)


def test_every_mistake_is_told_at_once() -> None:
    with pytest.raises(errors.InvalidData) as raised:
        query("limit=0&offset=x&colour=red")
    assert all(f"(path: '{name}')" in str(raised.value) for name in ("limit", "offset", "colour"))


def test_members_of_a_body() -> None:
    assert body('{"id": 17, "active": false, "enabled": "On"}') == {
        "id": "17",
        "active": False,
        "enabled": True,
        "priority": 1,
    }
    assert body('{"id": "x", "enabled": null}')["enabled"] is None


@pytest.mark.parametrize(
    ("written", "name"),
    [
        ("{}", "id"),
        ('{"id": null}', "id"),
        ('{"id": ""}', "id"),
        ('{"id": "abcdef"}', "id"),
        ('{"id": true}', "id"),
        ('{"id": ["x"]}', "id"),
        ('{"id": "x", "active": 1}', "active"),
        ('{"id": "x", "active": "true"}', "active"),
        ('{"id": "x", "active": null}', "active"),
        ('{"id": "x", "enabled": "maybe"}', "enabled"),
        ('{"id": "x", "enabled": 2}', "enabled"),
        ('{"id": "x", "priority": "1"}', "priority"),
        ('{"id": "x", "priority": 1.5}', "priority"),
        ('{"id": "x", "priority": 1e-999999999}', "priority"),
        ('{"id": "x", "priority": 1e999999999}', "priority"),
        ('{"id": "x", "priority": true}', "priority"),
        ('{"id": "x", "priority": 10}', "priority"),
        ('{"id": "x", "other": 1}', "other"),
    ],
)
def test_what_a_body_may_not_say(written: str, name: str) -> None:
    with pytest.raises(errors.InvalidData, match=rf"\(path: '{name}'\)"):
        body(written)


@pytest.mark.parametrize("written", ["", "{", "[1", '{"id": NaN}'])
def test_a_body_that_is_not_json(written: str) -> None:
    with pytest.raises(errors.NotJson):
        body(written)


def test_a_body_that_is_not_an_object() -> None:
    with pytest.raises(errors.NotAnObject):
        body("[]")


@pytest.mark.parametrize("content_type", ["text/plain", "application/x-www-form-urlencoded", ""])
def test_a_body_of_another_type(content_type: str) -> None:
    with pytest.raises(errors.NotJsonType):
        body('{"id": "x"}', content_type)


@pytest.mark.parametrize("written", ["5", "5.0", "5e0", "0.5e1"])
def test_whole_numbers_of_json(written: str) -> None:
    found = body(f'{{"id": "x", "priority": {written}}}')["priority"]
    assert (found, type(found)) == (5, int)
