# SPDX-License-Identifier: Apache-2.0
"""Scripts as the store takes and gives them, and what a script must be to be taken.

Invariants: ids are UUID texts; a source compiles, and its checksum is the SHA-512 of its UTF-8.
"""

import datetime
import hashlib
from dataclasses import dataclass

from cloudkitty.i18n import _
from cloudkitty.rating.dated import DatedRule, too_long
from cloudkitty.rating.errors import Invalid
from cloudkitty.rating.pyscripts.wire import filename

SOURCE_LENGTH = 2**20
"""Most characters of a script."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NewScript:
    """What a caller says about a script to be created; ``start`` of ``None`` means now."""

    name: str
    data: str
    description: str | None = None
    start: datetime.datetime | None = None
    end: datetime.datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ScriptRecord(DatedRule):
    """A script; ``data`` is its source, ``None`` where it was not asked for."""

    script_id: str
    data: str | None
    checksum: str


def checksum(source: str) -> str:
    """Return the hexadecimal SHA-512 of a source."""
    return hashlib.sha512(source.encode()).hexdigest()


def check_source(name: str, source: str) -> None:
    """Make sure that a source can be run.

    :raises Invalid: it does not compile, or is too long; the message names the line.
    """
    if len(source) > SOURCE_LENGTH:
        raise too_long("data", source, SOURCE_LENGTH)
    try:
        compile(source, filename(name), "exec", dont_inherit=True)
    except SyntaxError as error:
        line = f"line {error.lineno}: " if error.lineno else ""
        raise _does_not_compile(name, f"{line}{error.msg}") from None
    except (ValueError, RecursionError, MemoryError, OverflowError) as error:
        problem = str(error) or "it is too deeply nested"
        raise _does_not_compile(name, problem) from None


def _does_not_compile(name: str, problem: str) -> Invalid:
    return Invalid(_("Script {name} does not compile: {problem}"), name=name, problem=problem)
