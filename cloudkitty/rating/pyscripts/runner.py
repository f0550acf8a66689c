# SPDX-License-Identifier: Apache-2.0
"""Runs scripts outside of the process that rates.

Invariants: nothing of this process is inherited but two pipes: no memory, no descriptor, no
environment; what comes back is data, checked before it is used; a process that does not answer
in time is killed with all that it has started, and another takes its place; processes are
started when they are needed, by the process that needs them, and end with it.
"""

import contextlib
import json
import os
import pathlib
import select
import signal
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Iterator, Sequence
from typing import Any

import cloudkitty
from cloudkitty.rating.pyscripts import wire
from cloudkitty.rating.pyscripts.engine import Script
from cloudkitty.rating.pyscripts.sandbox import Limits

PATIENCE = 10
"""Seconds beyond the limit in which a process may start and answer on a busy machine."""

LEAST_REPLY = 4 * 2**20
GROWTH = 16
"""A script may leave data of that many bytes, or that many times the size of what it was given."""

_FLAGS = ("-P", "-s", "-S", "-W", "ignore")
"""Nothing from the working directory, no site packages but those of this process, no warnings."""

_BOOT = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[1]); "
    "from cloudkitty.rating.pyscripts import child; child.main()"
)


class ScriptFailed(Exception):
    """A script could not be run to its end; the message names it, and the line if there is one."""


class _Gone(Exception):
    """The process has ended, or must."""


class Runner:
    """Hands data to scripts. May be shared by threads, and be made before a fork."""

    def __init__(self, limits: Limits, workers: int) -> None:
        self._limits = limits
        self._workers = workers
        self._pool = _Pool(workers)
        self._lock = threading.Lock()

    def run(self, scripts: Sequence[Script], data: object) -> Any:
        """Return what *scripts*, one after the other, have made of *data*: any data at all.

        :raises ScriptFailed: one of them has failed; nothing else is affected.
        """
        given = wire.given(data)
        most = max(LEAST_REPLY, GROWTH * len(given))
        sources = [(script.name, script.checksum, script.source) for script in scripts]
        request = wire.request(wire.Order(sources, self._limits, most), given)
        with self._own_pool().child() as child:
            try:
                reply = child.ask(request, most, self._limits.wall_time + PATIENCE)
                return _result(reply, scripts, self._limits)
            except (_Gone, ValueError) as error:
                raise ScriptFailed(f"scripts could not be run: {error}") from error

    def close(self) -> None:
        """End the processes; they start again when there is something to run."""
        self._own_pool().close()

    def _own_pool(self) -> "_Pool":
        if self._pool.owner != os.getpid():
            with self._lock:
                if self._pool.owner != os.getpid():
                    self._pool = _Pool(self._workers)
        return self._pool


def _result(reply: wire.Reply, scripts: Sequence[Script], limits: Limits) -> Any:
    """Return the data that the scripts have left.

    :raises ScriptFailed: they have left none.
    :raises ValueError: the reply is none of ours.
    """
    begun = len(reply.content) - len(reply.content.lstrip(wire.STARTED))
    name = scripts[min(max(begun, 1), len(scripts)) - 1].name
    kind, content = reply.content[begun : begun + 1], reply.content[begun + 1 :]
    if reply.verdict is wire.Verdict.LATE:
        raise ScriptFailed(f"script {name}: not done after {limits.wall_time} s")
    if reply.verdict is wire.Verdict.TOO_MUCH:
        raise ScriptFailed(f"script {name}: left too much data")
    if kind == wire.FAILURE:
        raise ScriptFailed(_failure(name, json.loads(content)))
    if kind != wire.RESULT or reply.code != 0:
        raise ScriptFailed(f"script {name}: its process {_end(reply.code)}")
    try:
        return wire.decode(content)
    except ValueError as error:
        raise ScriptFailed(f"script {name}: what it left cannot be read: {error}") from error


def _failure(name: str, told: Any) -> str:
    if not isinstance(told, dict):
        raise ValueError("a failure that is none")
    line = f", line {told['line']}" if isinstance(told.get("line"), int) else ""
    return f"script {name}{line}: {told.get('text')}"


def _end(code: int) -> str:
    if code == -signal.SIGKILL:
        return "was killed: it did not heed the limits of time or memory"
    if code < 0:
        return f"was ended by signal {-code}"
    return "ended before the script did"


