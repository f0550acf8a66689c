# SPDX-License-Identifier: Apache-2.0
"""Answers that are written while they are read from the store.

Invariant: what an answer reads from is closed with it, whether it was sent as a whole, in part or
not at all.
"""

import contextlib
from collections.abc import Iterable, Iterator
from typing import Any, Generic, TypeVar

import webob

CHUNK = 64 * 1024
"""About how many characters are sent together."""


Form = TypeVar("Form")


class Streamed(webob.Response, Generic[Form]):
    """An answer whose JSON has the form that its type names."""


def streamed(
    pieces: Iterable[str], content_type: str, stack: contextlib.ExitStack | None = None
) -> Streamed[Any]:
    """Return an answer of these pieces of text; *stack* is closed after the last of them."""
    body = _Body(pieces, stack or contextlib.ExitStack())
    charset = "utf-8" if content_type.startswith("text/") else None
    return Streamed(app_iter=body, content_type=content_type, charset=charset)


def complete(text: str, content_type: str) -> Streamed[Any]:
    """Return an answer of this text, with its length."""
    return Streamed(text.encode(), content_type=content_type, charset=None)


class _Body:
    """An iterable for a WSGI server, which closes it."""

    def __init__(self, pieces: Iterable[str], stack: contextlib.ExitStack) -> None:
        self._pieces = pieces
        self._stack = stack

    def __iter__(self) -> Iterator[bytes]:
        with self._stack:
            gathered: list[str] = []
            size = 0
            for piece in self._pieces:
                gathered.append(piece)
                size += len(piece)
                if size >= CHUNK:
                    yield "".join(gathered).encode()
                    gathered, size = [], 0
            if gathered:
                yield "".join(gathered).encode()

    def close(self) -> None:
        self._stack.close()
