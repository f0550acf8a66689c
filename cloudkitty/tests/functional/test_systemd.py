# SPDX-License-Identifier: Apache-2.0
"""The units of systemd: what they start says when it is ready, and ends when told."""

import configparser
import os
import pathlib
import shlex
import socket
import subprocess
import sys

import pytest

from cloudkitty.db.engine import Database
from cloudkitty.tests.functional import commands
from cloudkitty.tests.functional.live import write_configuration

UNITS = pathlib.Path(__file__).parents[3] / "etc" / "systemd"


def unit(name: str) -> configparser.SectionProxy:
    parser = configparser.RawConfigParser(strict=False)
    parser.optionxform = str  # type: ignore[assignment, method-assign]
    parser.read(UNITS / f"cloudkitty-{name}.service")
    return parser["Service"]


@pytest.mark.parametrize("name", ["api", "processor"])
def test_a_unit_is_told_when_its_program_is_ready(
    name: str, sqlite_database: Database, tmp_path: pathlib.Path
) -> None:
    config = write_configuration(tmp_path, sqlite_database.url)
    config.write_text(
        f"{config.read_text()}[fetcher]\nbackend = source\n[fetcher_source]\nsources = alpha\n"
        f"[collector_csv]\nfile = {tmp_path}/usage.csv\n"
    )
    (tmp_path / "usage.csv").write_text("begin,end,metric,qty,project_id\n")
    service = unit(name)
    assert service["Type"] == "notify"
    program, *arguments = shlex.split(service["ExecStart"])
    assert pathlib.Path(program).name == f"cloudkitty-{name}"
    paths = {"--config-file": str(config), "--log-file": str(tmp_path / "log")}
    arguments = [
        paths.get(before, word) for before, word in zip(["", *arguments], arguments, strict=False)
    ]
    told = tmp_path / "told"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(told))
        listener.settimeout(commands.BOUND)
        process = subprocess.Popen(
            [sys.executable, "-m", f"cloudkitty.cli.{name}", *arguments],
            cwd=commands.ROOT,
            env={**os.environ, "NOTIFY_SOCKET": str(told)},
            stdout=subprocess.DEVNULL,
        )
        try:
            assert b"READY=1" in listener.recv(4096).split(b"\n")
        finally:
            assert commands.stop(process) == 0
