# SPDX-License-Identifier: Apache-2.0
"""``cloudkitty-api`` as operators start and stop it, and the client that they use."""

import concurrent.futures
import datetime
import os
import pathlib
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any

import pytest
import requests

from cloudkitty.db.engine import Database
from cloudkitty.tests.databases import TestServer
from cloudkitty.tests.functional import commands
from cloudkitty.tests.functional.live import (
    ROOT,
    LiveApi,
    client_of,
    seeded,
    shell,
    write_configuration,
)

JANUARY = {
    "begin": datetime.datetime(2026, 1, 1),
    "end": datetime.datetime(2026, 2, 1),
}


@pytest.fixture
def config(sqlite_database: Database, tmp_path: pathlib.Path) -> pathlib.Path:
    return write_configuration(tmp_path, sqlite_database.url)


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory, sqlite_server: TestServer) -> Iterator[LiveApi]:
    """One server for all tests that only talk to it; what they create has names of their own."""
    yield from seeded(tmp_path_factory, sqlite_server)


def test_it_says_where_it_listens_and_ends_when_told(config: pathlib.Path) -> None:
    server = LiveApi(config, ["--workers", "1", "--host-ip", "127.0.0.1"])
    assert server.first_line == f"cloudkitty-api listens on {server.url}\n"
    assert requests.get(server.url, timeout=60).json()["versions"][0]["id"] == "v1"
    assert server.stop() == 0
    assert server.process.stdout is not None
    assert server.process.stdout.read() == ""


SLOW_WORKERS = """
import os, signal, time
from cloudkitty import network
from cloudkitty.cli import api

def slowly(_server, _worker):
    os.kill(os.getppid(), signal.SIGTERM)
    time.sleep(1)

listener = network.listen("127.0.0.1", 0, "test")
server = api.Server(lambda environ, start: [], listener, workers=1, threads=1)
server.cfg.set("post_fork", slowly)
server.run()
"""


def test_it_ends_when_told_before_its_workers_have_started() -> None:
    command = [sys.executable, "-c", SLOW_WORKERS]
    # It would kill the worker after half a minute.
    done = subprocess.run(command, cwd=ROOT, capture_output=True, timeout=20, check=False)
    assert done.returncode == 0, done.stderr


def until(condition: Callable[[], bool]) -> bool:
    """Whether *condition* comes true in a while."""
    deadline = time.monotonic() + commands.BOUND
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def test_it_follows_its_configuration_when_told(
    config: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    log = tmp_path / "api.log"
    config.write_text(config.read_text().replace("[DEFAULT]\n", f"[DEFAULT]\nlog_file = {log}\n"))
    server = LiveApi(config)

    def metrics() -> list[str]:
        answer = requests.get(f"{server.url}/v1/info/metrics", timeout=60)
        assert answer.status_code == 200
        return [one["metric_id"] for one in answer.json()["metrics"]]

    def tell(text: str) -> None:
        (tmp_path / "metrics.yml").write_text(text)
        server.process.send_signal(signal.SIGHUP)

    assert metrics() == ["instance", "volume.size"]
    tell("metrics: {image: {unit: MiB, groupby: [id], metadata: []}}")
    assert until(lambda: metrics() == ["image"])
    # Workers of before may have answered the first of these.
    assert until(lambda: all(metrics() == ["image"] for _ in range(20)))
    tell("metrics: {colour: {unit: 1}}")
    assert until(lambda: "The configuration is not used" in log.read_text())
    assert metrics() == ["image"]
    assert server.stop() == 0


def run(config: pathlib.Path, *args: str) -> commands.Done:
    """Start the server, which is expected to give up by itself."""
    return commands.run_warm("api", config, *args)


def _one_line(done: commands.Done, *words: str) -> None:
    assert done.code == 1
    assert done.err.count("\n") == 1, done.err
    assert done.err.startswith("cloudkitty-api: ")
    for word in words:
        assert word in done.err


def test_a_port_in_use(config: pathlib.Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = run(config, "--port", str(port))
    _one_line(done, "[api] host_ip, port", f"127.0.0.1 port {port}: Address already in use")


def test_a_database_without_schema(config: pathlib.Path, tmp_path: pathlib.Path) -> None:
    write_configuration(tmp_path, f"sqlite:///{tmp_path}/empty.sqlite")
    _one_line(run(config), "the database has no schema yet; run cloudkitty-dbsync upgrade")


def test_a_database_that_is_not_there(config: pathlib.Path, tmp_path: pathlib.Path) -> None:
    write_configuration(tmp_path, "mysql://nobody:secret@127.0.0.1:9/nothing")
    done = run(config)
    _one_line(done, "[database] connection", "127.0.0.1:9")
    assert "secret" not in done.err


def test_a_metrics_file_that_is_wrong(config: pathlib.Path, tmp_path: pathlib.Path) -> None:
    (tmp_path / "metrics.yml").write_text("metrics: {cpu: {unit: 1, colour: red}}\n")
    done = run(config)
    assert done.code == 1
    assert all(line.startswith("cloudkitty-api: ") for line in done.err.splitlines())
    assert len(done.err.splitlines()) == 2
    assert "colour" in done.err


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("[api]\nworkers = none\n", "[api] workers"),
        ("[api]\nport = 99999\n", "port"),
        ("[api]\nbilling_time_zone = Mars/Olympus\n", "[api] billing_time_zone"),
        ("[storage]\nbackend = paper\n", "[storage] backend"),
        ("[collect]\ncollector = crystal-ball\n", "[collect] collector"),
        ("[DEFAULT]\napi_paste_config = other.ini\n", "[DEFAULT] api_paste_config"),
        ("nonsense\n", "nonsense"),
    ],
)
def test_a_wrong_configuration(config: pathlib.Path, line: str, words: str) -> None:
    config.write_text(config.read_text() + line)
    _one_line(run(config), words)


