# SPDX-License-Identifier: Apache-2.0
"""The commands as operators start them: each run is a process of its own, on a configuration file.

Every wait is bounded, and what a test starts ends with it.
"""

import contextlib
import importlib
import logging
import multiprocessing
import os
import pathlib
import secrets
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

import cloudkitty

ROOT = pathlib.Path(cloudkitty.__file__).parent.parent

BOUND = 120
"""Seconds after which whatever is waited for has failed."""

Sections = Mapping[str, Mapping[str, object]]


class Done(NamedTuple):
    """How a command has ended, and what it said."""

    code: int | None
    out: str
    err: str


def write_configuration(path: pathlib.Path, *sections: Sections) -> pathlib.Path:
    """Write a configuration file; options of later *sections* replace those of earlier ones, and
    an option of ``None`` is left out."""
    merged: dict[str, dict[str, object]] = {}
    for one in sections:
        for group, options in one.items():
            merged.setdefault(group, {}).update(options)
    lines = []
    for group, options in merged.items():
        lines.append(f"[{group}]")
        lines += [f"{name} = {value}" for name, value in options.items() if value is not None]
    path.write_text("\n".join(lines) + "\n")
    return path


def line(name: str, config: pathlib.Path, *args: str) -> list[str]:
    """The command line of ``cloudkitty.cli.<name>``."""
    return [*_python(name), "--config-file", str(config), *args]


def _python(name: str) -> list[str]:
    return [sys.executable, "-m", f"cloudkitty.cli.{name}"]


def run(name: str, config: pathlib.Path, *args: str) -> Done:
    """Run a command that ends by itself."""
    return run_bare(name, "--config-file", str(config), *args)


def run_bare(name: str, *args: str) -> Done:
    """As ``run``, with nothing but these arguments."""
    done = subprocess.run(
        [*_python(name), *args],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=BOUND,
        check=False,
    )
    return Done(done.returncode, done.stdout, done.stderr)


def run_warm(name: str, config: pathlib.Path, *args: str) -> Done:
    """As ``run``, in a fork of this process: what is imported already is not imported again, so
    that many runs take little time."""
    argv = [f"cloudkitty-{name}", "--config-file", str(config), *args]
    return fork(importlib.import_module(f"cloudkitty.cli.{name}").main, argv)


def fork(main: Callable[[], int | None], argv: list[str]) -> Done:
    """Run a command's entry point with these arguments in a fork of this process."""
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        process = multiprocessing.get_context("fork").Process(
            target=become, args=(main, argv, out.fileno(), err.fileno())
        )
        process.start()
        process.join(BOUND)
        if process.exitcode is None:
            process.kill()
            process.join()
        said = []
        for stream in (out, err):
            stream.seek(0)
            said.append(stream.read().decode())
    return Done(process.exitcode, *said)


def become(main: Callable[[], int | None], argv: list[str], out: int, err: int) -> None:
    """Make a fork of this process a command: its entry point, with these files as output."""
    os.dup2(out, 1)
    os.dup2(err, 2)
    sys.stdout, sys.stderr = os.fdopen(1, "w"), os.fdopen(2, "w")
    # As in a new process: handlers of the tests write to streams that are closed by now.
    for logger in [logging.root, *map(logging.getLogger, logging.root.manager.loggerDict)]:
        logger.handlers.clear()
        logger.setLevel(logging.NOTSET)
    logging.root.setLevel(logging.WARNING)
    sys.argv = argv
    sys.exit(main())


@contextlib.contextmanager
def daemon(config: pathlib.Path, log: pathlib.Path) -> "Iterator[subprocess.Popen[bytes]]":
    """Run ``cloudkitty-processor`` while the context lasts; its output goes to *log*."""
    with open(log, "wb") as output:
        process = subprocess.Popen(
            line("processor", config), cwd=ROOT, stdout=output, stderr=subprocess.STDOUT
        )
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(BOUND)
        except subprocess.TimeoutExpired:
            for pid in (*children(process.pid), process.pid):
                os.kill(pid, 9)
            process.wait()
            raise


def free_port() -> int:
    """A port of loopback on which nobody listens. It is none of those that the system gives to
    connections, which are many here: nobody takes it before the server that it is for."""
    for _ in range(100):
        port = 10_000 + secrets.randbelow(20_000)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise AssertionError("no port is free")


def stop(process: "subprocess.Popen[bytes]", seconds: float = BOUND) -> int:
    """Tell a daemon to end, and return its exit code."""
    process.terminate()
    return process.wait(seconds)


def children(pid: int) -> list[int]:
    """The processes that a process has started and that live."""
    return [
        int(child)
        for task in pathlib.Path(f"/proc/{pid}/task").iterdir()
        for child in (task / "children").read_text().split()
    ]


def wait_until(condition: Callable[[], bool], what: str, log: pathlib.Path) -> None:
    """Wait until *condition* holds; *log* is shown when it does not come about."""
    deadline = time.monotonic() + BOUND
    while not condition():
        assert time.monotonic() < deadline, f"not within {BOUND} s: {what}\n{log.read_text()}"
        time.sleep(0.02)
