# SPDX-License-Identifier: Apache-2.0
"""Requests made up from the document of the API, right and wrong ones, are answered as it says.

The same ones every time: a run shows what a change has changed.
"""

import json
import pathlib
import re
from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from oslo_config import cfg
from schemathesis import APIOperation, Case, GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi import checks

from cloudkitty import config
from cloudkitty.api import deploy
from cloudkitty.tests import api, tolerant
from cloudkitty.tests.databases import TestServer
from cloudkitty.tests.routes import JANUARY

EXAMPLES = 5
"""Requests of each kind to an operation."""

CHECKS = [
    not_a_server_error,
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_headers_conformance,
    checks.response_schema_conformance,
]

BEYOND_SCHEMAS = re.compile(
    "|".join(
        (
            # Days that a month has not got, and instants that no calendar of UTC has.
            "is not an instant",
            "is not a marker",
            # Ids may be in the body, or in the query.
            "Missing argument",
            # Parents of rules, and what they ask for.
            "specify one parent",
            "You must specify a value",
            "You can't specify a value",
            r"No such (service|field|group)",
            "Name a service, a field or a group",
            # Dates of rules.
            "start in the past",
            "start after end",
            "update only the attribute",
            "already processed",
            "must be in the future",
            # Sources of scripts.
            "does not compile",
            # Windows, scopes and tasks.
            "period must end after it begins",
            "is not between 1970 and 9000",
            "the end is not after the start",
            "do not exist",
            "reaches beyond what has been rated",
            "does not lie on periods",
            "overlaps the unfinished task",
            "is not the start of a period",
            "there is no period after this one",
            "leave the others out",
            "Either all_scopes or a scope_id",
            "Variable 'last_processed_timestamp'",
            "exclude each other",
            # Names within one argument.
            "is given several times",
            "several columns are called",
            "Invalid groupby time option",
        )
    )
)
"""Refusals of what schemas allow: rules that they cannot say."""


class Known:
    """An application with a filled ledger and rules, and the ids of what is there."""

    def __init__(self, context: Any) -> None:
        self.application = deploy.load(context)
        client = api.Client(self.application)

        def make(path: str, **body: Any) -> dict[str, Any]:
            answer = client("POST", f"/v1/rating/module_config/{path}", body)
            assert answer.status_int == 201, answer.text
            return dict(answer.json)

        service = make("hashmap/services", name="instance")["service_id"]
        field = make("hashmap/fields", name="flavor", service_id=service)["field_id"]
        group = make("hashmap/groups", name="all")["group_id"]
        parent = {"field_id": field, "group_id": group, "cost": "0.5"}
        mapping = make("hashmap/mappings", value="small", start="2090-01-01", **parent)
        threshold = make("hashmap/thresholds", level=10, **parent)
        script = make("pyscripts/scripts", name="nothing", data="")
        client("POST", "/v1/collector/mappings/csv/instance")
        self.ids = {
            "service_id": service,
            "field_id": field,
            "group_id": group,
            "mapping_id": mapping["mapping_id"],
            "threshold_id": threshold["threshold_id"],
            "script_id": script["script_id"],
            "module_id": "hashmap",
            "metric_id": "instance",
            "service": "instance",
            "id": "instance",
            "name": "csv",
            "scope_id": "alpha",
            "tenant_id": "alpha",
            "groupby": "type",
            **JANUARY,
        }


@pytest.fixture(scope="module")
def known(tmp_path_factory: pytest.TempPathFactory, sqlite_server: TestServer) -> Iterator[Known]:
    directory: pathlib.Path = tmp_path_factory.mktemp("examples")
    conf: cfg.ConfigOpts = config.load([], config_files=[])
    conf.set_override("auth_strategy", "noauth")
    database = sqlite_server.fresh(conf, directory)
    context = api.context(conf, database, directory)
    api.seed(context)
    yield Known(context)
    database.dispose()


def operations(known: Known) -> Iterator[APIOperation]:
    schema = schemathesis.openapi.from_wsgi("/openapi.json", known.application)
    # A text without null characters is one of the rules for all.
    schema.config.generation.allow_x00 = False
    for found in schema.get_all_operations():
        operation = found.ok()
        # The old name of rating leads to the same functions.
        if not operation.path.startswith("/v1/billing"):
            yield operation


def bounded(test: Any) -> Any:
    return settings(
        max_examples=EXAMPLES,
        derandomize=True,
        deadline=None,
        database=None,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )(test)


def test_right_requests(known: Known) -> None:
    statuses = set()
    for operation in operations(known):

        @bounded
        @given(case=operation.as_strategy(GenerationMode.POSITIVE), real=st.booleans())
        def ask(case: Case, real: bool) -> None:
            if real and case.method != "DELETE":
                lead_somewhere(case, known.ids)
            answer = case.call()
            case.validate_response(answer, checks=CHECKS)
            statuses.add((case.operation.label, answer.status_code))
            refused = answer.status_code in (400, 413, 415)
            assert not refused or BEYOND_SCHEMAS.search(answer.text), said(case, answer)

        ask()
    successes = {label for label, status in statuses if status < 400}
    assert len(successes) > 60


def lead_somewhere(case: Case, ids: dict[str, str]) -> None:
    """Make a request about what is there."""
    described = case.operation.definition.raw.get("parameters", ())
    choices = {
        one["name"] for one in described if "enum" in one["schema"].get("items", one["schema"])
    }
    for place in (case.path_parameters, case.query):
        for name in place or {}:
            if name in ids and name not in choices and isinstance(place[name], str):
                place[name] = ids[name]


def test_wrong_requests(known: Known) -> None:
    told = json.loads(api.Client(known.application).get("/openapi.json").text)
    refused = 0
    for operation in operations(known):
        if not can_be_wrong(operation.definition.raw):
            continue

        @bounded
        @given(case=operation.as_strategy(GenerationMode.NEGATIVE))
        def ask(case: Case) -> None:
            nonlocal refused
            answer = case.call()
            case.validate_response(answer, checks=CHECKS)
            if answer.status_code >= 400:
                refused += 1
                return
            sent = answer.request
            body = json.loads(sent.body) if sent.body else None
            wrong = tolerant.problems(told, case.operation.definition.raw, sent.url, body)
            assert not wrong, f"{said(case, answer)}: {wrong}"

        ask()
    assert refused > 200


def can_be_wrong(operation: dict[str, Any]) -> bool:
    """Whether an operation takes anything but texts, all of which are right."""
    taken = [
        parameter["schema"]
        for parameter in operation.get("parameters", ())
        if parameter["in"] == "query"
    ]
    return "requestBody" in operation or any(parameter != {"type": "string"} for parameter in taken)


def said(case: Case, answer: Any) -> str:
    return f"{case.as_curl_command()}: {answer.status_code} {answer.text[:500]}"


def test_what_is_not_known_is_refused(known: Known) -> None:
    client = api.Client(known.application)
    for operation in operations(known):
        path = re.sub(r"{(\w+)}", lambda found: known.ids.get(found[1], "x"), operation.path)
        answer = client(operation.method.upper(), f"{path}?no_such_argument=1", {})
        if set(operation.definition.raw["responses"]) != {"409"}:
            assert answer.status_int == 400, f"{operation.label}: {answer.text}"
            assert "no_such_argument" in answer.text


@pytest.mark.parametrize("value", ["no", "0", "OFF"])
def test_old_clients_are_understood(known: Known, value: str) -> None:
    answer = api.Client(known.application).get(f"/v1/report/total?all_tenants={value}")
    assert answer.status_int == 200
