# SPDX-License-Identifier: Apache-2.0
"""Who gets what at every route: each is called by everybody, and none may be without a policy."""

import pathlib
import re
from typing import Any

import pytest
from oslo_config import cfg

from cloudkitty import policies
from cloudkitty.api import app
from cloudkitty.api.context import ApiContext
from cloudkitty.db.engine import Database
from cloudkitty.policies.base import ADMIN, ANYBODY, READER_OR_ADMIN
from cloudkitty.rest.caller import Caller
from cloudkitty.rest.policy import Policy, build_enforcer
from cloudkitty.tests import api
from cloudkitty.tests.described import Described, document
from cloudkitty.tests.functional.test_api_auth import authenticate
from cloudkitty.tests.routes import Route, routes

HASHMAP = "/v1/rating/module_config/hashmap"

CALLERS = {
    "reader": {"X_Roles": "reader", "X_Project_Id": "alpha", "X_User_Id": "u1"},
    "member": {"X_Roles": "member,reader", "X_Project_Id": "alpha", "X_User_Id": "u2"},
    "reader of another project": {"X_Roles": "reader", "X_Project_Id": "beta", "X_User_Id": "u3"},
    "admin": {"X_Roles": "admin", "X_Project_Id": "gamma", "X_User_Id": "u4"},
    "system": {"X_Roles": "admin,reader", "Openstack_System_Scope": "all", "X_User_Id": "u5"},
    "domain": {"X_Roles": "admin,reader", "X_Domain_Id": "default", "X_User_Id": "u6"},
    "unscoped": {"X_Roles": "reader", "X_User_Id": "u7"},
}

FOREIGN = {
    "reader": ("beta",),
    "member": ("beta",),
    "reader of another project": ("alpha",),
    "system": ("alpha", "beta"),
    "domain": ("alpha", "beta"),
    "unscoped": ("alpha", "beta"),
}
"""Projects of which nothing may be in an answer."""

PROJECT_CALLERS = {"reader", "member", "reader of another project", "admin"}

ALLOWED = {
    ADMIN: {"admin"},
    ANYBODY: PROJECT_CALLERS | {"unscoped"},
    READER_OR_ADMIN: PROJECT_CALLERS,
}

EMPTY_FOR_UNSCOPED = {"storage:list_data_frames", "dataframes:get", "summary:get_summary"}
"""Rules about nobody's project: who has none may ask, and nothing is shown."""

PUBLIC = {
    "/": "the versions are how clients find the rest",
    "/v1": "part of the versions",
    "/v2": "part of the versions",
    "/openapi.json": "says what is there, as the documentation does",
}
"""Paths for which no token is needed, and why."""

WITHOUT_POLICY = {
    **PUBLIC,
    "/v1/collector": "has always been empty",
    "/v1/rating/module_config/noop": "says only that there is nothing to configure",
    "/v1/billing/module_config/noop": "says only that there is nothing to configure",
}
"""Paths where every token is good, and why."""


class Recorder(Policy):
    """Remembers which rules were asked."""

    def __init__(self, conf: cfg.ConfigOpts) -> None:
        super().__init__(build_enforcer(conf))
        self.asked: set[str] = set()

    def allows(self, caller: Caller, rule: str, **target: str | None) -> bool:
        self.asked.add(rule)
        return super().allows(caller, rule, **target)


@pytest.fixture
def context(conf: cfg.ConfigOpts, sqlite_database: Database, tmp_path: pathlib.Path) -> ApiContext:
    conf.set_override("auth_strategy", "keystone")
    context = api.context(conf, sqlite_database, tmp_path)
    api.seed(context)
    return context


@pytest.fixture
def values(context: ApiContext) -> dict[str, str]:
    """Arguments that lead to something: rules of the two projects, and a service noted."""
    client = api.Client.of(context, **CALLERS["admin"])

    def make(noun: str, **body: Any) -> dict[str, Any]:
        answer = client("POST", f"{HASHMAP}/{noun}", body)
        assert answer.status_int == 201, answer.text
        return dict(answer.json)

    service = make("services", name="instance")["service_id"]
    field = make("fields", name="id", service_id=service)["field_id"]
    group = make("groups", name="all")["group_id"]
    parent = {"field_id": field, "group_id": group, "cost": 1}
    for project in ("alpha", "beta"):
        mapping = make("mappings", value=project, tenant_id=project, **parent)
        threshold = make("thresholds", level=1, tenant_id=project, **parent)
    client("POST", "/v1/collector/mappings", {"service": "alpha", "collector": "beta"})
    return {
        "service_id": service,
        "field_id": field,
        "group_id": group,
        "mapping_id": mapping["mapping_id"],
        "threshold_id": threshold["threshold_id"],
        "module_id": "hashmap",
        "metric_id": "instance",
    }


