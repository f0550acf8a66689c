# SPDX-License-Identifier: Apache-2.0
"""The rooms of the house: who may import whom, read from the source."""

import ast
import pathlib
from collections.abc import Iterator

import pytest

import cloudkitty

ROOT = pathlib.Path(cloudkitty.__file__).parent

CORE = {
    "money",
    "period",
    "dataframe",
    "scope",
    "coverage",
    "task",
    "config",
    "configfiles",
    "version",
    "plugins",
    "network",
    "i18n",
    "usagefile",
    "expression",
    "operations",
    "skipfilter",
}

BELOW = {
    "core": {"core"},
    "db": {"core"},
    "policies": {"core"},
    "rest": {"core", "db", "policies"},
    "rating": {"core", "db", "rest"},
    "source": {"core"},
    "collector": {"core", "db", "source"},
    "fetcher": {"core", "db", "source"},
    "storage": {"core", "db"},
    "importer": {"core", "db", "rating", "storage"},
    "telemetry": {"core", "db"},
    "processor": {"core", "db", "rating", "collector", "fetcher", "storage", "telemetry"},
    "doctor": {"core", "db", "source", "rating", "collector", "fetcher", "storage", "processor"},
    "api": {"core", "db", "policies", "rest", "rating", "storage", "telemetry"},
    "wsgi": {"core", "api", "cli"},
}
"""For each room those it may import from besides itself; ``cli`` and ``demo`` may use all."""

EXCEPTIONS = {
    ("api", "cloudkitty.collector.metrics"),
    # Reads the metrics file, which may name several collectors.
    ("api", "cloudkitty.collector.catalogue"),
}

PURE = (
    "money.py",
    "period.py",
    "dataframe.py",
    "scope.py",
    "coverage.py",
    "expression.py",
    "operations.py",
    "skipfilter.py",
    "importer/binary.py",
    "importer/times.py",
    "rating/*/engine.py",
    "storage/sqlalchemy/runs.py",
    "collector/*_usage.py",
    "collector/gnocchi_history.py",
)

IMPURE = ("oslo_", "sqlalchemy", "requests", "keystoneauth1", "pecan", "wsme", "time", "random")


def sources() -> list[pathlib.Path]:
    """Every file but tests and migrations; those know the tables of every room."""
    outside = {"tests", "migrations"}
    return sorted(
        path for path in ROOT.rglob("*.py") if not outside & set(path.relative_to(ROOT).parts)
    )


def room(module: str) -> str:
    first = module.split(".")[1] if "." in module else "core"
    return "core" if first in CORE else first


def imports(path: pathlib.Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                part = ROOT.parent.joinpath(*inner.split("."))
                yield inner if part.is_dir() or part.with_suffix(".py").exists() else node.module


@pytest.mark.parametrize("path", sources(), ids=lambda path: str(path.relative_to(ROOT)))
def test_a_room_knows_only_those_to_its_left(path: pathlib.Path) -> None:
    here = room(".".join(("cloudkitty", *path.relative_to(ROOT).with_suffix("").parts)))
    if here not in BELOW:
        return
    allowed = BELOW[here] | {here}
    wrong = [
        name
        for name in imports(path)
        if name.startswith("cloudkitty.")
        and room(name) not in allowed
        and (here, name) not in EXCEPTIONS
    ]
    assert not wrong


@pytest.mark.parametrize(
    "path",
    sorted(path for pattern in PURE for path in ROOT.glob(pattern)),
    ids=lambda path: str(path.relative_to(ROOT)),
)
def test_the_pure_core_does_no_io(path: pathlib.Path) -> None:
    assert not [name for name in imports(path) if name.startswith(IMPURE)]


@pytest.mark.parametrize("directory", ["api", "rest", "policies", "db", "processor", "doctor"])
def test_the_core_does_not_name_modules(directory: str) -> None:
    named = [
        path
        for path in sources()
        if path.is_relative_to(ROOT / directory)
        # The name of a table of the service that this one takes the place of.
        and "hashmap" in path.read_text().replace('"hashmap_alembic"', "")
    ]
    assert not named
