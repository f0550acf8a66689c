# SPDX-License-Identifier: Apache-2.0
"""The process that runs scripts, started by ``runner``.

It never runs a script itself: for each frame it forks a process that confines itself, runs the
scripts, writes what they have left into a pipe, and is gone. So a script finds nothing of an
earlier one, and what a script does to its process harms nobody. Compiled scripts are kept here,
where no script can reach them. Ends when its standard input does: with the process that rates.
"""

import builtins
import contextlib
import decimal
import gc
import importlib
import importlib.abc
import json
import os
import pickle
import select
import signal
import sys
import time
import types
import zoneinfo
from collections.abc import Iterator, Sequence
from typing import Any, NoReturn

from cloudkitty.dataframe import DataFrame, FrameError
from cloudkitty.rating.pyscripts import wire
from cloudkitty.rating.pyscripts.sandbox import Limits, Sandbox

OFFERED = (
    *("abc", "base64", "bisect", "calendar", "collections", "collections.abc", "contextlib"),
    *("copy", "dataclasses", "datetime", "decimal", "enum", "fractions", "functools", "hashlib"),
    *("heapq", "itertools", "json", "math", "numbers", "operator", "os", "random", "re"),
    *("statistics", "string", "sys", "textwrap", "time", "types", "typing", "unicodedata"),
    *("uuid", "zoneinfo"),
)
"""Modules that a script may import."""

_UNDERNEATH = ("_strptime",)
"""Modules that those import when they are used for the first time."""

CODES_KEPT = 256
TEXT_SHOWN = 500
GRACE = 1
"""Seconds after its time that a process gets to say where it was."""


class OutOfTime(BaseException):
    """Raised where a script happens to be when its time is over."""


class Library:
    """Compiled scripts by checksum, and the time zones that they name."""

    def __init__(self) -> None:
        self._codes: dict[tuple[str, str], types.CodeType] = {}
        # Zones are files, which a script cannot open; the class finds what somebody holds.
        self._zones: dict[str, zoneinfo.ZoneInfo] = {}

    def code(self, name: str, checksum: str, source: str) -> types.CodeType:
        """:raises SyntaxError, ValueError, RecursionError, MemoryError: no script."""
        key = (name, checksum)
        if key not in self._codes:
            if len(self._codes) >= CODES_KEPT:
                self._codes.clear()
                self._zones.clear()
            code = compile(source, wire.filename(name), "exec", dont_inherit=True)
            self._find_zones(code)
            self._codes[key] = code
        return self._codes[key]

    def _find_zones(self, code: types.CodeType) -> None:
        for constant in _constants(code):
            if isinstance(constant, str) and constant[:1].isupper() and len(constant) < 50:
                with contextlib.suppress(Exception):  # most texts are no zone
                    self._zones[constant] = zoneinfo.ZoneInfo(constant)


def _constants(code: types.CodeType) -> Iterator[object]:
    waiting: list[object] = [code]
    while waiting:
        one = waiting.pop()
        if isinstance(one, types.CodeType):
            waiting.extend(one.co_consts)
        elif isinstance(one, tuple | frozenset):
            waiting.extend(one)
        else:
            yield one


class NoMore(importlib.abc.MetaPathFinder):
    """Refuses what has not been imported before."""

    def find_spec(self, fullname: str, path: object = None, target: object = None) -> NoReturn:
        raise ModuleNotFoundError(f"scripts cannot import {fullname}", name=fullname)


class Failure(Exception):
    """A script has failed; on line ``line`` of it, if that is known."""

    def __init__(self, text: str, line: int | None = None) -> None:
        super().__init__(text)
        self.line = line


def main() -> None:
    """Serve until standard input ends."""
    for name in (*OFFERED, *_UNDERNEATH):
        importlib.import_module(name)
    # The parent decides when this ends.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    library, sandbox = Library(), Sandbox()
    gc.collect()
    gc.freeze()
    while (received := wire.receive(0)) is not None:
        wire.write(1, wire.reply(attempt(*received, library, sandbox)))


def attempt(order: wire.Order, payload: bytes, library: Library, sandbox: Sandbox) -> wire.Reply:
    """Run the scripts in a process of their own and return what has become of it."""
    codes = []
    for number, (name, checksum, source) in enumerate(order.scripts, 1):
        try:
            codes.append((name, library.code(name, checksum, source)))
        except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
            content = wire.STARTED * number + _failure(_described(error, name))
            return wire.Reply(wire.Verdict.ENDED, 0, content)
    reader, sink = os.pipe()
    wire.widen(sink)
    deadline = time.monotonic() + order.limits.wall_time + GRACE
    process = os.fork()
    if process == 0:
        execute(codes, payload, order.limits, sandbox, sink)
    os.close(sink)
    try:
        verdict, content = _collect(reader, order.most, deadline)
    finally:
        os.close(reader)
        os.kill(process, signal.SIGKILL)  # not reaped yet, so this can be nobody else
        _, status = os.waitpid(process, 0)
    return wire.Reply(verdict, os.waitstatus_to_exitcode(status), content)


