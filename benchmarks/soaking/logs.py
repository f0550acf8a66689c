# SPDX-License-Identifier: Apache-2.0
"""Reads the errors in a log, and tells those that a flap of the source has to cause from others."""

import datetime
import pathlib
import re
from collections.abc import Sequence
from typing import NamedTuple

from soaking.flaps import Flap

_LINE = re.compile(
    r"(?P<at>\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3}) \d+ (?P<level>[A-Z]+) (?P<said>.*)"
)

_OF_SOURCE = ("metric ", "the list of scopes could not be fetched")

AFTERWARDS = 10
"""Seconds after a flap in which answers still fail that were asked for in it."""


TRACEBACK = 80
"""Lines of a traceback that are shown."""


class Errors(NamedTuple):
    """How many lines flaps had to cause, and the others."""

    of_flaps: int
    others: list[str]


def errors(path: pathlib.Path, planned: Sequence[Flap]) -> Errors:
    """Return the errors in a log; a traceback is one, whoever wrote it."""
    of_flaps, others = 0, []
    lines = path.read_text().splitlines()
    for number, line in enumerate(lines):
        found = _LINE.match(line)
        if found and found["level"] in ("ERROR", "CRITICAL"):
            at = datetime.datetime.fromisoformat(found["at"]).timestamp()
            in_flap = any(flap.begin <= at < flap.end + AFTERWARDS for flap in planned)
            if in_flap and any(text in found["said"] for text in _OF_SOURCE):
                of_flaps += 1
            else:
                others.append(line)
        elif "Traceback" in line:
            others.append(" | ".join(map(str.strip, lines[number : number + TRACEBACK])))
    return Errors(of_flaps, others)