def test_unknown_arguments_are_a_usage_error(config: pathlib.Path) -> None:
    assert run(config, "--colour").code == 2


def test_other_servers_find_the_application(config: pathlib.Path) -> None:
    program = (
        "import sys; sys.argv[1:] = ['--bind', 'x'];"
        "from cloudkitty.wsgi.api import application;"
        "from cloudkitty.tests.api import Client;"
        "print(Client(application).get('/v1/report/total').text)"
    )
    environment = {
        **os.environ,
        "OS_CLOUDKITTY_CONFIG_DIR": str(config.parent),
        "OS_CLOUDKITTY_CONFIG_FILES": config.name,
    }
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert done.stdout == '"0"\n'


def test_many_writers_at_once(live: LiveApi) -> None:
    url = f"{live.url}/v1/rating/module_config/hashmap"

    def create(number: int) -> int:
        body = {"name": f"service-{number}"}
        return requests.post(f"{url}/services", json=body, timeout=60).status_code

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        assert set(pool.map(create, range(64))) == {201}
    services = requests.get(f"{url}/services", timeout=60).json()["services"]
    assert len({one["name"] for one in services if one["name"].startswith("service-")}) == 64


@pytest.fixture
def client(live: LiveApi) -> Any:
    """The client of version 1, as scripts use it."""
    return client_of(live, "1")


def test_client_modules_and_metrics(client: Any) -> None:
    names = [module["module_id"] for module in client.rating.get_module()["modules"]]
    assert names == ["hashmap", "noop", "pyscripts"]
    client.rating.update_module(module_id="hashmap", enabled=True, priority=7)
    module = client.rating.get_module(module_id="hashmap")
    assert (module["enabled"], module["priority"]) == (True, 7)
    client.rating.reload_modules()
    assert client.info.get_config()["metrics"]["cpu"]["unit"] == "instance"
    assert client.info.get_metric(metric_name="instance")["metric_id"] == "instance"
    assert len(client.info.get_metric()["metrics"]) == 2


