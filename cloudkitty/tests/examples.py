# SPDX-License-Identifier: Apache-2.0
"""Runs the examples of a page of the API's reference: blocks of HTTP, requests and answers in turn.

A page is a story: its requests are sent in order to one application. What the service makes up
(ids, names) may differ from the page, everywhere in the same way, and so may instants of now. Run
as a program, it writes the answers of today into the pages that it is given:
``python -m cloudkitty.tests.examples PAGE ...``.
"""

import json
import pathlib
import re
import sys
import tempfile
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import webob.request

from cloudkitty import config
from cloudkitty.api import deploy
from cloudkitty.tests import api
from cloudkitty.tests.databases import TestServer

HOST = "rating.example.com:8889"

_BLOCK = re.compile(r"^\.\. code-block:: http\n\n((?:(?: {3}.*)?\n)+)", re.MULTILINE)
_MADE_UP = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}|\b[0-9a-f]{32}\b")
# The usage of the examples lies in the first half of 2026.
_NOW = re.compile(r"\b20(?!26-0[1-6])\d\d-\d\d-\d\dT\d\d:\d\d:\d\d\b")

_SHOWN = ("Location", "Allow", "Content-Type")


@dataclass
class Exchange:
    """A request of the page, and the place of its answer in the text."""

    request: str
    answer: str
    span: tuple[int, int]


@dataclass
class Story:
    """The names that a page has for what the service makes up, and the real ones."""

    real: dict[str, str] = field(default_factory=dict)

    def told(self, text: str) -> str:
        """Return *text* of the page with the real names."""
        return _MADE_UP.sub(lambda found: self.real.get(found[0], found[0]), text)

    def meet(self, shown: str, real: str) -> None:
        """Learn what the real names are, from an answer on the page and the real one."""
        pairs = zip(_MADE_UP.findall(shown), _MADE_UP.findall(real), strict=False)
        for ours, theirs in pairs:
            self.real.setdefault(ours, theirs)


def timeless(text: str) -> str:
    """Return *text* without instants of now."""
    return _NOW.sub("now", text)


def exchanges(text: str) -> Iterator[Exchange]:
    blocks = list(_BLOCK.finditer(text))
    for asked, answered in zip(blocks[::2], blocks[1::2], strict=True):
        request, answer = (textwrap.dedent(block[1]).strip() for block in (asked, answered))
        assert answer.startswith("HTTP/"), f"no answer, but: {answer}"
        yield Exchange(request, answer, answered.span(1))


def send(application: Any, written: str) -> str:
    """Send a request as it is written, and return the answer in that form."""
    head, _, body = written.partition("\n\n")
    first, *headers = head.splitlines()
    method, path, _ = first.split()
    request = webob.request.Request.blank(path, method=method, base_url=f"http://{HOST}")
    for header in headers:
        name, value = header.split(": ", 1)
        request.headers[name] = value
    if body:
        request.body = body.encode()
    answer = request.get_response(application)
    lines = [f"HTTP/1.1 {answer.status}"]
    lines += [f"{name}: {answer.headers[name]}" for name in _SHOWN if name in answer.headers]
    return "\n".join(lines) + (f"\n\n{pretty(answer.json)}" if answer.body else "")


def pretty(document: Any) -> str:
    """Return JSON in lines that fit a page."""
    flat = json.dumps(document)
    return flat if len(flat) <= 76 else json.dumps(document, indent=2)


def application(directory: pathlib.Path, connection: str | None = None) -> Any:
    """Return an application without authentication, with the usage of ``cloudkitty.tests.api``."""
    conf = config.load([], config_files=[])
    conf.set_override("state_path", str(directory))
    conf.set_override("auth_strategy", "noauth")
    database = TestServer("sqlite", directory).fresh(conf, directory)
    context = api.context(conf, database, directory)
    api.seed(context)
    return deploy.load(context)


def main() -> None:
    for name in sys.argv[1:]:
        page = pathlib.Path(name)
        text, story = page.read_text(), Story()
        with tempfile.TemporaryDirectory() as directory:
            served = application(pathlib.Path(directory))
            # Lengths change only behind the place that is written.
            shift = 0
            for exchange in exchanges(text):
                real = send(served, story.told(exchange.request))
                story.meet(exchange.answer, real)
                back = {theirs: ours for ours, theirs in story.real.items()}
                shown = _MADE_UP.sub(lambda found: back.get(found[0], found[0]), real)  # noqa: B023
                for made_up in _MADE_UP.findall(real):
                    if made_up not in back:
                        story.real[made_up] = made_up
                written = textwrap.indent(shown, "   ") + "\n\n"
                begin, end = (place + shift for place in exchange.span)
                text = text[:begin] + written + text[end:]
                shift += len(written) - (end - begin)
        page.write_text(text)


if __name__ == "__main__":
    main()
