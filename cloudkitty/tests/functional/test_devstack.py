# SPDX-License-Identifier: Apache-2.0
"""The plugin for DevStack, phase by phase, and for Grenade.

DevStack's functions are those of ``devstack-functions.sh``: they install into a virtual
environment, make database, users and endpoints at servers that really run, and start real
processes. Apache and uWSGI pass the requests on as there; without an Apache, uWSGI serves the path
by itself.
"""

import json
import os
import pathlib
import shutil
import sys
from collections.abc import Iterator

import pytest
import requests

from cloudkitty.tests.functional import commands, peers
from cloudkitty.tests.functional.devstack_host import (
    FUNCTIONS,
    PLUGIN,
    SERVERS,
    Stack,
    hour,
)
from cloudkitty.tests.functional.units import runs

METRICS = """\
metrics:
  instance:
    unit: instance
    groupby: [id, project_id]
    metadata: [flavor_name]
"""


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A host that has been stacked: one server has been used since three hours."""
    for name in SERVERS:
        peers.named(name)
    if not shutil.which(
        "uwsgi", path=f"{pathlib.Path(sys.executable).parent}:{os.environ['PATH']}"
    ):
        pytest.skip("no uwsgi to serve the API with")
    host = Stack(tmp_path_factory.mktemp("devstack"))
    try:
        host.source()
        domain = host.identity.domain(host.name)
        host.identity.make("project", name="service", domain_id=domain)
        project = host.identity.project(host.name, "default")
        (host.directory / "instances.yml").write_text(METRICS)
        usage = host.directory / "usage.csv"
        usage.write_text(
            "begin,end,metric,qty,project_id,id,flavor_name\n"
            f"{hour(9).isoformat()},{hour(-9).isoformat()},instance,1,{project},vm-1,tiny\n"
        )
        host.bash(
            "for phase in pre-install install post-config; do",
            f"source {PLUGIN}/plugin.sh stack $phase",
            "done",
            # A section [[post-config|$CLOUDKITTY_CONF]] of local.conf.
            f"iniset $CLOUDKITTY_CONF collector_csv file {usage}",
            f"iniset $CLOUDKITTY_CONF collect first_period {host.first:%Y-%m-%dT%H:%M:%S}",
            f"source {PLUGIN}/plugin.sh stack extra",
            f"source {PLUGIN}/plugin.sh stack test-config",
        )
        yield host
    finally:
        host.remove()


def test_the_configuration_is_that_of_the_settings(stack: Stack) -> None:
    assert stack.section("DEFAULT")["auth_strategy"] == "keystone"
    assert stack.section("DEFAULT")["debug"] == "True"
    assert stack.section("database")["connection"].endswith(f"/{stack.name}?charset=utf8mb4")
    assert stack.section("collect")["collector"] == "csv"
    assert stack.section("fetcher") == {"backend": "keystone"}
    assert stack.section("fetcher_keystone") == {"auth_section": "keystone_authtoken"}
    assert stack.section("orchestrator") == {
        "max_workers": "2",
        "coordination_url": f"file://{stack.data}/cloudkitty/locks",
    }
    assert stack.section("service_available", stack.state / "tempest.conf") == {
        "cloudkitty": "True"
    }
    assert stack.section("uwsgi", stack.uwsgi)["env"] == f"OS_CLOUDKITTY_CONFIG_FILES={stack.conf}"


@pytest.mark.parametrize(
    ("collector", "options"),
    [
        ("gnocchi", {"auth_section": "keystone_authtoken", "region_name": "RegionOne"}),
        ("ceilometer", {"auth_section": "keystone_authtoken", "region_name": "RegionOne"}),
        ("prometheus", {"prometheus_url": "http://192.0.2.1:9090/api/v1"}),
    ],
)
def test_where_usage_comes_from_is_a_setting(
    stack: Stack, tmp_path: pathlib.Path, collector: str, options: dict[str, str]
) -> None:
    conf = tmp_path / "other.conf"
    stack.bash(
        f"CLOUDKITTY_COLLECTOR={collector} CLOUDKITTY_CONF={conf} REGION_NAME=RegionOne",
        "CLOUDKITTY_PROMETHEUS_URL=http://192.0.2.1:9090/api/v1",
        f"source {PLUGIN}/plugin.sh",
        "_cloudkitty_configure_collector",
    )
    assert stack.section("collect", conf) == {"collector": collector}
    assert stack.section(f"collector_{collector}", conf) == options


def test_the_metering_api_is_found_in_the_catalogue(stack: Stack, tmp_path: pathlib.Path) -> None:
    """With what the plugin writes for the collector, and nothing else."""
    peers.named("CEILOMETER")
    conf = tmp_path / "cloudkitty.conf"
    shutil.copy(stack.conf, conf)
    said = stack.bash(
        f"CLOUDKITTY_COLLECTOR=ceilometer CLOUDKITTY_CONF={conf} REGION_NAME=RegionOne",
        "CLOUDKITTY_METRICS=",
        f"source {PLUGIN}/plugin.sh",
        "_cloudkitty_configure_collector",
        f"iniset {conf} collect metrics_conf $(_cloudkitty_metrics)",
        f"status=$(_cloudkitty_bin)/cloudkitty-status conf={conf}",
        "$status --config-file $conf doctor --all --json 2>/dev/null || true",
    )
    findings = json.loads(said)["findings"]
    assert not [one for one in findings if one["level"] == "error"]
    levels = {one["subject"]: one["level"] for one in findings}
    assert levels["credentials [collector_ceilometer]"] == "ok", findings
    assert levels["credentials [fetcher_keystone]"] == "ok", findings
    # It was asked, and had nothing to say.
    assert levels["metric volume.size"] == "warning", findings


def test_the_api_answers_under_its_path(stack: Stack) -> None:
    versions = requests.get(f"{stack.url}/", timeout=commands.BOUND)
    links = [link["href"] for one in versions.json()["versions"] for link in one["links"]]
    assert f"{stack.url}/v1" in links


def test_tokens_are_asked_for_and_believed(stack: Stack) -> None:
    assert requests.get(f"{stack.url}/v1/rating/modules", timeout=commands.BOUND).status_code == 401
    modules = stack.get("/v1/rating/modules")
    assert modules.status_code == 200, modules.text
    assert {one["module_id"] for one in modules.json()["modules"]} >= {"hashmap", "noop"}


def test_the_catalogue_leads_to_the_api(stack: Stack) -> None:
    service = stack.identity.find("service", type="rating")
    listed = stack.identity.call("GET", "endpoints", region_id=stack.name)["endpoints"]
    assert {(one["interface"], one["service_id"], one["url"]) for one in listed} == {
        (interface, service, stack.url) for interface in ("public", "internal", "admin")
    }


def rated_hours(stack: Stack) -> list[str]:
    frames = stack.get(f"/v2/dataframes?begin={hour(9):%Y-%m-%dT%H:%M:%S}&limit=100")
    found = frames.json().get("dataframes", [])
    return [one["period"]["begin"][:13] for one in found if one["usage"]["instance"]]


def test_the_processor_rates_the_project(stack: Stack) -> None:
    log = stack.state / "ck-proc.log"
    commands.wait_until(lambda: len(rated_hours(stack)) >= 3, "three hours rated", log)
    assert rated_hours(stack)[0] == f"{stack.first:%Y-%m-%dT%H}"


def test_the_panels_are_enabled(stack: Stack) -> None:
    assert sorted(one.name for one in stack.panels.iterdir()) == [
        "_11_admin_group.py",
        "_12_panel.py",
    ]


def test_what_is_not_enabled_is_not_started(stack: Stack) -> None:
    """A host of several that has the processor only."""
    said = stack.bash(
        "ENABLED_SERVICES=key,ck-proc",
        "function run_process { echo run $1; }",
        "function write_uwsgi_config { echo uwsgi; }",
        "function configure_cloudkitty_panels { echo panels; }",
        f"source {PLUGIN}/plugin.sh",
        "start_cloudkitty",
        f"CLOUDKITTY_CONF={stack.state}/second.conf",
        f"CLOUDKITTY_METRICS_CONF={stack.state}/second.yml",
        "configure_cloudkitty",
    )
    assert said.split() == ["run", "ck-proc"]


def grenade(stack: Stack, script: str) -> str:
    """Run a script of the upgrade where Grenade runs it."""
    old = stack.directory / "grenade"
    (old / "lib").mkdir(parents=True, exist_ok=True)
    for name in ("grenaderc", "functions", "stackrc", "lib/tls", "lib/apache", "lib/keystone"):
        (old / name).write_text(f"source {FUNCTIONS}\n")
    (stack.directory / "save").mkdir(exist_ok=True)
    return stack.bash(
        f"export GRENADE_DIR={old} BASE_DEVSTACK_DIR={old} TARGET_DEVSTACK_DIR={old}",
        f"export SAVE_DIR={stack.directory}/save",
        "export BASE_DEVSTACK_BRANCH=stable/old TARGET_DEVSTACK_BRANCH=master",
        f"{PLUGIN}/upgrade/{script}",
    )


def test_an_upgrade_keeps_configuration_and_data(stack: Stack) -> None:
    before = stack.conf.read_text()
    modules = stack.get("/v1/rating/modules").json()
    pids = [stack.pid(name) for name in ("ck-api", "ck-proc")]
    grenade(stack, "shutdown.sh")
    assert not any(runs(pid) for pid in pids)
    assert "SUCCESS" in grenade(stack, "upgrade.sh")
    assert stack.conf.read_text() == before
    assert (stack.directory / "save" / "etc.cloudkitty" / "cloudkitty.conf").read_text() == before
    assert stack.get("/v1/rating/modules").json() == modules
    assert runs(stack.pid("ck-proc"))


def test_grenade_learns_what_to_upgrade(stack: Stack) -> None:
    said = stack.bash(
        "function register_project_for_upgrade { echo project $*; }",
        "function register_db_to_save { echo database $*; }",
        "function devstack_localrc { echo localrc $*; }",
        f"source {PLUGIN}/upgrade/settings",
        functions=False,
    )
    assert said.splitlines() == [
        "project cloudkitty",
        "database cloudkitty",
        "localrc base enable_service ck-api ck-proc",
        "localrc target enable_service ck-api ck-proc",
    ]


def test_unstack_stops_and_clean_removes_everything(stack: Stack) -> None:
    daemons = [stack.pid(name) for name in ("ck-api", "ck-proc")]
    log = stack.state / "ck-proc.log"
    for pid in daemons:
        commands.wait_until(lambda pid=pid: len(commands.children(pid)) >= 2, "its workers", log)
    pids = daemons + [child for pid in daemons for child in commands.children(pid)]
    stack.bash(f"source {PLUGIN}/plugin.sh unstack")
    assert not any(runs(pid) for pid in pids)
    stack.bash(f"source {PLUGIN}/plugin.sh clean")
    assert not stack.conf.parent.exists()
    assert list(stack.data.iterdir()) == []
    assert list(stack.panels.iterdir()) == []
    assert not list(stack.state.glob("sites/*"))
