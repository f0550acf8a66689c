# SPDX-License-Identifier: Apache-2.0
"""Nothing that a client can send is a fault of the service.

Requests are made from the routes that the application has, whichever module they belong to: no
answer may be a 5xx, and nothing may be logged that has a traceback.
"""

import json
import logging
import pathlib
import urllib.parse
from collections.abc import Iterator
from typing import Any

import pytest
import webob.request
import wsme.types
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from oslo_config import cfg

from cloudkitty import config
from cloudkitty.api import deploy
from cloudkitty.db.engine import Database
from cloudkitty.tests import api
from cloudkitty.tests.databases import DIALECTS, TestServer, missing
from cloudkitty.tests.routes import Route, routes, sample

HASHMAP = "/v1/rating/module_config/hashmap"
IDENTIFIER = "11111111-2222-3333-4444-555555555555"

TEXTS = (
    IDENTIFIER,
    "instance",
    "flat",
    "",
    "-1e39",
    "1e-90",
    "9" * 41,
    "NaN",
    "-Infinity",
    "true",
    "type:instance",
    "time-m",
    "MAX(qty) AS x",
    "2026-01-01",
    "0001-01-01",
    "9999-12-31T23:59:59-14:00",
    "é" * 300,
    "\U0001f408 \u202e",
    "\ud800",
    "a\0b",
    "' OR 1=1 --",
    "%",
)

VALUES = (
    *TEXTS,
    None,
    True,
    0,
    -1,
    2**31,
    2**63,
    10**50,
    0.1,
    -1e308,
    [],
    {},
    [[]],
    {"": {"": [None]}},
    ["x"] * 50,
    {"groupby": "x", "metadata": [1]},
)

JSON = "application/json"

BODIES = (
    b"{",
    b"null",
    b"[]",
    b'"x"',
    b"0",
    b"NaN",
    b'{"cost": NaN, "volume": Infinity}',
    b'{"cost": 1e999999999}',
    b'{"cost": 1e-999999999, "level": -1E400}',
    b'{"name": "a", "name": "b"}',
    b'{"name": "\x00"}',
    b'{"name": "\\u0000\\ud800"}',
    b"\xff\xfe{\x00}\x00",
    b"\x00" * 100,
    b"[" * 5000,
    b'{"a":' * 5000,
    b'{"x": ' + b"9" * 10_000 + b"}",
    b"name=x&name=y&%zz=%00",
    b"<service><name>x</name></service>",
    b"--x\r\nContent-Disposition: form-data; name=a\r\n\r\nb\r\n--x--\r\n",
)

CONTENT_TYPES = (
    JSON,
    "application/json; charset=utf-16",
    "application/json; charset=no-such",
    "text/javascript",
    "application/x-www-form-urlencoded",
    "multipart/form-data; boundary=x",
    "multipart/form-data",
    "application/xml",
    "text/plain",
    "nonsense",
    ";;;",
    "",
)


