# SPDX-License-Identifier: Apache-2.0
"""Scripts inside of the services as operators run them: worker processes, threads, signals."""

import concurrent.futures
import contextlib
import datetime
import os
import pathlib
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator

import pytest
import requests

from cloudkitty import config as configuration
from cloudkitty.dataframe import Registry
from cloudkitty.db.engine import Database
from cloudkitty.rating.pyscripts.records import NewScript
from cloudkitty.rating.pyscripts.store import ScriptStore
from cloudkitty.rating.state import ModuleStates
from cloudkitty.storage import factory
from cloudkitty.storage.base import Query
from cloudkitty.tests import cloud
from cloudkitty.tests.builders import HOUR, NEW_YEAR
from cloudkitty.tests.functional import commands
from cloudkitty.tests.functional.live import ROOT, LiveApi, write_configuration

PRICE_LIST = (
    "for points in data['usage'].values():\n"
    "    for point in points:\n"
    "        point['rating']['price'] = point['vol']['qty'] * 2\n"
)


def enable(database: Database) -> None:
    new = NewScript(name="price list", data=PRICE_LIST)
    ScriptStore(database).create(new, now=NEW_YEAR - HOUR, user="u")
    ModuleStates(database).set("pyscripts", enabled=True)


def descendants(process: int) -> set[int]:
    """Processes that *process* has started, and those that they have."""
    parents: dict[int, int] = {}
    for path in pathlib.Path("/proc").glob("[0-9]*/stat"):
        try:
            text = path.read_text()
        except OSError:
            continue
        parents[int(path.parent.name)] = int(text.rpartition(")")[2].split()[1])
    found = {process}
    while more := {child for child, parent in parents.items() if parent in found} - found:
        found |= more
    return found - {process}


def runners(process: int) -> set[int]:
    """Those of its descendants that run scripts."""
    found = set()
    for child in descendants(process):
        with contextlib.suppress(OSError):  # it may have ended meanwhile
            if b"pyscripts import child" in pathlib.Path(f"/proc/{child}/cmdline").read_bytes():
                found.add(child)
    return found


def wait(condition: Callable[[], bool], seconds: float = commands.BOUND) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it does not come"
        time.sleep(0.05)


def gone(processes: set[int]) -> bool:
    return not any(pathlib.Path(f"/proc/{process}").exists() for process in processes)


@pytest.fixture
def live(sqlite_database: Database, tmp_path: pathlib.Path) -> Iterator[LiveApi]:
    enable(sqlite_database)
    server = LiveApi(write_configuration(tmp_path, sqlite_database.url))
    yield server
    if server.process.poll() is None:
        server.stop()


def test_quotes_in_many_threads_at_once(live: LiveApi) -> None:
    def quote(volume: int) -> str:
        body = {"resources": [{"service": "instance", "volume": volume, "desc": {}}]}
        answer = requests.post(f"{live.url}/v1/rating/quote", json=body, timeout=60)
        assert answer.status_code == 200, answer.text
        return str(answer.json())

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        assert list(pool.map(quote, range(1, 61))) == [str(2 * n) for n in range(1, 61)]
    started = runners(live.process.pid)
    # At most [pyscripts] workers for each of two worker processes.
    assert 1 <= len(started) <= 4
    assert live.stop() == 0
    wait(lambda: gone(started))


@pytest.mark.parametrize("ended_by", [signal.SIGTERM, signal.SIGKILL])
def test_processor_takes_its_processes_along(
    sqlite_database: Database, tmp_path: pathlib.Path, ended_by: int
) -> None:
    conf = configuration.load([], config_files=[])
    conf.set_override("connection", sqlite_database.url, "database")
    cloud.configure(conf, tmp_path, scopes=4, hours=1000)
    enable(sqlite_database)
    path = tmp_path / "cloudkitty.conf"
    path.write_text(
        f"[DEFAULT]\nstate_path = {tmp_path}\n"
        f"[database]\nconnection = {sqlite_database.url}\n"
        f"[collect]\ncollector = csv\nmetrics_conf = {tmp_path}/metrics.yml\n"
        f"first_period = {NEW_YEAR.isoformat()}\n"
        f"[collector_csv]\nfile = {tmp_path}/usage.csv\n"
        "[fetcher]\nbackend = csv\n[orchestrator]\nmax_workers = 2\n"
    )
    command = [sys.executable, "-m", "cloudkitty.cli.processor", "--config-file", str(path)]
    storage = factory.build(conf, sqlite_database, Registry())
    window = Query(NEW_YEAR, NEW_YEAR + datetime.timedelta(hours=3))
    with subprocess.Popen(command, cwd=ROOT, stderr=subprocess.DEVNULL) as processor:
        try:
            wait(lambda: len(storage.retrieve(window, limit=None).frames) == 4 * 3)
            wait(lambda: bool(runners(processor.pid)))
            started = descendants(processor.pid)
            workers = started - runners(processor.pid)
            processor.send_signal(ended_by)
            for worker in workers if ended_by == signal.SIGKILL else ():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(worker, signal.SIGKILL)
            processor.wait(commands.BOUND)
            wait(lambda: gone(started))
        finally:
            processor.kill()
    for one in storage.retrieve(window, limit=None).frames:
        assert all(point.price == 2 * point.qty for point in one.frame)
