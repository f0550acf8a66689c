# SPDX-License-Identifier: Apache-2.0
"""The document of the API says what is there, all of it, and what it answers."""

import pathlib
import re
from typing import Any

import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator
from oslo_config import cfg

from cloudkitty.api import app, deploy
from cloudkitty.api.context import ApiContext
from cloudkitty.db.engine import Database
from cloudkitty.rest.errors import NotFound
from cloudkitty.tests import api
from cloudkitty.tests.databases import TestServer
from cloudkitty.tests.described import Described, document
from cloudkitty.tests.functional.test_guests import install
from cloudkitty.tests.gabbi.test_api import HERE as GABBI
from cloudkitty.tests.gabbi.test_api import tell
from cloudkitty.tests.routes import Route, routes

WRITES = {
    "service": {"name": "instance"},
    "field": {"name": "flavor"},
    "group": {"name": "all"},
}


@pytest.fixture
def context(conf: cfg.ConfigOpts, sqlite_database: Database, tmp_path: pathlib.Path) -> ApiContext:
    conf.set_override("auth_strategy", "noauth")
    context = api.context(conf, sqlite_database, tmp_path)
    api.seed(context)
    return context


@pytest.fixture
def told(context: ApiContext) -> dict[str, Any]:
    return document(app.build(context))


@pytest.fixture
def guests(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(tmp_path / "site", monkeypatch)


def shape(path: str) -> str:
    return re.sub(r"{\w+}", "{}", path)


def operations(told: dict[str, Any]) -> dict[tuple[str, str], dict[str, Any]]:
    return {
        (method, shape(path)): operation for method, path, operation in Described(told).operations()
    }


@pytest.mark.parametrize("strategy", ["noauth", "keystone"])
@pytest.mark.parametrize("version", [1, 2])
def test_the_document_is_valid(
    conf: cfg.ConfigOpts,
    sqlite_database: Database,
    tmp_path: pathlib.Path,
    guests: None,
    strategy: str,
    version: int,
) -> None:
    conf.set_override("auth_strategy", strategy)
    conf.set_override("version", version, "storage")
    told = document(app.build(api.context(conf, sqlite_database, tmp_path)))
    assert told["openapi"] == "3.1.0"
    assert not list(OpenAPIV31SpecValidator(told).iter_errors())
    assert any(path.startswith("/v2") for path in told["paths"]) is (version == 2)
    for (_, path), operation in operations(told).items():
        assert operation.get("summary") or "/minimum" in path or "/surcharge" in path
        secured = strategy == "keystone" and path not in ("/", "/v1", "/v2", "/openapi.json")
        assert bool(operation.get("security")) is secured
        assert ("401" in operation["responses"]) is secured


def test_no_two_operations_have_one_name(told: dict[str, Any]) -> None:
    names = [operation["operationId"] for operation in operations(told).values()]
    assert len(names) == len(set(names)) > 100


def test_every_route_is_described_and_nothing_else(
    context: ApiContext, told: dict[str, Any]
) -> None:
    known = {(route.method, route.path) for route in routes(context)}
    assert set(operations(told)) == known


def test_every_operation_is_answered(context: ApiContext, told: dict[str, Any]) -> None:
    client = api.Client.of(context)
    known = {(route.method, route.path): route for route in routes(context)}
    for method, path in operations(told):
        route: Route = known[method, path]
        answer = client(method, route.url(), route.document())
        assert answer.status_int != 405, f"{route}: {answer.text}"
        assert NotFound.template not in answer.text, f"{route}: {answer.text}"


def test_old_names_are_described_as_the_new_ones(told: dict[str, Any]) -> None:
    found = operations(told)
    old = {key: one for key, one in found.items() if key[1].startswith("/v1/billing")}
    assert len(old) > 30
    for (method, path), operation in old.items():
        new = found[method, path.replace("billing", "rating")]
        assert operation.pop("deprecated") is True
        assert "deprecated" not in new
        for name in ("operationId", "tags"):
            operation.pop(name), new.pop(name)
        assert operation == new


def test_modules_of_others_are_described(
    guests: None, conf: cfg.ConfigOpts, sqlite_database: Database, tmp_path: pathlib.Path
) -> None:
    conf.set_override("auth_strategy", "keystone")
    context = api.context(conf, sqlite_database, tmp_path)
    told = document(app.build(context))
    found = operations(told)
    base = "/v1/rating/module_config"
    surcharge = {key[0]: one for key, one in found.items() if key[1] == f"{base}/surcharge"}
    assert set(surcharge) == {"GET", "PUT"}
    assert surcharge["PUT"]["x-policy-rule"] == ["rating:module_config", "surcharge:set"]
    body = surcharge["PUT"]["requestBody"]["content"]["application/json"]["schema"]
    assert body == {"$ref": "#/components/schemas/SurchargeAmountInput"}
    taken = told["components"]["schemas"]["SurchargeAmountInput"]
    assert taken["required"] == ["amount"]
    minimum = {key for key in found if key[1].startswith(f"{base}/minimum")}
    assert minimum == {
        ("GET", f"{base}/minimum"),
        ("GET", f"{base}/minimum/{{}}"),
        ("POST", f"{base}/minimum"),
    }
    client = api.Client.of(context, X_Roles="admin", X_Project_Id="alpha")
    for method, path in minimum:
        assert client(method, path.replace("{}", "1"), {}).status_int in (200, 201)


def test_every_success_is_one_that_is_described(
    conf: cfg.ConfigOpts, sqlite_server: TestServer, tmp_path: pathlib.Path
) -> None:
    conf.set_override("auth_strategy", "noauth")
    seen: set[tuple[str, str, int]] = set()
    for path in sorted((GABBI / "noauth").glob("*.yaml")):
        database = sqlite_server.fresh(conf, tmp_path)
        context = api.context(conf, database, tmp_path)
        api.seed(context)
        seen |= tell(path, deploy.load(context)).seen
        told = document(app.build(context))
        database.dispose()
    wanted = {
        (method, path, int(status))
        for method, path, operation in Described(told).operations()
        for status in operation["responses"]
        if status < "400" and not path.startswith("/v1/billing")
    }
    assert wanted <= seen, sorted(wanted - seen)


def test_amounts_are_told_as_they_are_on_the_wire(told: dict[str, Any]) -> None:
    schemas = told["components"]["schemas"]
    assert schemas["HashmapMapping"]["properties"]["cost"]["type"] == "string"
    assert schemas["V2Price"]["properties"]["price"]["type"] == "number"
    assert set(schemas["HashmapMappingInput"]["properties"]["cost"]["type"]) == {"string", "number"}


def test_a_program_can_ask_whether_it_has_changed(context: ApiContext) -> None:
    client = api.Client.deployed(context)
    first = client.get("/openapi.json")
    again = client.get("/openapi.json", If_None_Match=first.headers["ETag"])
    assert (again.status_int, again.body) == (304, b"")
    assert client.get("/openapi.json", If_None_Match='"other"').body == first.body
    assert client("HEAD", "/openapi.json").headers["ETag"] == first.headers["ETag"]


def test_where_the_service_is_mounted_is_told(context: ApiContext) -> None:
    import webob.request

    request = webob.request.Request.blank("/openapi.json")
    assert request.get_response(app.build(context)).json["servers"] == [{"url": "/"}]
    request = webob.request.Request.blank("/openapi.json")
    request.script_name = "/rating"
    assert request.get_response(app.build(context)).json["servers"] == [{"url": "/rating"}]
