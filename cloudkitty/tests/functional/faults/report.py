# SPDX-License-Identifier: Apache-2.0
"""The table of the fault matrix, which a run of the tests prints at its end.

``python -m cloudkitty.tests.functional.faults.report PAGE [JUNIT-XML ...]`` runs the matrix and
writes the table into a page of the documentation.

With files of results (``pytest --junitxml``), these are taken and nothing is run; a fault that was
tried again has the results of the last file that knows it.
"""

import json
import pathlib
import re
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Sequence
from typing import Any
from xml.etree import ElementTree

import pytest

MARKS = re.compile(r"(?<=\.\. faults: begin\n\n).*?(?=\n\.\. faults: end\n)", re.DOTALL)

NAMES = {"sqlite": "SQLite", "mysql": "MariaDB", "postgresql": "PostgreSQL"}

HEADER = ("Fault", "Database", "Runs", "Lost", "Doubled", "Different", "Seconds")

Result = dict[str, Any]


def results(path: pathlib.Path) -> list[Result]:
    """Return what each test has told of its fault."""
    return [
        json.loads(one.attrib["value"])
        for one in ElementTree.parse(path).iter("property")
        if one.attrib["name"] == "fault"
    ]


def told(reporter: pytest.TerminalReporter) -> list[Result]:
    """Return what each test of this run has told of its fault."""
    return [
        json.loads(value)
        for outcome in ("passed", "failed")
        for done in reporter.getreports(outcome)
        if done.when == "call"
        for name, value in done.user_properties
        if name == "fault"
    ]


def rows(found: list[Result]) -> list[tuple[str, ...]]:
    """Return one row for each fault on each database, in the order in which they came."""
    groups: dict[tuple[str, str], list[Result]] = defaultdict(list)
    for one in sorted(found, key=lambda one: one["fault"]):
        groups[one["fault"], one["database"]].append(one)
    return [
        (
            fault,
            NAMES[database],
            str(len(many)),
            *(str(sum(one[what] for one in many)) for what in ("lost", "doubled", "different")),
            f"{max(one['seconds'] for one in many):.1f}",
        )
        for (fault, database), many in groups.items()
    ]


def table(found: list[Result]) -> str:
    """Return the results as a simple table."""
    lines = [HEADER, *rows(found)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(HEADER))]
    rule = "  ".join("=" * width for width in widths)
    texts = ["  ".join(map(str.ljust, line, widths)).rstrip() for line in lines]
    return "\n".join([rule, texts[0], rule, *texts[1:], rule]) + "\n"


def _run(path: pathlib.Path) -> None:
    directory = str(pathlib.Path(__file__).parent)
    # The table also tells of tests that fail.
    subprocess.run(
        [sys.executable, "-m", "pytest", "-q", directory, f"--junitxml={path}"], check=False
    )


def newest(files: Sequence[pathlib.Path]) -> list[Result]:
    """Return the results of all files."""
    found: list[Result] = []
    for file in files:
        again = results(file)
        faults = {(one["fault"], one["database"]) for one in again}
        found = [one for one in found if (one["fault"], one["database"]) not in faults] + again
    return found


def main(page: str, *files: str) -> None:
    """Write the table into the page."""
    with tempfile.TemporaryDirectory() as directory:
        paths = [pathlib.Path(file) for file in files]
        if not paths:
            paths = [pathlib.Path(directory) / "results.xml"]
            _run(paths[0])
        text = table(newest(paths))
    file = pathlib.Path(page)
    file.write_text(MARKS.sub(lambda _old: text, file.read_text()))


if __name__ == "__main__":
    main(*sys.argv[1:])
