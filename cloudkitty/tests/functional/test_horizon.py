# SPDX-License-Identifier: Apache-2.0
"""The dashboard that operators have, unchanged, in front of this service: its six panels.

The dashboard finds the service through the catalogue of the identity service, at port 8889.
``CLOUDKITTY_TEST_SCREENSHOTS`` may name a directory for pictures of every step.
"""

import datetime
import os
import pathlib
import socket
from collections.abc import Iterator
from typing import Any

import pytest
import requests

from cloudkitty import config as configuration
from cloudkitty.period import UTC, month_start
from cloudkitty.tests.databases import TestServer
from cloudkitty.tests.functional import peers
from cloudkitty.tests.functional.live import LiveApi, write_configuration

PICTURES = "CLOUDKITTY_TEST_SCREENSHOTS"
PORT = 8889

SCRIPT = "# Doubles what hashmap has found.\n"


@pytest.fixture(scope="module")
def identity() -> str:
    return peers.named("KEYSTONE")


def token(identity: str, user: str, password: str, project: str) -> tuple[str, str]:
    """A token of a user for a project, and the project's id."""
    login = {"name": user, "password": password, "domain": {"id": "default"}}
    body = {
        "auth": {
            "identity": {"methods": ["password"], "password": {"user": login}},
            "scope": {"project": {"name": project, "domain": {"id": "default"}}},
        }
    }
    answer = requests.post(f"{identity}/auth/tokens", json=body, timeout=60)
    answer.raise_for_status()
    return answer.headers["X-Subject-Token"], answer.json()["token"]["project"]["id"]


@pytest.fixture(scope="module")
def service(
    identity: str, tmp_path_factory: pytest.TempPathFactory, sqlite_server: TestServer
) -> Iterator[LiveApi]:
    """The service where the catalogue says it is."""
    peers.named("HORIZON")
    with socket.socket() as probe:
        if probe.connect_ex(("127.0.0.1", PORT)) == 0:
            pytest.skip(f"port {PORT}, where the catalogue expects the service, is in use")
    directory = tmp_path_factory.mktemp("horizon")
    conf = configuration.load([], config_files=[])
    database = sqlite_server.fresh(conf, directory)
    server = LiveApi(write_configuration(directory, database.url, identity), ["--port", str(PORT)])
    yield server
    server.stop()


@pytest.fixture(scope="module")
def usage(service: LiveApi, identity: str) -> str:
    """A month of the demo project: 7.25 for instances, 2.5 for a volume. Returns its id."""
    _, demo = token(identity, "demo", "demopass", "demo")
    admin, _ = token(identity, "admin", "adminpass", "admin")
    begin = month_start(datetime.datetime.now(UTC))
    period = {
        "begin": begin.isoformat(),
        "end": (begin + datetime.timedelta(hours=1)).isoformat(),
    }

    def point(unit: str, price: str, name: str) -> dict[str, Any]:
        return {
            "vol": {"unit": unit, "qty": 1},
            "rating": {"price": price},
            "groupby": {"project_id": demo, "id": name},
            "metadata": {"flavor": "m1.tiny"},
        }

    used = {
        "instance": [point("instance", "7.00", "vm-1"), point("instance", "0.25", "vm-2")],
        "volume.size": [point("GiB", "2.5", "volume-1")],
    }
    posted = requests.post(
        f"{service.url}/v2/dataframes",
        json={"dataframes": [{"period": period, "usage": used}]},
        headers={"X-Auth-Token": admin},
        timeout=60,
    )
    assert posted.status_code == 204, posted.text
    return demo


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    named = os.environ.get(PICTURES)
    directory = pathlib.Path(named) if named else tmp_path_factory.mktemp("pictures")
    directory.mkdir(parents=True, exist_ok=True)
    return directory