def test_client_rules_and_quotes(client: Any) -> None:
    hashmap = client.rating.hashmap
    assert hashmap.get_mapping_types() == ["flat", "rate"]
    service = hashmap.create_service(name="instance")["service_id"]
    field = hashmap.create_field(name="flavor_id", service_id=service)["field_id"]
    group = hashmap.create_group(name="base")["group_id"]
    mapping = hashmap.create_mapping(
        cost=1.5, value="tiny", field_id=field, group_id=group, type="flat"
    )
    assert mapping["cost"] == "1.5"
    threshold = hashmap.create_threshold(cost=0.5, level=2, type="rate", service_id=service)
    assert hashmap.get_service(service_id=service)["name"] == "instance"
    assert hashmap.get_field(service_id=service)["fields"][0]["field_id"] == field
    assert hashmap.get_group()["groups"][0]["group_id"] == group
    assert hashmap.get_mapping(field_id=field)["mappings"][0]["value"] == "tiny"
    assert hashmap.get_mapping_group(mapping_id=mapping["mapping_id"])["name"] == "base"
    assert len(hashmap.get_group_mappings(group_id=group)["mappings"]) == 1
    assert hashmap.get_group_thresholds(group_id=group)["thresholds"] == []
    assert len(hashmap.get_threshold(service_id=service)["thresholds"]) == 1
    changed = hashmap.update_mapping(mapping_id=mapping["mapping_id"], end="3000-01-01")
    assert changed["end"] == "3000-01-01T23:59:59"
    raised = hashmap.update_threshold(threshold_id=threshold["threshold_id"], cost=0.25)
    assert raised["cost"] == "0.25"
    client.rating.update_module(module_id="hashmap", enabled=True)
    wanted = {"service": "instance", "desc": {"flavor_id": "tiny"}, "volume": 1}
    assert Decimal(client.rating.get_quotation(res_data=[wanted])) == Decimal("1.5")
    hashmap.delete_threshold(threshold_id=threshold["threshold_id"])
    hashmap.delete_mapping(mapping_id=mapping["mapping_id"])
    hashmap.delete_group(group_id=group, recursive=False)
    hashmap.delete_field(field_id=field)
    hashmap.delete_service(service_id=service)
    assert service not in {one["service_id"] for one in hashmap.get_service()["services"]}


def test_client_scripts(client: Any) -> None:
    pyscripts = client.rating.pyscripts
    script = pyscripts.create_script(name="tripled", data="price = 3\n")
    script_id = script["script_id"]
    assert pyscripts.get_script(script_id=script_id) == script
    listed = {one["name"]: one for one in pyscripts.list_scripts(no_data=True)["scripts"]}
    assert "data" not in listed["tripled"]
    assert listed["tripled"]["checksum"] == script["checksum"]
    ended = pyscripts.update_script(script_id=script_id, end="3000-01-01")
    assert (ended["end"], ended["data"]) == ("3000-01-01T23:59:59", "price = 3\n")
    pyscripts.delete_script(script_id=script_id)
    left = pyscripts.list_scripts()["scripts"]
    assert script_id not in {one["script_id"] for one in left}


def test_client_collectors(client: Any) -> None:
    client.collector.create_mapping(service="compute", collector="gnocchi")
    client.collector.create_mapping(service="compute", collector="ceilometer")
    found = {"service": "compute", "collector": "ceilometer"}
    assert client.collector.get_mapping() == {"mappings": [found]}
    assert client.collector.get_mapping(collector="gnocchi") == {"mappings": []}
    assert client.collector.get_mapping(service="compute") == found
    client.collector.delete_mapping(service="compute")
    assert client.collector.get_state(name="gnocchi") == {"name": "gnocchi", "enabled": False}
    client.collector.set_state(name="gnocchi", enabled=True)
    assert client.collector.get_state(name="gnocchi")["enabled"]


def test_client_reports(client: Any) -> None:
    assert client.report.get_tenants(**JANUARY) == ["alpha", "beta"]
    assert Decimal(client.report.get_total(tenant_id="alpha", **JANUARY)) == Decimal("1.45")
    summary = client.report.get_summary(
        groupby=["res_type", "tenant_id"], all_tenants=True, **JANUARY
    )
    assert [item["rate"] for item in summary["summary"]] == ["0.2", "1.25", "7.0"]
    frames = client.storage.get_dataframes(tenant_id="beta", **JANUARY)["dataframes"]
    assert frames[0]["resources"][0]["rating"] == "7"


@pytest.mark.parametrize(
    ("words", "shown"),
    [
        ("module list", "hashmap"),
        ("module enable hashmap", "True"),
        ("module get noop", "noop"),
        ("module set priority hashmap 3", "3"),
        ("info config get", "metrics"),
        ("info metric list", "volume.size"),
        ("info metric get instance", "instance"),
        ("hashmap mapping-types list", "flat"),
        ("hashmap service create by-command", "by-command"),
        ("report tenant list", ""),
        ("total get --all-tenants -b 2026-01-01 -e 2026-02-01", "8.45"),
        ("summary get --all-tenants -b 2026-01-01 -e 2026-02-01", "8.45"),
        ("dataframes get -b 2026-01-01 -e 2026-02-01", "alpha"),
    ],
)
def test_commands_of_the_client(live: LiveApi, words: str, shown: str) -> None:
    assert shown in shell(live, "1", words)
