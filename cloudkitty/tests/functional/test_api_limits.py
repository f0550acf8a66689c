# SPDX-License-Identifier: Apache-2.0
"""Where the API ends: bodies that are too large, and a database that is away."""

import io
import logging
import pathlib
from typing import Any

import pytest
import webob.request
from oslo_config import cfg
from sqlalchemy.engine import make_url

from cloudkitty.api import deploy
from cloudkitty.api.context import ApiContext
from cloudkitty.db.engine import Database
from cloudkitty.tests import api
from cloudkitty.tests.functional.proxy import Proxy

GROUPS = "/v1/rating/module_config/hashmap/groups"
PORTS = {"mysql": 3306, "postgresql": 5432}


@pytest.fixture
def small(conf: cfg.ConfigOpts, sqlite_database: Database, tmp_path: pathlib.Path) -> ApiContext:
    """An application that takes bodies of at most 100 bytes."""
    conf.set_override("auth_strategy", "noauth")
    conf.set_override("max_request_body_size", 100, "oslo_middleware")
    return api.context(conf, sqlite_database, tmp_path)


def test_a_body_that_is_too_large(small: ApiContext) -> None:
    client = api.Client.deployed(small)
    assert client("POST", GROUPS, {"name": "x" * 50}).status_int == 201
    answer = client("POST", GROUPS, {"name": "x" * 100})
    assert answer.status_int == 413
    assert answer.json == {
        "faultcode": "Client",
        "faultstring": "The body of the request is larger than 100 bytes.",
        "debuginfo": None,
    }


def test_a_body_in_chunks_that_is_too_large(small: ApiContext) -> None:
    def send(length: int) -> webob.Response:
        request = webob.request.Request.blank(GROUPS, method="POST")
        request.content_type = "application/json"
        body = b'{"name": "%s"}' % (b"x" * length)
        request.environ["wsgi.input"] = io.BytesIO(body)
        request.environ["wsgi.input_terminated"] = True
        request.environ.pop("CONTENT_LENGTH", None)
        return request.get_response(deploy.load(small))

    assert send(50).status_int == 201
    answer = send(100)
    assert answer.status_int == 413
    assert answer.json["faultcode"] == "Client"


def test_most_bodies_are_not_too_large(
    conf: cfg.ConfigOpts, sqlite_database: Database, tmp_path: pathlib.Path
) -> None:
    conf.set_override("auth_strategy", "noauth")
    client = api.Client.deployed(api.context(conf, sqlite_database, tmp_path))
    resource = {"service": "instance", "volume": 1, "desc": {"x": "y" * 1000}}
    answer = client("POST", "/v1/rating/quote", {"resources": [resource] * 2000})
    assert answer.json == "0"


@pytest.fixture
def away(
    database: Database, conf: cfg.ConfigOpts, tmp_path: pathlib.Path
) -> tuple[api.Client, Any]:
    """A client, and a function that takes the database away."""
    conf.set_override("auth_strategy", "noauth")
    if database.dialect == "sqlite":

        def hide() -> None:
            database.dispose()
            path = pathlib.Path(str(make_url(database.url).database))
            path.unlink()
            path.mkdir()

        return api.Client.deployed(api.context(conf, database, tmp_path)), hide
    url = make_url(database.url)
    proxy = Proxy(str(url.host), url.port or PORTS[database.dialect])
    through = url.set(host="127.0.0.1", port=proxy.port).render_as_string(hide_password=False)
    conf.set_override("connection", through, "database")
    return api.Client.deployed(api.context(conf, Database(conf), tmp_path)), proxy.close


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("GET", GROUPS, None),
        ("POST", GROUPS, {"name": "new"}),
        ("GET", "/v1/report/total", None),
        ("POST", "/v1/rating/quote", {"resources": [{"service": "instance", "volume": 1}]}),
    ],
)
def test_the_database_is_away(
    away: tuple[api.Client, Any],
    method: str,
    path: str,
    body: Any,
    caplog: pytest.LogCaptureFixture,
) -> None:
    client, take_away = away
    assert client.get(GROUPS).status_int == 200
    take_away()
    caplog.set_level(logging.ERROR, "cloudkitty")
    # The first finds that its connection is gone, the second that there is no other.
    for _ in range(2):
        caplog.clear()
        answer = client(method, path, body)
        assert answer.status_int == 503, answer.text
        assert answer.json == {
            "faultcode": "Server",
            "faultstring": "The database of the service cannot be reached; try again later.",
            "debuginfo": None,
        }
        [record] = [one for one in caplog.records if one.name.startswith("cloudkitty")]
        assert record.exc_info is None
        assert "\n" not in record.getMessage()
        assert record.getMessage().startswith(f"{method} {path}: ")