class _Pool:
    """The processes of one process, started when they are first needed."""

    def __init__(self, size: int) -> None:
        self.owner = os.getpid()
        self._slots = threading.BoundedSemaphore(size)
        self._lock = threading.Lock()
        self._idle: list[_Child] = []
        self._finalize = weakref.finalize(self, _close, self._idle, self.owner)

    @contextlib.contextmanager
    def child(self) -> "Iterator[_Child]":
        """Enter with a process for oneself; if it does not answer well it is ended."""
        with self._slots:
            child = self._take()
            try:
                yield child
            finally:
                if child.usable:
                    self._idle.append(child)
                else:
                    child.kill()

    def _take(self) -> "_Child":
        with self._lock:
            while self._idle:
                child = self._idle.pop()
                if child.alive():
                    return child
                child.kill()
        return _Child()

    def close(self) -> None:
        _close(self._idle, self.owner)


def _close(children: "list[_Child]", owner: int) -> None:
    """End *children*, which must not keep a pool alive; none of our business after a fork."""
    while children and owner == os.getpid():
        children.pop().kill()


class _Child:
    """A process that runs scripts."""

    def __init__(self) -> None:
        # Its standard error is ours: it is our code that writes there, scripts cannot.
        self._process = subprocess.Popen(
            [_interpreter(), *_FLAGS, "-c", _BOOT, json.dumps(_path())],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            bufsize=0,
            cwd="/",
            env=_environment(),
            close_fds=True,
            start_new_session=True,
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._sink = self._process.stdin.fileno()
        self._source = self._process.stdout.fileno()
        for descriptor in (self._sink, self._source):
            os.set_blocking(descriptor, False)
            wire.widen(descriptor)
        self.usable = True
        """Whether it waits for a request."""

    def alive(self) -> bool:
        return self._process.poll() is None

    def ask(self, request: bytes, most: int, seconds: float) -> wire.Reply:
        """Send a request and return the reply, of *most* bytes at the most.

        :raises _Gone: there is none.
        :raises ValueError: it is none.
        """
        self.usable = False
        deadline = time.monotonic() + seconds
        try:
            self._send(request, deadline)
            header = self._receive(wire.REPLY_HEADER, deadline)
            length = wire.reply_length(header)
            if length > most:
                raise _Gone("their process answers too much")
            content = self._receive(length, deadline)
        except OSError as error:
            raise _Gone(str(error)) from error
        reply = wire.read_reply(header, content)
        self.usable = True
        return reply

    def _send(self, request: bytes, deadline: float) -> None:
        left = memoryview(request)
        while left:
            self._wait(self._sink, select.POLLOUT, deadline)
            left = left[os.write(self._sink, left) :]

    def _receive(self, length: int, deadline: float) -> bytes:
        read = bytearray()
        while len(read) < length:
            self._wait(self._source, select.POLLIN, deadline)
            piece = os.read(self._source, min(length - len(read), 1 << 20))
            if not piece:
                raise _Gone("their process has ended")
            read += piece
        return bytes(read)

    @staticmethod
    def _wait(descriptor: int, event: int, deadline: float) -> None:
        poll = select.poll()
        poll.register(descriptor, event)
        left = deadline - time.monotonic()
        if left <= 0 or not poll.poll(left * 1000):
            raise _Gone("their process does not answer")

    def kill(self) -> None:
        """End the process and all that it has started."""
        if self.alive():
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            pipe.close()


def _interpreter() -> str:
    """Return the path of Python itself, which inside of a web server need not be what runs."""
    name = pathlib.Path(sys.executable).name
    if name.startswith("python"):
        return sys.executable
    return str(pathlib.Path(sys.exec_prefix) / "bin" / "python3")


def _path() -> list[str]:
    """Return where a process that inherits nothing finds this package and what it needs."""
    root = str(pathlib.Path(cloudkitty.__file__).parent.parent)
    return [root, *(place for place in sys.path if place and place != root)]


def _environment() -> dict[str, str]:
    """Return the environment of such a process: no secret, and the same order of sets whenever
    the same frame is rated."""
    kept = {name: os.environ[name] for name in ("LD_LIBRARY_PATH",) if name in os.environ}
    return {"LC_ALL": "C.UTF-8", "PYTHONHASHSEED": "0", **kept}
