# SPDX-License-Identifier: Apache-2.0
"""The pipeline with authentication: who gets in, and as whom."""

import json
import pathlib
from typing import Any

import pytest
import requests
from oslo_config import cfg

from cloudkitty.api import deploy
from cloudkitty.config import ConfigurationError
from cloudkitty.db.engine import Database
from cloudkitty.tests import api
from cloudkitty.tests.described import validator
from cloudkitty.tests.functional import peers

PASSWORDS = {"admin": "adminpass", "demo": "demopass", "cloudkitty": "ratingpass"}
PROJECTS = {"admin": "admin", "demo": "demo", "cloudkitty": "service"}


def authenticate(conf: cfg.ConfigOpts, url: str) -> None:
    """Make *url* the identity service that tokens are validated with."""
    from keystoneauth1 import loading
    from keystonemiddleware import opts

    for group, options in opts.list_auth_token_opts():
        conf.register_opts(options, group=group)
    section = "keystone_authtoken"
    conf.set_override("auth_strategy", "keystone")
    loading.register_auth_conf_options(conf, section)
    conf.set_override("auth_type", "password", section)
    conf.register_opts(loading.get_auth_plugin_conf_options("password"), group=section)
    conf.set_override("www_authenticate_uri", url, section)
    for name, value in {
        "auth_url": url,
        "username": "cloudkitty",
        "password": PASSWORDS["cloudkitty"],
        "project_name": "service",
        "user_domain_id": "default",
        "project_domain_id": "default",
    }.items():
        conf.set_override(name, value, section)


@pytest.fixture
def guarded(conf: cfg.ConfigOpts, sqlite_database: Database, tmp_path: pathlib.Path) -> api.Client:
    """The whole pipeline; the identity service does not answer."""
    authenticate(conf, "http://127.0.0.1:9/v3")
    return api.Client.deployed(api.context(conf, sqlite_database, tmp_path))


def described(client: api.Client, answer: Any) -> list[Any]:
    """Return what is not as the document of the API says of answers without a good token."""
    components = json.loads(client.get("/openapi.json").text)["components"]
    [told] = components["responses"]["Unauthorized401"]["content"].values()
    return list(validator({**told["schema"], "components": components}).iter_errors(answer.json))


@pytest.mark.parametrize(
    "path", ["/v1/rating/modules", "/v1/nope", "/nope", "/v3", "/v1/x/", "/v2/summary", "/v2/nope"]
)
def test_without_token(guarded: api.Client, path: str) -> None:
    answer = guarded.get(path)
    assert answer.status_int == 401
    assert not described(guarded, answer)
    assert answer.json["error"]["code"] == 401
    assert answer.json["error"]["title"] == "Unauthorized"
    assert answer.headers["WWW-Authenticate"] == 'Keystone uri="http://127.0.0.1:9/v3"'
    assert answer.headers["x-openstack-request-id"].startswith("req-")


@pytest.mark.parametrize(
    "path", ["/", "/v1", "/v1/", "/v2", "/v2/", "/openapi.json", "/healthcheck", "/healthcheck/"]
)
def test_public_routes(guarded: api.Client, path: str) -> None:
    assert guarded.get(path).status_int == 200


def test_identity_headers_are_not_believed(guarded: api.Client) -> None:
    answer = guarded.get("/v1/rating/modules", X_Roles="admin", X_Project_Id="alpha")
    assert answer.status_int == 401


def test_identity_service_does_not_answer(guarded: api.Client) -> None:
    assert guarded.get("/v1/rating/modules", X_Auth_Token="any").status_int == 503


def test_noauth_takes_the_project_from_the_client(
    conf: cfg.ConfigOpts, sqlite_database: Database, tmp_path: pathlib.Path
) -> None:
    conf.set_override("auth_strategy", "noauth")
    context = api.context(conf, sqlite_database, tmp_path)
    api.seed(context)
    client = api.Client.deployed(context)
    month = "begin=2026-01-01&end=2026-02-01"
    assert client.get(f"/v1/report/total?{month}", X_Project_Id="alpha").json == "1.45"
    # Version 2 shows everything to whoever counts as an administrator.
    assert client.get(f"/v2/dataframes?{month}", X_Project_Id="alpha").json["total"] == 4


