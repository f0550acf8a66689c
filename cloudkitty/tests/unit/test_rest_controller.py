# SPDX-License-Identifier: Apache-2.0
"""How a request finds its function, and its arguments."""

import json
import logging
from typing import Any

import pytest
import webob.request
import wsme.types
from hypothesis import given
from hypothesis import strategies as st

from cloudkitty import config
from cloudkitty.api.app import Application, Reception
from cloudkitty.rest import types
from cloudkitty.rest.controller import Controller, Reply, expose
from cloudkitty.rest.policy import Policy
from cloudkitty.rest.request import Request


class Thing(wsme.types.Base):  # type: ignore[misc]
    name = wsme.types.wsattr(types.Text, mandatory=True)
    cost = wsme.types.wsattr(types.Amount, default=None)
    made_by = wsme.types.wsattr(types.Text, readonly=True)


class Parts(Controller):
    @expose([types.Text], types.Text)
    def get_all(self, request: Request, thing_id: str) -> list[str]:
        return [thing_id]


class Things(Controller):
    def __init__(self, context: Any) -> None:
        super().__init__(context)
        self.members = {"parts": Parts(context)}
        self.children = {"parts": self.members["parts"]}

    @expose(types.Json, types.Flag, types.Text)
    def get_all(self, request: Request, big: bool = False, kind: str | None = None) -> Any:
        return {"big": big, "kind": kind}

    @expose(types.Text, types.Text, path=1)
    def get_one(self, request: Request, thing_id: str) -> str:
        if thing_id == "broken":
            raise RuntimeError("it is broken inside")
        return thing_id

    @expose(Thing, types.Text, body=Thing, status=201)
    def post(self, request: Request, colour: str = "red", thing_data: Any = None) -> Reply:
        return Reply.created(thing_data, request.resource_url)

    @expose(None, types.Text, path=1, status=204)
    def delete(self, request: Request, thing_id: str) -> None:
        return None


class Root(Controller):
    def __init__(self, context: Any) -> None:
        super().__init__(context)
        self.children = {"v1": self, "things": Things(context)}


class OpenContext:
    conf = config.load([], config_files=[])
    policy = Policy(None)


@pytest.fixture(scope="module")
def application() -> Any:
    context: Any = OpenContext()
    return Application(Root(context), Reception(context))


def ask(
    application: Any, method: str, path: str, body: bytes = b"", kind: str = "application/json"
) -> webob.response.Response:
    request = webob.request.Request.blank(path, method=method, body=body)
    request.content_type = kind
    return request.get_response(application)


@pytest.mark.parametrize(
    ("path", "answer"),
    [
        ("/v1/things", {"big": False, "kind": None}),
        ("/v1/things/", {"big": False, "kind": None}),
        ("/v1//things?big=YES&kind=", {"big": True, "kind": ""}),
        ("/v1/things?big=", {"big": False, "kind": None}),
        ("/v1/things/a", "a"),
        ("/v1/things/a?thing_id=b", "b"),
        ("/v1/things/a.json", "a.json"),
        ("/v1/things/a/parts", ["a"]),
        ("/v1/things/a/parts?thing_id=b", ["b"]),
        ("/v1/things/parts?thing_id=b", ["b"]),
        ("/v1/things/%C3%A9", "é"),
    ],
)
def test_a_path_finds_its_function(application: Any, path: str, answer: Any) -> None:
    response = ask(application, "GET", path)
    assert response.status_int == 200
    assert response.json == answer


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/v1/nothing", 404),
        ("GET", "/v1/things/a/b", 404),
        ("GET", "/v1/things/a/parts/b", 404),
        ("GET", "/v1/things/a/parts/b/parts", 404),
        ("POST", "/v1/things/a", 405),
        ("PUT", "/v1/things", 405),
        ("HEAD", "/v1/things", 405),
        ("PATCH", "/v1/things", 405),
        ("GET", "/v1/things/parts", 400),
        ("GET", "/v1/things?_method=put", 400),
        ("GET", "/v1/things/%FF", 400),
        ("GET", "/v1/things?kind=%FF", 400),
        ("GET", "/v1/things?kind=a&kind=b", 400),
        ("GET", "/v1/things?size=1", 400),
        ("DELETE", "/v1/things", 400),
        ("DELETE", "/v1/things/a", 204),
    ],
)
def test_what_leads_nowhere_and_what_is_wrong(
    application: Any, method: str, path: str, status: int
) -> None:
    response = ask(application, method, path)
    assert response.status_int == status
    if method != "HEAD" and status != 204:
        assert response.json["faultcode"] == "Client"


