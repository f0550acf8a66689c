# SPDX-License-Identifier: Apache-2.0
"""Version 2 with tokens of a real identity service: an administrator sees everything, a member the
own project, and nobody else anything."""

import json
import pathlib
from typing import Any, NamedTuple

import pytest
import requests
from oslo_config import cfg

from cloudkitty.db.engine import Database
from cloudkitty.tests import api
from cloudkitty.tests.builders import frame, hour, states
from cloudkitty.tests.functional import peers
from cloudkitty.tests.functional.test_api_auth import Identity, authenticate

JANUARY = "begin=2026-01-01&end=2026-02-01"

OTHER = "somebody-else"

TASK = {
    "scope_ids": "ALL",
    "start_reprocess_time": "2026-01-01T00:00:00",
    "end_reprocess_time": "2026-01-01T01:00:00",
    "reason": "a test",
}

ADMINISTRATION = [
    ("GET", "/v2/scope", None),
    ("PUT", "/v2/scope", {"all_scopes": True, "last_processed_timestamp": "2026-01-01T00:00:00"}),
    ("PATCH", "/v2/scope", {"scope_id": OTHER, "active": False}),
    ("POST", "/v2/scope", {"scope_id": "new", "last_processed_timestamp": "2026-01-01T00:00:00"}),
    ("GET", "/v2/task/reprocesses", None),
    ("GET", f"/v2/task/reprocesses/{OTHER}", None),
    ("POST", "/v2/task/reprocesses", TASK),
    ("DELETE", "/v2/task/reprocesses/1", None),
    ("GET", "/v2/rating/modules", None),
    ("GET", "/v2/rating/modules/hashmap", None),
    ("PUT", "/v2/rating/modules/hashmap", {"enabled": True}),
    (
        "POST",
        "/v2/dataframes",
        {
            "dataframes": [
                {
                    "period": {"begin": "2026-01-01T00:00:00", "end": "2026-01-01T01:00:00"},
                    "usage": {},
                }
            ]
        },
    ),
]

REPORTS = [("GET", f"/v2/dataframes?{JANUARY}", None), ("GET", f"/v2/summary?{JANUARY}", None)]


class Site(NamedTuple):
    """An API in front of a ledger with the usage of two projects, one of them the member's."""

    client: api.Client
    admin: str
    member: str
    project: str

    def get(self, token: str, noun: str, **arguments: str) -> Any:
        more = "".join(f"&{name}={value}" for name, value in arguments.items())
        answer = self.client.get(f"/v2/{noun}?{JANUARY}{more}", X_Auth_Token=token)
        assert answer.status_int in (200, 404), answer.text
        return json.loads(answer.body)


class Tokens(NamedTuple):
    """An identity service, and who has got in."""

    identity: Identity
    admin: str
    member: str
    project: str


@pytest.fixture(scope="module")
def tokens() -> Tokens:
    url = peers.named("KEYSTONE")
    identity = Identity(url)
    admin, member = identity.token("admin"), identity.token("demo")
    headers = {"X-Auth-Token": member, "X-Subject-Token": member}
    told = requests.get(f"{identity.url}/auth/tokens", headers=headers, timeout=60).json()["token"]
    assert "admin" not in [role["name"] for role in told["roles"]]
    return Tokens(identity, admin, member, told["project"]["id"])


@pytest.fixture
def site(
    tokens: Tokens, conf: cfg.ConfigOpts, sqlite_database: Database, tmp_path: pathlib.Path
) -> Site:
    authenticate(conf, tokens.identity.url)
    context = api.context(conf, sqlite_database, tmp_path)
    project = tokens.project
    found = states(sqlite_database, project, OTHER)
    for number in range(2):
        frames = {
            state: frame(hour(number), [("instance", {"id": name, "project_id": name}, 1, price)])
            for (name, state), price in zip(found.items(), (1, 10), strict=True)
        }
        assert not context.storage.replace(hour(number), frames)
        found = states(sqlite_database, project, OTHER)
    return Site(api.Client.deployed(context), tokens.admin, tokens.member, project)


def projects(answer: Any) -> set[str]:
    return {
        point["groupby"]["project_id"]
        for one in answer["dataframes"]
        for many in one["usage"].values()
        for point in many
    }


def test_an_administrator_sees_everything(site: Site) -> None:
    frames = site.get(site.admin, "dataframes")
    assert (frames["total"], projects(frames)) == (4, {site.project, OTHER})
    assert site.get(site.admin, "summary")["results"][0][2:] == [4, 22]
    one = site.get(site.admin, "dataframes", filters=f"project_id:{OTHER}")
    assert (one["total"], projects(one)) == (2, {OTHER})
    assert len(site.client.get("/v2/scope", X_Auth_Token=site.admin).json["results"]) == 2


@pytest.mark.parametrize(
    "filters",
    [
        None,
        f"project_id:{OTHER}",
        "project_id:",
        f"project_id:{OTHER},type:instance",
        "type:instance",
    ],
)
def test_a_member_sees_the_own_project_whatever_is_asked(site: Site, filters: str | None) -> None:
    more = {} if filters is None else {"filters": filters}
    frames = site.get(site.member, "dataframes", **more)
    assert (frames["total"], projects(frames)) == (2, {site.project})
    [row] = site.get(site.member, "summary", groupby="project_id,id", **more)["results"]
    assert row[2:] == [2, 2, site.project, site.project]


@pytest.mark.parametrize("filters", [f"id:{OTHER}", "type:volume"])
def test_a_member_finds_nothing_of_others(site: Site, filters: str) -> None:
    message = {"message": "No resource found for provided filters."}
    assert site.get(site.member, "dataframes", filters=filters) == message
    assert site.get(site.member, "summary", filters=filters)["total"] == 0


def test_a_member_has_no_use_for_an_administrators_marker(site: Site) -> None:
    marker = site.get(site.admin, "dataframes", limit="1")["next"]
    assert projects(site.get(site.member, "dataframes", marker=marker)) == {site.project}


def test_administration_is_not_for_members(site: Site) -> None:
    # Nor with other headers: what counts is in the token.
    forged = {"X_Roles": "admin", "X_Project_Id": OTHER, "X_Is_Admin_Project": "True"}
    for method, path, body in ADMINISTRATION:
        for headers in ({}, forged):
            answer = site.client(method, path, body, X_Auth_Token=site.member, **headers)
            assert answer.status_int == 403, (method, path)
            assert answer.json == {"message": "You are not authorized to perform this action"}
    assert site.get(site.admin, "summary")["results"][0][2:] == [4, 22]


@pytest.mark.parametrize(
    "headers",
    [{}, {"X_Auth_Token": "wrong"}, {"X_Roles": "admin", "X_Project_Id": OTHER}],
    ids=["no token", "bad token", "headers of a token"],
)
def test_nobody_gets_in_without_a_token(site: Site, headers: dict[str, str]) -> None:
    for method, path, body in (*ADMINISTRATION, *REPORTS):
        answer = site.client(method, path, body, **headers)
        assert answer.status_int == 401, (method, path)
        assert answer.json["error"]["title"] == "Unauthorized"