def test_the_first_storage_interface_has_no_second_version(
    conf: cfg.ConfigOpts, sqlite_database: Database, tmp_path: pathlib.Path
) -> None:
    conf.set_override("auth_strategy", "noauth")
    conf.set_override("version", 1, "storage")
    client = api.Client.deployed(api.context(conf, sqlite_database, tmp_path))
    assert [version["id"] for version in client.get("/").json["versions"]] == ["v1"]
    assert client.get("/v2").status_int == 404
    assert client.get("/v2/summary").status_int == 404


def test_origins_that_may_share(
    conf: cfg.ConfigOpts, sqlite_database: Database, tmp_path: pathlib.Path
) -> None:
    conf.set_override("auth_strategy", "noauth")
    from oslo_middleware import cors

    conf.register_opts(cors.CORS_OPTS, "cors")
    conf.set_override("allowed_origin", ["https://horizon.example.com"], "cors")
    client = api.Client.deployed(api.context(conf, sqlite_database, tmp_path))
    shared = client.get("/", Origin="https://horizon.example.com")
    assert shared.headers["Access-Control-Allow-Origin"] == "https://horizon.example.com"
    assert "X-OpenStack-Request-ID" in shared.headers["Access-Control-Expose-Headers"]
    asked = client(
        "OPTIONS",
        "/v1/rating/modules",
        Origin="https://horizon.example.com",
        Access_Control_Request_Method="PUT",
        Access_Control_Request_Headers="X-Auth-Token",
    )
    assert asked.status_int == 200
    assert asked.headers["Access-Control-Allow-Methods"] == "PUT"
    assert "Access-Control-Allow-Origin" not in client.get("/", Origin="https://other").headers


@pytest.mark.parametrize(
    ("heeded", "url"), [(False, "http://localhost/v1"), (True, "https://rating.example.com/v1")]
)
def test_behind_a_proxy(
    conf: cfg.ConfigOpts,
    sqlite_database: Database,
    tmp_path: pathlib.Path,
    heeded: bool,
    url: str,
) -> None:
    from oslo_middleware import http_proxy_to_wsgi

    conf.set_override("auth_strategy", "noauth")
    conf.register_opts(http_proxy_to_wsgi.OPTS, "oslo_middleware")
    conf.set_override("enable_proxy_headers_parsing", heeded, "oslo_middleware")
    client = api.Client.deployed(api.context(conf, sqlite_database, tmp_path))
    root = client.get("/", X_Forwarded_Proto="https", X_Forwarded_Host="rating.example.com")
    assert root.json["versions"][0]["links"][0]["href"] == url


def test_the_service_can_be_taken_out_of_rotation(
    conf: cfg.ConfigOpts, sqlite_database: Database, tmp_path: pathlib.Path
) -> None:
    conf.set_override("auth_strategy", "noauth")
    paste = tmp_path / "paste.ini"
    flag = tmp_path / "disable"
    text = deploy.SHIPPED.read_text().replace("/etc/cloudkitty/healthcheck_disable", str(flag))
    paste.write_text(text)
    conf.set_override("api_paste_config", str(paste))
    client = api.Client.deployed(api.context(conf, sqlite_database, tmp_path))
    assert client.get("/healthcheck").status_int == 200
    flag.touch()
    answer = client.get("/healthcheck")
    assert answer.status_int == 503
    assert answer.text == "DISABLED BY FILE"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, r"there is no .*paste\.ini"),
        ("[app:other]\npaste.app_factory = nothing:here\n", r"cloudkitty\+noauth"),
        ("[composite:cloudkitty+noauth]\n/ = nothing\n", "nothing"),
        ("[pipeline:cloudkitty+noauth]\npipeline = mine ck_api\n[app:ck_api]\n", "mine"),
        ("[composite:cloudkitty+noauth\n", "paste.ini"),
    ],
)
def test_wrong_paste_files(
    conf: cfg.ConfigOpts,
    sqlite_database: Database,
    tmp_path: pathlib.Path,
    text: str | None,
    message: str,
) -> None:
    conf.set_override("auth_strategy", "noauth")
    path = tmp_path / "paste.ini"
    if text is not None:
        path.write_text(text)
    conf.set_override("api_paste_config", str(path))
    with pytest.raises(ConfigurationError, match=message):
        deploy.load(api.context(conf, sqlite_database, tmp_path))