def test_a_wrong_method_is_told_the_right_ones(application: Any) -> None:
    assert ask(application, "PUT", "/v1/things").headers["Allow"] == "DELETE, GET, OPTIONS, POST"
    assert ask(application, "PUT", "/v1/things/a").headers["Allow"] == "DELETE, GET, OPTIONS"


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (b"", 'Missing argument: "thing_data"'),
        (b"null", 'Missing argument: "thing_data"'),
        (b"{", "Request is not in valid JSON format"),
        (b"\xff", "Request is not in valid JSON format"),
        (b"[" * 100_000, "Request is not in valid JSON format"),
        *((b"[" * n + b"]" * n, "Request is not in valid") for n in (101, 900, 970, 100_000)),
        (b"[" + b"[]," * 1000 + b"[]]", "Invalid input for field/attribute thing_data."),
        (b'{"name": NaN}', "Request is not in valid JSON format"),
        (b"[]", "Invalid input for field/attribute thing_data. Value: '[]'. Wrong type."),
        (b'{"size": 1}', "Unknown attribute for argument thing_data: size"),
        (b"{}", "Invalid input for field/attribute name. Value: 'None'. Mandatory field missing."),
        (b'{"name": 5}', "Invalid input for field/attribute name. Value: '5'. Wrong type."),
        (b'{"name": "\\ud800"}', "Invalid input for field/attribute name."),
        (b'{"name": "a", "cost": "b"}', "Invalid input for field/attribute cost. Value: 'b'."),
        (b'{"name": "a", "made_by": "b"}', "Invalid input for field/attribute made_by."),
    ],
)
def test_wrong_bodies(application: Any, body: bytes, text: str) -> None:
    response = ask(application, "POST", "/v1/things", body)
    assert response.status_int == 400
    assert response.json["faultstring"].startswith(text)


def test_a_body_of_another_kind(application: Any) -> None:
    response = ask(application, "POST", "/v1/things", b"name=a", "text/csv")
    assert response.status_int == 415


def test_a_form_gives_arguments(application: Any) -> None:
    kind = "application/x-www-form-urlencoded"
    assert ask(application, "DELETE", "/v1/things", b"thing_id=a", kind).status_int == 204


def test_query_and_body_may_not_say_the_same(application: Any) -> None:
    response = ask(application, "GET", "/v1/things?kind=a", b'{"kind": "b"}')
    assert response.status_int == 400
    assert response.json["faultstring"] == "Parameter kind was given several times"


def test_a_json_number_stays_exact(application: Any) -> None:
    number = b"0.12345678901234567890123456789"
    response = ask(
        application, "POST", "/v1/things?colour=blue", b'{"name":"a","cost":%s}' % number
    )
    assert response.status_int == 201
    assert response.json["cost"] == number.decode()
    assert response.headers["Location"] == "http://localhost/v1/things"


def test_a_fault_is_logged_once_and_not_told(
    application: Any, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        response = ask(application, "GET", "/v1/things/broken")
    assert response.status_int == 500
    assert "inside" not in response.text
    assert [record.exc_info is not None for record in caplog.records] == [True]


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=5,
)


@given(json_values)
def test_no_document_is_a_fault_of_the_service(application: Any, document: Any) -> None:
    for method, path in (("POST", "/v1/things"), ("GET", "/v1/things"), ("DELETE", "/v1/things")):
        body = json.dumps(document).encode()
        assert ask(application, method, path, body).status_int < 500
