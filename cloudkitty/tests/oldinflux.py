# SPDX-License-Identifier: Apache-2.0
"""A database in InfluxDB as the service that this one takes the place of fills it, on the server
that ``CLOUDKITTY_TEST_INFLUXDB`` names (version 1, such as ``http://127.0.0.1:8086``).

The layout is written down here once more, and not taken from the importer: what reads it is under
test.
"""

import datetime
import os
import uuid
from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests

from cloudkitty.tests import oldservice
from cloudkitty.tests.oldservice import RatedRow

VARIABLE = "CLOUDKITTY_TEST_INFLUXDB"

GROUPBY = ("id", "project_id", *oldservice.calendar(oldservice.BEGIN))
"""What the points of the tests are grouped by; all else is metadata."""

SECONDS = 3600


class OldInflux:
    """One freshly made database."""

    def __init__(self, server: str) -> None:
        self.server = server
        self.name = f"cloudkitty_old_{uuid.uuid4().hex[:12]}"
        self.query(f'CREATE DATABASE "{self.name}"')

    @classmethod
    def for_tests(cls) -> "OldInflux":
        server = os.environ.get(VARIABLE)
        if not server:
            pytest.skip(f"no InfluxDB: {VARIABLE} is not set")
        return cls(server)

    @property
    def url(self) -> str:
        return f"influxdb://{urlsplit(self.server).netloc}/{self.name}"

    def drop(self) -> None:
        self.query(f'DROP DATABASE "{self.name}"')

    def query(self, statement: str) -> Any:
        answer = requests.post(
            f"{self.server}/query", {"db": self.name, "q": statement, "epoch": "s"}, timeout=60
        )
        answer.raise_for_status()
        return answer.json()["results"]

    def write(self, *lines: str) -> None:
        """Store lines of the line protocol, with times in seconds."""
        answer = requests.post(
            f"{self.server}/write",
            "\n".join(lines).encode(),
            params={"db": self.name, "precision": "s"},
            timeout=60,
        )
        assert answer.status_code == 204, answer.text

    def add(self, rows: Iterable[RatedRow], groupby: Sequence[str] = GROUPBY) -> None:
        """Store rated rows as points."""
        lines = [line(row, groupby) for row in rows]
        for first in range(0, len(lines), 5000):
            self.write(*lines[first : first + 5000])

    def content(self) -> Any:
        """All that the database holds."""
        return self.query("SELECT * FROM dataframes")


def line(row: RatedRow, groupby: Sequence[str] = GROUPBY) -> str:
    """Return a rated row as the old service writes it: quantity and price as binary fractions,
    attributes that are empty left out but for their names."""
    grouped = {name: value for name, value in row.desc.items() if name in groupby}
    metadata = {name: value for name, value in row.desc.items() if name not in groupby}
    tags = {"type": row.res_type, **grouped}
    fields = {
        **metadata,
        "qty": float(row.qty),
        "price": float(row.rate),
        "unit": row.unit,
        "description": "",
        "groupby": "|".join(grouped),
        "metadata": "|".join(metadata),
        "__ck_collect_period": int((row.end - row.begin).total_seconds()),
    }
    begin = int(row.begin.replace(tzinfo=datetime.UTC).timestamp())
    return f"dataframes,{_tags(tags)} {_fields(fields)} {begin}"


def _escaped(text: str) -> str:
    for mark in "\\", ",", "=", " ":
        text = text.replace(mark, f"\\{mark}")
    return text


def _tags(tags: Mapping[str, Any]) -> str:
    return ",".join(
        f"{_escaped(name)}={_escaped(str(value))}" for name, value in tags.items() if value
    )


def _fields(fields: Mapping[str, Any]) -> str:
    return ",".join(
        f"{_escaped(name)}={_value(value)}" for name, value in fields.items() if value is not None
    )


def _value(value: Any) -> str:
    match value:
        case str():
            escaped = value.replace("\\", "\\\\").replace('"', '\\"')
            return f'"{escaped}"'
        case bool():
            return str(value).lower()
        case int():
            return f"{value}i"
        case float():
            return repr(value)
    raise TypeError(value)