def rules(context: ApiContext, values: dict[str, str]) -> dict[Route, set[str]]:
    """Return which rules an administrator's request asks for at every route."""
    recorder = Recorder(context.conf)
    recording = ApiContext(
        conf=context.conf,
        database=context.database,
        policy=recorder,
        storage=context.storage,
        pipeline=context.pipeline,
        metrics=context.metrics,
    )
    client = api.Client(app.build(recording), **CALLERS["admin"])
    found = {}
    for route in routes(context):
        recorder.asked.clear()
        answer = client(route.method, route.url(values), route.document(values))
        assert answer.status_int < 500, f"{route}: {answer.text}"
        assert answer.status_int not in (401, 403), f"{route}: {answer.text}"
        found[route] = set(recorder.asked)
    return found


def test_there_are_routes_of_the_core_and_of_modules(context: ApiContext) -> None:
    found = {str(route) for route in routes(context)}
    assert {
        "GET /",
        "GET /v1/report/total",
        "GET /v1/billing/modules/{}",
        "PUT /v1/rating/modules/{}",
        "POST /v1/collector/mappings/{}/{}",
        "GET /v1/collector/{}/states",
        f"GET {HASHMAP}/mappings/{{}}/group",
        f"DELETE {HASHMAP}/thresholds/{{}}",
        "POST /v1/rating/module_config/noop",
    } <= found
    assert len(found) > 100


def test_the_document_names_the_policies(context: ApiContext, values: dict[str, str]) -> None:
    described = Described(document(app.build(context)))
    named = {}
    for method, path, operation in described.operations():
        rule = operation.get("x-policy-rule", [])
        named[method, re.sub(r"{\w+}", "{}", path)] = {rule} if isinstance(rule, str) else set(rule)
    for route, asked in rules(context, values).items():
        assert named[route.method, route.path] == asked - {"context_is_admin"}, route


def test_every_route_has_a_policy(context: ApiContext, values: dict[str, str]) -> None:
    without = {route.path for route, asked in rules(context, values).items() if not asked}
    assert without == set(WITHOUT_POLICY)


def test_every_rule_exists(context: ApiContext, values: dict[str, str]) -> None:
    known = {rule.name for rule in policies.list_rules()}
    assert set().union(*rules(context, values).values()) <= known


def allowed(asked: set[str]) -> set[str]:
    """Return who may, by the defaults of all rules that are asked."""
    checks = {rule.name: rule.check_str for rule in policies.list_rules()}
    may = set(CALLERS)
    for name in asked:
        more = {"unscoped"} if name in EMPTY_FOR_UNSCOPED else set()
        may &= ALLOWED[checks[name]] | more
    return may


@pytest.mark.parametrize("who", [name for name in CALLERS if name != "admin"])
def test_at_every_route(context: ApiContext, values: dict[str, str], who: str) -> None:
    client = api.Client.of(context, **CALLERS[who])
    routes_with_rules = rules(context, values).items()
    problems = []
    for route, asked in routes_with_rules:
        answer = client(route.method, route.url(values), route.document(values))
        if who in allowed(asked):
            if answer.status_int in (401, 403) or answer.status_int >= 500:
                problems.append(f"{route}: {answer.status_int}")
        elif answer.status_int != 403:
            problems.append(f"{route}: {answer.status_int}, not 403")
        elif not {"faultstring", "message"} & answer.json.keys():
            problems.append(f"{route}: {answer.text}")
        problems += [f"{route} shows {word}" for word in FOREIGN[who] if word in answer.text]
    assert not problems


@pytest.mark.parametrize(
    ("who", "query"),
    [
        ("reader", {"tenant_id": "beta"}),
        ("member", {"tenant_id": "beta"}),
        ("reader of another project", {"tenant_id": "alpha"}),
        ("unscoped", {"tenant_id": "beta"}),
        ("unscoped", {"tenant_id": "None"}),
        ("system", {"tenant_id": "beta"}),
        ("domain", {"tenant_id": "beta"}),
        ("reader", {"all_tenants": "true"}),
        ("unscoped", {"all_tenants": "true"}),
    ],
)
def test_asking_for_the_data_of_others(
    context: ApiContext, who: str, query: dict[str, str]
) -> None:
    client = api.Client.of(context, **CALLERS[who])
    asked = [route for route in routes(context) if set(query) <= set(route.arguments)]
    assert asked
    for route in asked:
        answer = client(route.method, route.url(**query), route.document())
        assert answer.status_int == 403, f"{route}: {answer.text}"


def test_what_the_own_project_sees(context: ApiContext) -> None:
    client = api.Client.of(context, **CALLERS["reader"])
    seen = client.get("/v1/storage/dataframes?begin=2026-01-01&end=2026-02-01")
    assert "alpha" in seen.text


def test_without_token(context: ApiContext) -> None:
    authenticate(context.conf, "http://127.0.0.1:9/v3")
    client = api.Client.deployed(context)
    for route in routes(context):
        answer = client(route.method, route.url(), route.document())
        if route.path in PUBLIC:
            assert answer.status_int == 200, route
        else:
            assert answer.status_int == 401, route