OTHER_RELEASE = """
[composite:cloudkitty+noauth]
use = egg:Paste#urlmap
/ = api+noauth
/healthcheck = healthcheck

[app:healthcheck]
use = egg:oslo.middleware#healthcheck
backends = disable_by_file
disable_by_file_path = {flag}

[pipeline:api+noauth]
pipeline = cors http_proxy_to_wsgi request_id catch_errors ck_api

[app:ck_api]
paste.app_factory = cloudkitty.api.other:app_factory

[filter:request_id]
paste.filter_factory = oslo_middleware:RequestId.factory

[filter:catch_errors]
paste.filter_factory = oslo_middleware:CatchErrors.factory

[filter:cors]
paste.filter_factory = oslo_middleware.cors:filter_factory
oslo_config_project = cloudkitty

[filter:http_proxy_to_wsgi]
paste.filter_factory = oslo_middleware.http_proxy_to_wsgi:HTTPProxyToWSGI.factory
"""


def test_a_paste_file_of_another_release_serves(
    conf: cfg.ConfigOpts, sqlite_database: Database, tmp_path: pathlib.Path
) -> None:
    conf.set_override("auth_strategy", "noauth")
    flag = tmp_path / "disable"
    paste = tmp_path / "paste.ini"
    paste.write_text(OTHER_RELEASE.format(flag=flag))
    conf.set_override("api_paste_config", str(paste))
    client = api.Client.deployed(api.context(conf, sqlite_database, tmp_path))
    assert client.get("/v1/rating/modules").status_int == 200
    assert client.get("/v1/rating/modules").headers["x-openstack-request-id"]
    assert client.get("/healthcheck").status_int == 200
    flag.touch()
    assert client.get("/healthcheck").status_int == 503


class Identity:
    """A running identity service, with the users that the test deployment seeds."""

    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/")

    def token(self, user: str, scope: Any = None) -> str:
        """Return a token of *user* for the own project, or for *scope*."""
        project = {"project": {"name": PROJECTS[user], "domain": {"id": "default"}}}
        login = {"name": user, "password": PASSWORDS[user], "domain": {"id": "default"}}
        body = {
            "auth": {
                "identity": {"methods": ["password"], "password": {"user": login}},
                "scope": project if scope is None else scope,
            }
        }
        answer = requests.post(f"{self.url}/auth/tokens", json=body, timeout=60)
        answer.raise_for_status()
        return answer.headers["X-Subject-Token"]


@pytest.fixture
def identity() -> Identity:
    return Identity(peers.named("KEYSTONE"))


@pytest.fixture
def real(
    identity: Identity, conf: cfg.ConfigOpts, sqlite_database: Database, tmp_path: pathlib.Path
) -> api.Client:
    authenticate(conf, identity.url)
    return api.Client.deployed(api.context(conf, sqlite_database, tmp_path))


def test_real_tokens(real: api.Client, identity: Identity) -> None:
    admin, member = identity.token("admin"), identity.token("demo")
    assert real.get("/v1/rating/modules", X_Auth_Token="wrong").status_int == 401
    assert real.get("/v1/rating/modules", X_Auth_Token=member).status_int == 403
    assert real.get("/v1/rating/modules", X_Auth_Token=admin).status_int == 200
    assert real.get("/v1/report/total", X_Auth_Token=member).json == "0"
    assert real.get("/v2/summary", X_Auth_Token=member).json["total"] == 0
    assert real.get("/v2/scope", X_Auth_Token=member).status_int == 403
    assert real.get("/v2/rating/modules", X_Auth_Token=admin).status_int == 200
    assert real.get("/v1/report/total?tenant_id=x", X_Auth_Token=member).status_int == 403
    services = "/v1/rating/module_config/hashmap/services"
    assert real("POST", services, {"name": "instance"}, X_Auth_Token=member).status_int == 403
    assert real("POST", services, {"name": "instance"}, X_Auth_Token=admin).status_int == 201


def test_a_real_token_of_the_system(real: api.Client, identity: Identity) -> None:
    token = identity.token("admin", {"system": {"all": True}})
    assert real.get("/v2/summary", X_Auth_Token=token).status_int == 403
    assert real.get("/v1/rating/modules", X_Auth_Token=token).status_int == 403
