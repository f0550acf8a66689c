# SPDX-License-Identifier: Apache-2.0
"""Hosts with a processor each, all on this one, and what they ask the source for."""

import contextlib
import multiprocessing
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from multiprocessing.context import ForkProcess
from typing import NamedTuple

from cloudkitty.cli import processor
from cloudkitty.collector.csv import CsvCollector
from cloudkitty.processor import coordination, group, service
from cloudkitty.processor.coordination import Coordination
from cloudkitty.processor.group import GroupShare
from cloudkitty.processor.service import ProcessorWorker
from cloudkitty.tests.functional import commands

LEASE = 5
"""Seconds after which a member that is silent has gone, of the services that count them."""

QUICK, SLOW = 0.02, 1.0
"""How many seconds an answer of the source takes."""

PEERS = {
    "file": "",
    "redis": f"membership_timeout={LEASE}&lock_timeout={LEASE}",
    "etcd": f"membership_timeout={LEASE}&lock_timeout={LEASE}",
    "zookeeper": f"timeout={LEASE}",
}
"""Services with groups, and how they are told about ``LEASE``."""


def missing(peer: str) -> str | None:
    """Return why there is no such service, ``None`` when there is one."""
    name = f"CLOUDKITTY_TEST_{peer.upper()}"
    if peer == "file" or os.environ.get(name):
        return None
    return f"no {peer} server: {name} is not set"


def url_of(peer: str, directory: pathlib.Path) -> str:
    """Return the coordination URL of a service that there is."""
    if peer == "file":
        return f"file://{directory}/locks?timeout={LEASE}"
    url = os.environ[f"CLOUDKITTY_TEST_{peer.upper()}"]
    return f"{url}?{PEERS[peer]}" if PEERS.get(peer) else url


class Question(NamedTuple):
    """One scope in a question to the source."""

    metric: str
    begin: str
    scope: str
    host: str
    pid: str


Prepare = Callable[[], None]


def believe_in_all() -> None:
    """Have workers take every part for theirs, and every lock for had."""
    GroupShare.parts = lambda _self: frozenset(range(group.PARTS))  # type: ignore[method-assign]
    Coordination.try_lock = lambda _self, _name: None  # type: ignore[method-assign]


def hang() -> None:
    """Have the source never answer; what is asked has been noted."""
    fetch = CsvCollector.fetch

    def hung(self, metric, period, scopes):  # type: ignore[no-untyped-def]
        answer = fetch(self, metric, period, scopes)
        threading.Event().wait()
        return answer

    CsvCollector.fetch = hung  # type: ignore[method-assign]


def die_of_it() -> None:
    """Have every worker die of what it does."""
    ProcessorWorker._work = lambda _self, _processor: os._exit(3)  # type: ignore[method-assign]


class Hosts:
    """Processors that are forked, so that they start at once, and note what they ask."""

    def __init__(self, directory: pathlib.Path) -> None:
        self._directory = directory
        self._asked = directory / "asked"
        self._asked.touch()
        self._slow = directory / "slow"

    def slow_down(self) -> None:
        """Have the source answer so slowly that there is work for a while."""
        self._slow.touch()

    def speed_up(self) -> None:
        """Have the source answer as ever."""
        self._slow.unlink()

    def log(self, name: str) -> pathlib.Path:
        return self._directory / f"{name}.log"

    def said(self, name: str) -> str:
        """What the processes of a host have logged."""
        return self.log(name).read_text() if self.log(name).exists() else ""

    def questions(self) -> list[Question]:
        """Everything that was asked, a line for each scope."""
        return [Question(*line.split("\t")) for line in self._asked.read_text().splitlines()]

    def repeated(self) -> Counter[tuple[str, str, str]]:
        """What was asked more than once, and how often beyond that."""
        asked = Counter((one.metric, one.begin, one.scope) for one in self.questions())
        return Counter({key: times - 1 for key, times in asked.items() if times > 1})

    @contextlib.contextmanager
    def host(
        self, name: str, config: pathlib.Path, prepare: Prepare = lambda: None
    ) -> Iterator[ForkProcess]:
        """Run ``cloudkitty-processor`` on a host of that name while the context lasts."""
        process = multiprocessing.get_context("fork").Process(
            target=self._become, args=(name, config, prepare)
        )
        process.start()
        try:
            yield process
        finally:
            if process.exitcode is None:
                process.terminate()
                process.join(commands.BOUND)
                if process.exitcode is None:
                    kill(process)
                    raise AssertionError(f"host {name} does not end\n{self.said(name)}")

    def _become(self, name: str, config: pathlib.Path, prepare: Prepare) -> None:
        self._note_questions(name)
        group.WATCH_SECONDS = service.LOOK_SECONDS = coordination.RETRY_SECONDS = 0.3
        service.PAUSE_SECONDS = 0.2
        prepare()
        argv = ["cloudkitty-processor", "--config-file", str(config)]
        with open(self.log(name), "ab", buffering=0) as log:
            commands.become(processor.main, argv, log.fileno(), log.fileno())

    def _note_questions(self, name: str) -> None:
        fetch, slow, asked = CsvCollector.fetch, self._slow, self._asked

        def noted(self, metric, period, scopes):  # type: ignore[no-untyped-def]
            begin, pid = period.begin.isoformat(), str(os.getpid())
            lines = ["\t".join((metric.name, begin, one, name, pid)) + "\n" for one in scopes]
            with open(asked, "a") as file:
                file.write("".join(lines))
            time.sleep(SLOW if slow.exists() else QUICK)
            return fetch(self, metric, period, scopes)

        CsvCollector.fetch = noted  # type: ignore[method-assign]


def kill(process: ForkProcess) -> None:
    """End a host as if its power were cut: all of its processes, which are a group."""
    assert process.pid is not None
    os.killpg(process.pid, signal.SIGKILL)
    process.join()


class OwnRedis:
    """A Redis of the test's own, to be stopped and started."""

    program = shutil.which("redis-server")

    def __init__(self, directory: pathlib.Path) -> None:
        self._directory = directory
        self._port = commands.free_port()
        self._process: subprocess.Popen[bytes] | None = None
        self.url = f"redis://127.0.0.1:{self._port}?{PEERS['redis']}"

    def start(self) -> None:
        assert self.program
        line = (self.program, "--bind", "127.0.0.1", "--port", str(self._port), "--save", "")
        self._process = subprocess.Popen(line, cwd=self._directory, stdout=subprocess.DEVNULL)
        deadline = time.monotonic() + commands.BOUND
        while True:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self._port)):
                return
            assert time.monotonic() < deadline, "redis does not answer"
            time.sleep(0.02)

    def stop(self) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait(commands.BOUND)
            self._process = None
