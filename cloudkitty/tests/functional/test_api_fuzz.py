# SPDX-License-Identifier: Apache-2.0
"""Nothing that a client can send is a fault of the service."""

import json
import pathlib
import urllib.parse
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from oslo_config import cfg

from cloudkitty import config
from cloudkitty.db.engine import Database
from cloudkitty.tests import api
from cloudkitty.tests.databases import DIALECTS, TestServer, missing

HASHMAP = "/v1/rating/module_config/hashmap"
IDENTIFIER = "11111111-2222-3333-4444-555555555555"

PATHS = [
    "/v1/collector",
    "/v1/collector/mappings",
    "/v1/collector/states",
    "/v1/info/config",
    "/v1/info/metrics",
    "/v1/rating/modules",
    "/v1/rating/reload_modules",
    "/v1/rating/quote",
    "/v1/rating/module_config/noop",
    "/v1/report/total",
    "/v1/report/summary",
    "/v1/report/tenants",
    "/v1/storage/dataframes",
    "/v2/dataframes",
    "/v2/rating/modules",
    "/v2/scope",
    "/v2/summary",
    f"{HASHMAP}/types",
    *(f"{HASHMAP}/{noun}" for noun in ("services", "fields", "groups", "mappings", "thresholds")),
]

NAMES = st.sampled_from(
    [
        "begin end tenant_id service all_tenants groupby resource_type module_id enabled priority",
        "resources volume desc name service collector service_id field_id group_id mapping_id",
        "threshold_id cost updated_by created_by deleted_by",
        "filters response_format custom_fields offset limit scope_id scope_key fetcher active",
        "last_processed_timestamp",
        "level type value start description force recursive no_group filter_tenant is_active all",
    ]
).flatmap(lambda words: st.sampled_from(words.split()))

HOSTILE = st.sampled_from(
    [
        IDENTIFIER,
        "instance",
        "flat",
        "1",
        "-1e39",
        "1e-90",
        "9" * 41,
        "true",
        "type:instance",
        "time-m",
        "MAX(qty) AS x",
        "2026-01-01",
        "0001-01-01",
        "9999-12-31T23:59:59",
        "9999-12-31T23:59:59-14:00",
        "é" * 300,
        "\ud800",
        "a\0b",
        "' OR 1=1 --",
        "%",
    ]
)

VALUES = st.recursive(
    HOSTILE | st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(NAMES | st.text(max_size=3), inner),
    max_leaves=6,
)

SEGMENTS = st.lists(
    st.sampled_from([IDENTIFIER, "noop", "hashmap", "group", "mappings", "fields", "", "%00", "*"]),
    max_size=2,
)

WORDS = st.dictionaries(NAMES, HOSTILE.filter(str.isprintable) | st.just(""), max_size=2)


@pytest.fixture(scope="module", params=DIALECTS)
def client(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Any]:
    reason = missing(request.param)
    if reason:
        pytest.skip(reason)
    directory = tmp_path_factory.mktemp("fuzz")
    conf: cfg.ConfigOpts = config.load([], config_files=[])
    conf.set_override("auth_strategy", "noauth")
    server = TestServer(request.param, directory)
    database: Database = server.fresh(conf, pathlib.Path(directory))
    context = api.context(conf, database, directory)
    api.seed(context)
    client = api.Client.deployed(context, X_User_Id="u" * 300)
    body = {"module_id": "hashmap", "enabled": True}
    assert client("PUT", "/v1/rating/modules/hashmap", body).status_int == 302
    yield client
    database.dispose()
    server.drop()


def _no_fault(client: Any, method: str, path: str, document: Any) -> None:
    answer = client(method, path, document)
    assert answer.status_int < 500, answer.text
    if answer.body and method != "HEAD":
        json.loads(answer.body)


@settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    method=st.sampled_from(["GET", "POST", "PUT", "PATCH", "DELETE"]),
    path=st.sampled_from(PATHS),
    segments=SEGMENTS,
    query=WORDS,
    document=st.none() | st.dictionaries(NAMES, VALUES, max_size=4) | VALUES,
)
def test_whatever_is_asked(
    client: Any, method: str, path: str, segments: list[str], query: dict[str, str], document: Any
) -> None:
    url = "/".join([path, *segments])
    _no_fault(client, method, f"{url}?{urllib.parse.urlencode(query)}", document)


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS"])
def test_every_method_everywhere(client: Any, method: str, path: str) -> None:
    _no_fault(client, method, path, None)
    _no_fault(client, method, f"{path}/{IDENTIFIER}", {})


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    noun=st.sampled_from(["mappings", "thresholds"]),
    members=st.fixed_dictionaries(
        {"cost": HOSTILE | st.floats()},
        optional={
            "level": HOSTILE | st.integers(),
            "start": HOSTILE,
            "end": HOSTILE,
            "value": HOSTILE,
            "name": HOSTILE,
            "tenant_id": HOSTILE,
            "description": HOSTILE,
        },
    ),
)
def test_whatever_a_rule_says(client: Any, noun: str, members: dict[str, Any]) -> None:
    services = client.get(f"{HASHMAP}/services").json["services"]
    if not services:
        client("POST", f"{HASHMAP}/services", {"name": "instance"})
        services = client.get(f"{HASHMAP}/services").json["services"]
    rule = {"service_id": services[0]["service_id"], "type": "flat", **members}
    _no_fault(client, "POST", f"{HASHMAP}/{noun}?force=true", rule)
    quoted = [{"service": "instance", "desc": {"x": members}, "volume": 3}]
    _no_fault(client, "POST", "/v1/rating/quote", {"resources": quoted})
