# SPDX-License-Identifier: Apache-2.0
"""``units.py ROOT VERB UNIT...``: what ``systemctl`` does with units of ``Type=notify`` below ROOT.

Invariants: a unit is started when it has said so itself; what was started is ended by its own pid.
"""

import configparser
import os
import pathlib
import shlex
import signal
import socket
import subprocess
import sys
import time

BOUND = 120


def service(root: pathlib.Path, unit: str) -> configparser.SectionProxy:
    parser = configparser.RawConfigParser(strict=False)
    parser.optionxform = str  # type: ignore[assignment, method-assign]
    assert parser.read(root / "etc" / "systemd" / "system" / f"{unit}.service"), unit
    return parser["Service"]


def start(root: pathlib.Path, unit: str) -> None:
    """Run the command line of a unit, its paths below *root*, until it says that it is ready."""
    described = service(root, unit)
    assert described["Type"] == "notify"
    words = shlex.split(described["ExecStart"])
    run = root / "run"
    run.mkdir(exist_ok=True)
    told = run / f"{unit}.notify"
    told.unlink(missing_ok=True)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(told))
        listener.settimeout(BOUND)
        with open(run / f"{unit}.log", "ab") as log:
            process = subprocess.Popen(
                [f"{root}{word}" if word.startswith("/") else word for word in words],
                cwd=root,
                env={**os.environ, "NOTIFY_SOCKET": str(told)},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        (run / f"{unit}.pid").write_text(str(process.pid))
        while b"READY=1" not in listener.recv(4096).split(b"\n"):
            pass


def runs(pid: int) -> bool:
    """Whether a process lives; one that has ended and that nobody has asked about does not."""
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def stop(root: pathlib.Path, unit: str) -> None:
    """End a unit as systemd does, if it runs."""
    pidfile = root / "run" / f"{unit}.pid"
    if not pidfile.exists():
        return
    pid = int(pidfile.read_text())
    pidfile.unlink()
    deadline = time.monotonic() + BOUND
    if runs(pid):
        os.kill(pid, signal.SIGTERM)
    while runs(pid):
        if time.monotonic() > deadline:
            os.kill(pid, signal.SIGKILL)
            raise AssertionError(f"{unit} did not end when told")
        time.sleep(0.1)


def main(root: str, verb: str, *words: str) -> None:
    act = {"enable": start, "start": start, "stop": stop}.get(verb)
    for unit in words:
        if act and not unit.startswith("--"):
            act(pathlib.Path(root), unit)


if __name__ == "__main__":
    main(*sys.argv[1:])
