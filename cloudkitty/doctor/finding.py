# SPDX-License-Identifier: Apache-2.0
"""What a check has found: how bad it is, of what, and a sentence that says what would be right.

Invariants: pure; a finding is one line of text, and holds no password.
"""

import enum
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any


class Level(enum.IntEnum):
    """How bad a finding is; also the exit code of a command that has found nothing worse."""

    OK = 0
    WARNING = 1
    ERROR = 2


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the result."""

    level: Level
    subject: str
    text: str

    def __str__(self) -> str:
        return f"{self.level.name.lower():<7}  {self.subject}: {_line(self.text)}"

    def as_dict(self) -> dict[str, str]:
        return {
            "level": self.level.name.lower(),
            "subject": self.subject,
            "text": _line(self.text),
        }


def ok(subject: str, text: str) -> Finding:
    """All is as it should be."""
    return Finding(Level.OK, subject, text)


def warning(subject: str, text: str) -> Finding:
    """Usage may be missing from bills, or be priced otherwise than was meant."""
    return Finding(Level.WARNING, subject, text)


def error(subject: str, text: str) -> Finding:
    """Something does not work."""
    return Finding(Level.ERROR, subject, text)


def worst(findings: Iterable[Finding]) -> Level:
    return max((finding.level for finding in findings), default=Level.OK)


def shown(findings: Iterable[Finding], *, everything: bool) -> list[Finding]:
    """Return the findings to show, worst first, else in the order of the checks."""
    wanted = [one for one in findings if everything or one.level is not Level.OK]
    return sorted(wanted, key=lambda one: -one.level)


def summary(findings: Sequence[Finding]) -> str:
    """Return the last line: how many findings of each level there are."""
    errors, warnings, fine = _counts(findings)
    return f"{many(errors, 'error')}, {many(warnings, 'warning')}, {many(fine, 'check')} fine"


def as_data(findings: Sequence[Finding], *, everything: bool) -> dict[str, Any]:
    """Return the result for programs."""
    errors, warnings, fine = _counts(findings)
    return {
        "errors": errors,
        "warnings": warnings,
        "ok": fine,
        "findings": [one.as_dict() for one in shown(findings, everything=everything)],
    }


def named(names: Sequence[str], most: int = 3) -> str:
    """Return the first few names as text."""
    more = len(names) - most
    return ", ".join(names[:most]) + (f" and {more} more" if more > 0 else "")


def many(count: int, noun: str) -> str:
    """Return a number with its noun."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def _counts(findings: Sequence[Finding]) -> tuple[int, int, int]:
    levels = [finding.level for finding in findings]
    return levels.count(Level.ERROR), levels.count(Level.WARNING), levels.count(Level.OK)


def _line(text: str) -> str:
    return " ".join(text.split())
