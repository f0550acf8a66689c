# SPDX-License-Identifier: Apache-2.0
"""A real Gnocchi, which ``CLOUDKITTY_TEST_GNOCCHI`` names (such as ``http://127.0.0.1:8041``,
with ``auth_mode = basic``): making resource types, resources and measures in it."""

import datetime
import uuid
from collections.abc import Mapping, Sequence
from typing import Any

import requests
from oslo_config import cfg

from cloudkitty.tests.functional import peers

GROUPS = ("collector_gnocchi", "fetcher_gnocchi")

_DONE = (200, 201, 202, 204)


class GnocchiServer:
    """Writes into Gnocchi. Everything of one object has names of its own."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.run = uuid.uuid4().hex[:12]
        self._http = requests.Session()
        self._http.auth = ("admin", "")

    @classmethod
    def named(cls) -> "GnocchiServer":
        """Return the server for tests, or skip."""
        return cls(peers.named("GNOCCHI"))

    def configure(self, conf: cfg.ConfigOpts) -> None:
        for group in GROUPS:
            conf.set_override("gnocchi_auth_type", "basic", group)
            conf.set_override("gnocchi_user", "admin", group)
            conf.set_override("gnocchi_endpoint", self.url, group)

    def policy(self, name: str, methods: Sequence[str], *granularities: int) -> None:
        """Make an archive policy, unless there is one of that name."""
        definition = [{"granularity": seconds, "timespan": "9000d"} for seconds in granularities]
        body = {"name": name, "back_window": 0, "aggregation_methods": list(methods)}
        self._send("POST", "archive_policy", {**body, "definition": definition}, exists=True)

    def resource_type(self, name: str, /, **attributes: str) -> None:
        """Make a resource type, or give the one of that name the attributes that it lacks."""
        kinds = {key: {"type": kind, "required": False} for key, kind in attributes.items()}
        body = {"name": name, "attributes": kinds}
        self._send("POST", "resource_type", body, exists=True)
        known = self._send("GET", f"resource_type/{name}")["attributes"]
        added = [
            {"op": "add", "path": f"/attributes/{key}", "value": kind}
            for key, kind in kinds.items()
            if key not in known
        ]
        if added:
            headers = {"Content-Type": "application/json-patch+json"}
            self._send("PATCH", f"resource_type/{name}", added, headers=headers)

    def resource(self, resource_type: str, metrics: Mapping[str, str], **attributes: object) -> str:
        """Make a resource with metrics, each with an archive policy; return its id."""
        identifier = str(uuid.uuid4())
        body = {
            **attributes,
            "id": identifier,
            "metrics": {name: {"archive_policy_name": policy} for name, policy in metrics.items()},
        }
        self._send("POST", f"resource/{resource_type}", body)
        return identifier

    def update(
        self, resource_type: str, identifier: str, **attributes: object
    ) -> datetime.datetime:
        """Change a resource; return when that was."""
        self._send("PATCH", f"resource/{resource_type}/{identifier}", attributes)
        changed = self._send("GET", f"resource/{resource_type}/{identifier}")
        return datetime.datetime.fromisoformat(changed["revision_start"])

    def measure(
        self, identifier: str, metric: str, values: Mapping[datetime.datetime, object]
    ) -> None:
        """Push measures of a resource's metric, and have them worked off."""
        path = f"resource/generic/{identifier}/metric/{metric}/measures"
        measures = [
            {"timestamp": moment.isoformat(), "value": value} for moment, value in values.items()
        ]
        self._send("POST", path, measures)
        self._send("GET", f"{path}?refresh=true")

    def clear(self, resource_type: str) -> None:
        """Remove all resources of a type."""
        everything = {">=": {"started_at": "1970-01-01T00:00:00"}}
        self._send("DELETE", f"resource/{resource_type}", everything)

    def remove(self, resource_type: str, projects: Sequence[str]) -> None:
        """Remove the resources of a type that belong to some projects."""
        self._send("DELETE", f"resource/{resource_type}", {"in": {"project_id": list(projects)}})

    def _send(
        self,
        method: str,
        path: str,
        body: Any = None,
        exists: bool = False,
        headers: Mapping[str, str] | None = None,
    ) -> Any:
        url = f"{self.url}/v1/{path}"
        answer = self._http.request(method, url, json=body, headers=headers, timeout=60)
        assert answer.status_code in (*_DONE, *((409,) if exists else ())), answer.text
        return answer.json() if answer.status_code == 200 else None
