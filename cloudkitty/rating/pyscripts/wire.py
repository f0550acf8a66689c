# SPDX-License-Identifier: Apache-2.0
"""What goes between the process that rates and the one that runs scripts.

Invariants: what comes back is read as data and nothing else, whoever has written it; a Decimal
keeps every digit, an instant its zone, a float its shortest text. Needs nothing but the standard
library.
"""

import contextlib
import datetime
import enum
import fcntl
import json
import os
import pickle
import re
import struct
from collections.abc import Mapping, Sequence
from decimal import Context, Decimal
from fractions import Fraction
from typing import Any, NamedTuple

from cloudkitty.rating.pyscripts.sandbox import Limits

_REQUEST = struct.Struct(">II")
_REPLY = struct.Struct(">BiI")

REPLY_HEADER = _REPLY.size

STARTED = b"."
RESULT = b"="
FAILURE = b"!"
"""A result begins with one STARTED for each script that was begun; then come the data that the
last one has left, or a failure."""

_DECIMAL, _INSTANT = "$decimal", "$instant"

_NO_TEXT = re.compile(rb"(?<!\\)(?:\\\\)*\\u(?:[dD][89a-fA-F]|0000)")
"""Escapes of halves of characters and of the null character, which no database keeps."""


class Order(NamedTuple):
    """What is to be run: pairs of name, checksum and source in order, the limits, and the most
    bytes that may come back."""

    scripts: Sequence[tuple[str, str, str]]
    limits: Limits
    most: int


class Verdict(enum.IntEnum):
    """How a run came to its end."""

    ENDED = 0
    LATE = 1
    TOO_MUCH = 2


class Reply(NamedTuple):
    """What has become of a run: exit code (a signal as a negative number), and what it wrote."""

    verdict: Verdict
    code: int
    content: bytes


def filename(name: str) -> str:
    """What tracebacks call the file of a script."""
    return f"<PyScripts: {name}>"


def given(data: object) -> bytes:
    """Return *data* as a script is given it; only ever read by a process that we have started."""
    return pickle.dumps(data, protocol=pickle.HIGHEST_PROTOCOL)


def request(order: Order, data: bytes) -> bytes:
    """Return the bytes of a request; *data* is what ``given`` returned."""
    head = pickle.dumps(tuple(order), protocol=pickle.HIGHEST_PROTOCOL)
    return _REQUEST.pack(len(head), len(data)) + head + data


def receive(source: int) -> tuple[Order, bytes] | None:
    """Read a request and return it, the data as ``given`` returned them; ``None`` when there is no
    more."""
    lengths = _exactly(source, _REQUEST.size)
    if lengths is None:
        return None
    head_length, body_length = _REQUEST.unpack(lengths)
    head, body = _exactly(source, head_length), _exactly(source, body_length)
    if head is None or body is None:
        return None
    scripts, limits, most = pickle.loads(head)
    return Order(scripts, Limits(*limits), most), body


def _exactly(source: int, length: int) -> bytes | None:
    read = bytearray()
    while len(read) < length:
        piece = os.read(source, min(length - len(read), 1 << 20))
        if not piece:
            return None
        read += piece
    return bytes(read)


def widen(pipe: int) -> None:
    """Let a pipe hold a frame of usual size, so that its two ends need not take turns."""
    if hasattr(fcntl, "F_SETPIPE_SZ"):
        with contextlib.suppress(OSError):  # the system's limit for its pipes is reached
            fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, 1 << 20)


def write(sink: int, content: bytes) -> None:
    """Write all of *content*."""
    left = memoryview(content)
    while left:
        left = left[os.write(sink, left) :]


def reply(answer: Reply) -> bytes:
    """Return the bytes of a reply."""
    return _REPLY.pack(answer.verdict, answer.code, len(answer.content)) + answer.content


def reply_length(header: bytes) -> int:
    """Return how many bytes follow the header of a reply."""
    length: int = _REPLY.unpack(header)[2]
    return length


def read_reply(header: bytes, content: bytes) -> Reply:
    """:raises ValueError: the header is not one."""
    verdict, code, _ = _REPLY.unpack(header)
    return Reply(Verdict(verdict), code, content)


def encode(data: object) -> bytes:
    """Return *data*, as a script has left it, as JSON.

    :raises TypeError, ValueError: something in it has no such form.
    """
    return json.dumps(data, default=_plain, ensure_ascii=False, separators=(",", ":")).encode()


def _plain(value: object) -> object:
    if isinstance(value, Decimal):
        return {_DECIMAL: str(value)}
    if isinstance(value, datetime.datetime):
        return {_INSTANT: value.isoformat()}
    if isinstance(value, Fraction):
        digits = Context(prec=28)
        return _plain(digits.divide(Decimal(value.numerator), Decimal(value.denominator)))
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"a {type(value).__name__} cannot be part of data: {value!r:.100}")


def decode(written: bytes) -> Any:
    """Return what ``encode`` was given. *written* need not be its work.

    :raises ValueError: it is nothing that ``encode`` returns.
    """
    if b"\\u" in written and _NO_TEXT.search(written):
        raise ValueError("a text has a character that cannot be kept")
    try:
        return json.loads(written.decode(), object_hook=_tagged)
    except (ArithmeticError, TypeError, RecursionError) as error:
        raise ValueError(f"{type(error).__name__}: {error}") from None


def _tagged(pairs: dict[str, Any]) -> Any:
    if len(pairs) == 1:
        if _DECIMAL in pairs:
            return Decimal(pairs[_DECIMAL])
        if _INSTANT in pairs:
            return datetime.datetime.fromisoformat(pairs[_INSTANT])
    return pairs
