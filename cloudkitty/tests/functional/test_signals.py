# SPDX-License-Identifier: Apache-2.0
"""Signals to the supervisor: the end comes in time, also after the configuration was read again,
and the number of workers follows it."""

import os
import pathlib
import signal

import pytest
from oslo_config import cfg

from cloudkitty.db.engine import Database
from cloudkitty.tests import cloud
from cloudkitty.tests.functional import commands, hosts
from cloudkitty.tests.functional.hosts import Hosts

GRACE = 2
"""Seconds within which workers have to end."""


class Host:
    """A host with little to do."""

    def __init__(self, conf: cfg.ConfigOpts, database: Database, directory: pathlib.Path) -> None:
        cloud.configure(conf, directory, scopes=2, hours=1)
        self._url = database.url
        self._directory = directory
        self.hosts = Hosts(directory)

    def configure(self, **options: object) -> pathlib.Path:
        """Write the configuration file, with these options of the orchestrator."""
        return commands.write_configuration(
            self._directory / "host.conf",
            cloud.sections(self._url, self._directory, hours=1),
            {
                "DEFAULT": {"graceful_shutdown_timeout": GRACE},
                "orchestrator": {"max_workers": 1, **options},
            },
        )

    def await_said(self, words: str, times: int = 1) -> None:
        commands.wait_until(
            lambda: self.hosts.said("one").count(words) >= times, words, self.hosts.log("one")
        )


@pytest.fixture
def host(conf: cfg.ConfigOpts, sqlite_database: Database, tmp_path: pathlib.Path) -> Host:
    return Host(conf, sqlite_database, tmp_path)


def send(pid: int | None, number: signal.Signals) -> None:
    assert pid is not None
    os.kill(pid, number)


def test_a_source_that_hangs_does_not_keep_it_from_ending(host: Host) -> None:
    said = host.hosts.said
    with host.hosts.host("one", host.configure(), hosts.hang) as processor:
        commands.wait_until(
            lambda: bool(host.hosts.questions()), "a question", host.hosts.log("one")
        )
        send(processor.pid, signal.SIGHUP)
        host.await_said(f"Graceful shutdown timeout ({GRACE}) exceeded")
        asked = len(host.hosts.questions())
        commands.wait_until(
            lambda: len(host.hosts.questions()) > asked, "another", host.hosts.log("one")
        )
        send(processor.pid, signal.SIGTERM)
        processor.join(commands.BOUND)
        assert processor.exitcode is not None, said("one")
    assert "Traceback" not in said("one")


def test_the_number_of_workers_follows_the_configuration(host: Host) -> None:
    with host.hosts.host("one", host.configure(max_workers=0)) as processor:
        host.await_said("this host rates nothing")
        host.await_said("worker 1 rests: [orchestrator] max_workers is 0")
        host.configure(max_workers=2)
        send(processor.pid, signal.SIGHUP)
        host.await_said("worker 1 of 2 started")
        host.await_said("worker 2 of 2 started")
        host.configure(max_workers=1)
        send(processor.pid, signal.SIGHUP)
        host.await_said("worker 2 rests: [orchestrator] max_workers is 1")
        host.await_said("worker 1 of 1 started")
    said = host.hosts.said("one")
    assert processor.exitcode == 0
    assert " ERROR " not in said
    assert "Traceback" not in said


def test_a_limit_that_cannot_be_read_stays_what_it_was(host: Host) -> None:
    with host.hosts.host("one", host.configure(), hosts.hang) as processor:
        host.await_said("worker 1 of 1 started")
        path = host.configure()
        path.write_text(path.read_text().replace(f"= {GRACE}\n", "= soon\n"))
        send(processor.pid, signal.SIGHUP)
        host.await_said(f"; it stays {GRACE} s")
        host.await_said("worker 1 of 1 started", 2)
        send(processor.pid, signal.SIGTERM)
        processor.join(commands.BOUND)
        assert processor.exitcode is not None
    assert host.hosts.said("one").count("soon") == 1
    assert "Traceback" not in host.hosts.said("one")


def test_a_worker_that_dies_again_and_again_is_given_time(host: Host) -> None:
    with host.hosts.host("one", host.configure(), hosts.die_of_it) as processor:
        host.await_said("worker 1 has died 2 times in a row; going on in 1 s")
        host.await_said("worker 1 has died 3 times in a row; going on in 2 s")
        send(processor.pid, signal.SIGTERM)
        processor.join(commands.BOUND)
    assert processor.exitcode == 0