def _collect(reader: int, most: int, deadline: float) -> tuple[wire.Verdict, bytes]:
    """Read until the other side closes, has written too much, or is late."""
    content = bytearray()
    poll = select.poll()
    poll.register(reader, select.POLLIN)
    while True:
        left = deadline - time.monotonic()
        if left <= 0 or not poll.poll(left * 1000):
            return wire.Verdict.LATE, bytes(content)
        piece = os.read(reader, 1 << 20)
        if not piece:
            return wire.Verdict.ENDED, bytes(content)
        content += piece
        if len(content) > most:
            return wire.Verdict.TOO_MUCH, bytes(content[:TEXT_SHOWN])


def execute(
    codes: Sequence[tuple[str, types.CodeType]],
    payload: bytes,
    limits: Limits,
    sandbox: Sandbox,
    sink: int,
) -> NoReturn:
    """Run scripts in this process, which is theirs alone, and end it."""
    code = 1
    try:
        sandbox.die_with_parent()
        sys.stdin = sys.stdout = sys.stderr = None  # type: ignore[assignment]
        os.closerange(0, sink)
        os.closerange(sink + 1, os.sysconf("SC_OPEN_MAX"))
        sys.meta_path[:] = [NoMore()]
        sys.argv[:] = [""]
        _set_clocks(limits)
        sandbox.enter(limits)
        wire.write(sink, _run(codes, payload, sink))
        code = 0
    finally:
        os._exit(code)


def _set_clocks(limits: Limits) -> None:
    def out_of_time(number: int, _frame: object) -> None:
        if number == signal.SIGALRM:
            raise OutOfTime(f"not done after {limits.wall_time} s")
        raise OutOfTime(f"used more than {limits.cpu_time} s of processor time")

    signal.signal(signal.SIGXCPU, out_of_time)
    signal.signal(signal.SIGALRM, out_of_time)
    signal.setitimer(signal.ITIMER_REAL, limits.wall_time)


def _run(codes: Sequence[tuple[str, types.CodeType]], payload: bytes, sink: int) -> bytes:
    """Return what is to be written about the scripts, one after the other on the same data."""
    data = pickle.loads(payload)
    for number, (name, code) in enumerate(codes, 1):
        wire.write(sink, wire.STARTED)
        try:
            data = _left_by(code, data)
            if number == len(codes):
                return wire.RESULT + wire.encode(data)
            # The next one finds what is a frame, with amounts as amounts.
            data = DataFrame.from_dict(data).as_dict()
        except BaseException as error:  # noqa: BLE001 - a script may raise anything
            # With the error goes its traceback, and what a script has filled memory with.
            failure = _described(error, name)
        else:
            continue
        return _failure(failure)
    return wire.RESULT + wire.encode(data)


def _left_by(code: types.CodeType, data: object) -> object:
    """Return what the global ``data`` is after the script."""
    decimal.setcontext(decimal.Context(prec=28, rounding=decimal.ROUND_HALF_EVEN))
    namespace: dict[str, Any] = {"__builtins__": builtins, "__name__": "__main__", "data": data}
    exec(code, namespace)
    if "data" not in namespace:
        raise Failure("data was deleted")
    return namespace["data"]


def _described(error: BaseException, name: str) -> Failure:
    """Return the failure of the script *name* that *error* is."""
    if isinstance(error, SyntaxError) and error.filename == wire.filename(name):
        return Failure(f"{type(error).__name__}: {error.msg}", error.lineno)
    line, step = None, error.__traceback__
    while step is not None:
        if step.tb_frame.f_code.co_filename == wire.filename(name):
            line = step.tb_lineno
        step = step.tb_next
    if isinstance(error, Failure | FrameError | OutOfTime):
        return Failure(_text(error), line)
    if isinstance(error, SystemExit):
        return Failure("a script must not exit", line)
    return Failure(f"{type(error).__name__}: {_text(error)}".rstrip(": "), line)


def _text(error: BaseException) -> str:
    try:
        return str(error)
    except BaseException:  # noqa: BLE001 - the class of the error may be the script's own
        return ""


def _failure(failure: Failure) -> bytes:
    text = str(failure)[:TEXT_SHOWN]
    return wire.FAILURE + json.dumps({"text": text, "line": failure.line}).encode()