class Faults(logging.Handler):
    """Keeps what was logged with a traceback."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        if record.exc_info:
            self.seen.append(self.format(record))


class Fuzz:
    """Sends requests to every route, and makes sure that each is answered properly."""

    def __init__(self, application: Any, known: list[Route], faults: Faults) -> None:
        self._application = application
        self.routes = known
        self._faults = faults

    def __call__(
        self,
        method: str,
        url: str,
        body: bytes | None = None,
        content_type: str = JSON,
        **headers: str,
    ) -> webob.Response:
        request = webob.request.Request.blank(url, method=method, headers=headers)
        request.headers["X-User-Id"] = "u" * 300
        if body is not None:
            request.body = body
            request.headers["Content-Type"] = content_type
        self._faults.seen.clear()
        answer = request.get_response(self._application)
        told = f"{method} {url} {content_type} {body!r}"
        assert answer.status_int < 500, f"{told}: {answer.text}"
        assert not self._faults.seen, f"{told}: {self._faults.seen}"
        if answer.body and method != "HEAD":
            json.loads(answer.body)
        return answer

    def send(self, route: Route, url: str, document: Any = None) -> webob.Response:
        body = None if document is None else json.dumps(document).encode()
        return self(route.method, url, body)


@pytest.fixture(scope="module", params=DIALECTS)
def fuzz(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Fuzz]:
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
    faults = Faults()
    logging.getLogger().addHandler(faults)
    # The old name of rating leads to the same functions.
    known = [route for route in routes(context) if not route.path.startswith("/v1/billing")]
    fuzz = Fuzz(deploy.load(context), known, faults)
    enabled = b'{"module_id": "hashmap", "enabled": true}'
    assert fuzz("PUT", "/v1/rating/modules/hashmap", enabled).status_int == 302
    yield fuzz
    logging.getLogger().removeHandler(faults)
    database.dispose()
    server.drop()


before_any_database = pytest.mark.parametrize("fuzz", ["sqlite"], indirect=True)
"""What is refused, or not, before a database is asked anything."""


def quoted(value: object) -> str:
    return urllib.parse.quote(str(value), safe="", errors="surrogatepass")


def query(**values: object) -> str:
    return "&".join(f"{quoted(name)}={quoted(value)}" for name, value in values.items())


def test_hostile_values_in_every_path(fuzz: Fuzz) -> None:
    for route in fuzz.routes:
        for text in TEXTS if "{}" in route.path else ():
            fuzz.send(route, route.path.replace("{}", quoted(text) or "%2F"))


def test_hostile_values_in_every_argument(fuzz: Fuzz) -> None:
    for route in fuzz.routes:
        for name in (*route.arguments, "no_such_argument"):
            for text in TEXTS:
                given = query(**{name: text})
                fuzz.send(route, f"{route.url().partition('?')[0]}?{given}")
            fuzz.send(route, f"{route.url().partition('?')[0]}?{given}&{given}")


def test_hostile_values_in_every_member(fuzz: Fuzz) -> None:
    for route in fuzz.routes:
        for document in spoiled(route):
            fuzz.send(route, route.url(), document)


def spoiled(route: Route) -> Iterator[Any]:
    """Yield bodies in which one value is wrong."""
    good = route.document() or {}
    for name, kind in members(route):
        for value in VALUES:
            yield {**good, name: value}
        if isinstance(kind, wsme.types.ArrayType):
            for value in VALUES:
                yield {**good, name: [value]}
            for inner, _ in attributes(kind.item_type):
                for value in VALUES:
                    yield {**good, name: [{**sample(kind.item_type), inner: value}]}
    yield from VALUES[len(TEXTS) :]


def members(route: Route) -> list[tuple[str, Any]]:
    """Return what may be in the body of a request to *route*."""
    return [*route.arguments.items(), *attributes(route.body), ("no_such_member", None)]


def attributes(kind: Any) -> list[tuple[str, Any]]:
    if kind is None or not wsme.types.iscomplex(kind):
        return []
    return [(one.name, one.datatype) for one in wsme.types.list_attributes(kind)]


@before_any_database
def test_hostile_bodies_everywhere(fuzz: Fuzz) -> None:
    for route in fuzz.routes:
        for body in BODIES:
            fuzz(route.method, route.url(), body)


@before_any_database
@pytest.mark.parametrize("content_type", CONTENT_TYPES)
def test_content_types_everywhere(fuzz: Fuzz, content_type: str) -> None:
    for route in fuzz.routes:
        for body in (b"{}", b"name=x&cost=1", b"\xff"):
            fuzz(route.method, route.url(), body, content_type)


@before_any_database
@pytest.mark.parametrize("method", ["HEAD", "OPTIONS", "PATCH", "TRACE", "BREW", "get"])
def test_other_methods_everywhere(fuzz: Fuzz, method: str) -> None:
    for route in fuzz.routes:
        fuzz(method, route.url())


@before_any_database
@pytest.mark.parametrize("accept", ["text/html", "application/xml", "nonsense", "*/*;q=x", "\xff"])
def test_whatever_is_accepted(fuzz: Fuzz, accept: str) -> None:
    for path in ("/", "/v1/nope", "/v1/report/total", f"{HASHMAP}/services/x"):
        answer = fuzz("GET", path, Accept=accept)
        assert answer.content_type == JSON


NAMES = st.sampled_from(
    [
        "begin end tenant_id service all_tenants groupby resource_type module_id enabled priority",
        "resources volume desc name service collector service_id field_id group_id mapping_id",
        "threshold_id cost updated_by created_by deleted_by deleted",
        "script_id data checksum no_data",
        "filters response_format custom_fields offset limit scope_id scope_key fetcher active",
        "last_processed_timestamp",
        "level type value start description force recursive no_group filter_tenant is_active all",
    ]
).flatmap(lambda words: st.sampled_from(words.split()))

TREES = st.recursive(
    st.sampled_from(VALUES) | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(NAMES | st.text(max_size=3), inner),
    max_leaves=6,
)

BOUNDED = settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))


@BOUNDED
@given(data=st.data())
def test_whatever_is_asked(fuzz: Fuzz, data: st.DataObject) -> None:
    route = data.draw(st.sampled_from(fuzz.routes))
    segments = data.draw(st.lists(st.sampled_from(["", "noop", "group", "%00", "*"]), max_size=2))
    words = data.draw(st.dictionaries(NAMES, st.sampled_from(TEXTS), max_size=2))
    known = st.sampled_from([name for name, _ in members(route)])
    document = data.draw(st.none() | st.dictionaries(known | NAMES, TREES, max_size=4) | TREES)
    path = "/".join([route.url().partition("?")[0], *segments])
    fuzz.send(route, f"{path}?{query(**words)}", document)


HOSTILE = st.sampled_from(TEXTS)


@BOUNDED
@given(
    noun=st.sampled_from(["mappings", "thresholds"]),
    rule=st.fixed_dictionaries(
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
def test_whatever_a_rule_says(fuzz: Fuzz, noun: str, rule: dict[str, Any]) -> None:
    if not fuzz("GET", f"{HASHMAP}/services").json["services"]:
        fuzz("POST", f"{HASHMAP}/services", b'{"name": "instance"}')
    [service, *_] = fuzz("GET", f"{HASHMAP}/services").json["services"]
    body = {"service_id": service["service_id"], "type": "flat", **rule}
    fuzz("POST", f"{HASHMAP}/{noun}?force=true", json.dumps(body).encode())
    wanted = {"resources": [{"service": "instance", "desc": {"x": rule}, "volume": 3}]}
    fuzz("POST", "/v1/rating/quote", json.dumps(wanted).encode())