def browser(pictures: pathlib.Path) -> Any:
    pytest.importorskip("selenium", reason="no selenium to drive a browser with")
    from cloudkitty.tests.functional.browser import CHROMIUM, DRIVER, Browser

    if not (CHROMIUM.exists() and DRIVER.exists()):
        pytest.skip(f"no browser: {CHROMIUM} and {DRIVER} are not installed")
    return Browser(peers.named("HORIZON"), pictures)


@pytest.fixture(scope="module")
def admin(service: LiveApi, usage: str, pictures: pathlib.Path) -> Iterator[Any]:
    """An administrator at the dashboard."""
    session = browser(pictures)
    try:
        session.log_in("admin", "adminpass")
        yield session
    finally:
        session.close()


@pytest.fixture(scope="module")
def tenant(service: LiveApi, usage: str, pictures: pathlib.Path) -> Iterator[Any]:
    """A member of the demo project at the dashboard."""
    session = browser(pictures)
    try:
        session.log_in("demo", "demopass")
        yield session
    finally:
        session.close()


def test_prices_are_entered_by_clicking(admin: Any) -> None:
    admin.go("/admin/hashmap/")
    admin.click("Create new Service")
    admin.fill({"service_type": "Service", "service": "instance"})
    admin.wait_for("Service was successfully created")
    assert [row[1:3] for row in admin.rows("#services")] == [["instance", "instance"]]
    admin.click("instance")
    admin.click("Create new Field")
    admin.fill({"field": "flavor"})
    admin.wait_for("Field was successfully created")
    admin.click("flavor")
    admin.click("Create new Mapping")
    admin.fill({"value": "m1.tiny", "type": "Flat", "cost": "0.25"})
    admin.picture("admin-hashmap-field")
    admin.wait_for("m1.tiny")
    admin.go("/admin/hashmap/")
    rules = admin.rows("table:not(#services)")
    admin.picture("admin-hashmap")
    assert ["instance", "flavor", "m1.tiny", "flat"] in [row[:4] for row in rules]
    assert admin.complaints() == []


def test_a_module_is_enabled_and_gets_another_priority(admin: Any) -> None:
    admin.go("/admin/rating_modules/")
    admin.click_on("#modules__row_hashmap__action_toggle_module")
    admin.go("/admin/rating_modules/")
    admin.click_on("#modules tr[id$=hashmap] .dropdown-toggle")
    admin.click_on("#modules__row_hashmap__action_editmodulepriority")
    admin.fill({"priority": "50"})
    admin.wait_for("50")
    admin.go("/admin/rating_modules/")
    admin.picture("admin-rating-modules")
    rows = {row[0]: row for row in admin.rows("#modules")}
    assert rows["hashmap"][3:5] == ["50", "True"]
    assert admin.complaints() == []


def test_a_script_is_uploaded(admin: Any) -> None:
    admin.go("/admin/pyscripts/")
    admin.click("Create Script")
    admin.fill({"name": "doubling", "script_data": SCRIPT})
    admin.wait_for("doubling")
    admin.picture("admin-pyscripts")
    assert [row[2] for row in admin.rows("#pyscripts")] == ["doubling"]
    assert admin.complaints() == []


def test_the_administrator_sees_what_everybody_costs(admin: Any, usage: str) -> None:
    admin.go("/admin/rating_summary/")
    admin.picture("admin-rating-summary")
    assert any(usage in row or "demo" in row for row in admin.rows())
    assert "9.75" in admin.text()
    assert admin.complaints() == []


def test_a_tenant_sees_the_own_month(tenant: Any) -> None:
    tenant.go("/project/rating/")
    tenant.picture("project-rating")
    assert "9.75" in tenant.text()
    assert tenant.complaints() == []


def test_a_tenant_sees_reports(tenant: Any) -> None:
    tenant.go("/project/reporting/")
    tenant.picture("project-reporting")
    for words in ("instance", "volume.size"):
        assert words in tenant.text()
    assert tenant.complaints() == []
