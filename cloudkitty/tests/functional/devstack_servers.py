# SPDX-License-Identifier: Apache-2.0
"""What DevStack's shell functions, and commands of the installation page, do at servers.

The shell asks the test that runs it: ``curl --data "ARGUMENT..." URL/VERB``, an argument a line.
Invariants: what exists is left as it is and answered by its id; what is made in the identity
service is remembered, and ``forget`` takes back exactly that.
"""

import argparse
import traceback
from collections.abc import Callable
from typing import Any

import requests
import sqlalchemy as sa

from cloudkitty.tests.functional.answering import AnsweringServer, Request, Response

BOUND = 120


class Identity:
    """The identity service, as its administrator."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._created: list[str] = []
        self._session = requests.Session()
        user = {"name": "admin", "password": "adminpass", "domain": {"id": "default"}}
        scope = {"project": {"name": "admin", "domain": {"id": "default"}}}
        body = {
            "auth": {
                "identity": {"methods": ["password"], "password": {"user": user}},
                "scope": scope,
            }
        }
        answer = self._session.post(f"{url}/auth/tokens", json=body, timeout=BOUND)
        answer.raise_for_status()
        self._session.headers["X-Auth-Token"] = answer.headers["X-Subject-Token"]

    @property
    def token(self) -> str:
        """A token of the administrator."""
        return str(self._session.headers["X-Auth-Token"])

    def exists(self, path: str) -> bool:
        answer = self._session.get(f"{self._url}/{path}", timeout=BOUND)
        assert answer.status_code in (200, 404), answer.text
        return answer.status_code == 200

    def call(self, method: str, path: str, json: Any = None, **query: str) -> Any:
        answer = self._session.request(
            method, f"{self._url}/{path}", json=json, params=query, timeout=BOUND
        )
        assert answer.ok, f"{method} {path}: {answer.status_code} {answer.text}"
        return answer.json() if answer.content else None

    def find(self, kind: str, **query: str) -> str | None:
        """The id of the only thing of that kind, ``None`` when there is none."""
        found = self.call("GET", f"{kind}s", **query)[f"{kind}s"]
        return str(found[0]["id"]) if found else None

    def make(self, kind: str, **values: Any) -> str:
        made = str(self.call("POST", f"{kind}s", {kind: values})[kind]["id"])
        self._created.append(f"{kind}s/{made}")
        return made

    def forget(self) -> list[str]:
        """Delete everything that was made, newest first, and return its paths."""
        paths, self._created = self._created, []
        for path in reversed(paths):
            if path.startswith("domains/"):
                self.call("PATCH", path, {"domain": {"enabled": False}})
            self.call("DELETE", path)
        return paths

    def domain(self, name: str) -> str:
        found = self.find("domain", name="Default" if name == "default" else name)
        return found or self.make("domain", name=name)

    def project(self, name: str, domain: str) -> str:
        owner = self.domain(domain)
        found = self.find("project", name=name, domain_id=owner)
        return found or self.make("project", name=name, domain_id=owner)

    def user(self, name: str, password: str, domain: str) -> str:
        owner = self.domain(domain)
        found = self.find("user", name=name, domain_id=owner)
        return found or self.make("user", name=name, password=password, domain_id=owner)

    def role(self, name: str) -> str:
        return self.find("role", name=name) or self.make("role", name=name)

    def service(self, name: str, kind: str, description: str) -> str:
        found = self.find("service", type=kind)
        return found or self.make("service", name=name, type=kind, description=description)

    def endpoint(self, kind: str, region: str, *urls: str) -> str:
        """Public, administrators' and internal endpoint of a service; returns the public one."""
        interfaces = zip(("public", "admin", "internal"), urls, strict=False)
        made = [self.one_endpoint(kind, region, interface, url) for interface, url in interfaces]
        return made[0]

    def one_endpoint(self, kind: str, region: str, interface: str, url: str) -> str:
        service = self.find("service", type=kind)
        assert service, f"no service of type {kind}"
        if not any(r["id"] == region for r in self.call("GET", "regions")["regions"]):
            self.make("region", id=region)
        where = {"service_id": service, "interface": interface, "region_id": region}
        return self.find("endpoint", **where) or self.make("endpoint", url=url, **where)

    def grant(self, role: str, user: str, project: str, user_domain: str, domain: str) -> str:
        """Give a user a role on a project; goes with the user or the project."""
        who = self.find("user", name=user, domain_id=self.domain(user_domain))
        where = self.find("project", name=project, domain_id=self.domain(domain))
        what = self.find("role", name=role)
        assert who and where and what, f"{user}: {who}, {project}: {where}, {role}: {what}"
        self.call("PUT", f"projects/{where}/users/{who}/roles/{what}")
        return what

    def openstack(self, kind: str, action: str, *words: str) -> str:
        """What ``openstack KIND ACTION WORD...`` does, for what an installation has to say."""
        parser = argparse.ArgumentParser(prog=f"openstack {kind} {action}")
        for option in ("domain", "password", "project", "user", "name", "description", "region"):
            parser.add_argument(f"--{option}")
        parser.add_argument("names", nargs="+")
        given = parser.parse_args(words)
        names = given.names
        match kind, action:
            case "user", "create":
                return self.user(names[0], given.password, given.domain)
            case "role", "create":
                return self.role(names[0])
            case "role", "add":
                return self.grant(names[0], given.user, given.project, "default", "default")
            case "service", "create":
                return self.service(given.name, names[0], given.description)
            case "endpoint", "create":
                return self.one_endpoint(names[0], given.region, names[1], names[2])
        raise AssertionError(f"openstack {kind} {action} is not known here")


def statements(url: str, *lines: str) -> None:
    """Run statements on a server of databases."""
    engine = sa.create_engine(url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        for line in lines:
            connection.exec_driver_sql(line)
    engine.dispose()


def serve(identity: Identity, database: str = "") -> AnsweringServer:
    """Answer what the shell asks of an identity service, and of the server of databases at the URL
    *database*."""

    def recreate_database(name: str) -> None:
        statements(database, f"DROP DATABASE IF EXISTS {name}", f"CREATE DATABASE {name}")

    verbs: dict[str, Callable[..., object]] = {
        "recreate_database": recreate_database,
        "role": identity.role,
        "service": identity.service,
        "endpoint": identity.endpoint,
        "user": identity.user,
        "grant": identity.grant,
        "openstack": identity.openstack,
    }

    def answer(asked: Request) -> Response:
        try:
            told = verbs[asked.path.strip("/")](*asked.body.splitlines())
        except Exception:  # noqa: BLE001 - the shell shows it, and ends with an error
            return Response(500, traceback.format_exc().encode())
        return Response(200, f"{told or ''}\n".encode())

    return AnsweringServer(answer)
