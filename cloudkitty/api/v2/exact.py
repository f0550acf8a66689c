# SPDX-License-Identifier: Apache-2.0
"""JSON and CSV with exact numbers.

Invariant: a Decimal is written as its own digits, and never passes through binary floating point;
an instant is ISO 8601 text with an offset.
"""

import csv
import datetime
import io
import json
from collections.abc import Iterable, Iterator, Sequence
from decimal import Decimal
from typing import Any

from cloudkitty import money


def dumps(value: Any) -> str:
    """Return JSON text."""
    if isinstance(value, Decimal):
        return money.digits(value)
    if isinstance(value, datetime.datetime):
        return f'"{value.isoformat()}"'
    if isinstance(value, dict):
        members = [f"{json.dumps(key)}: {dumps(member)}" for key, member in value.items()]
        return "{" + ", ".join(members) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join([dumps(item) for item in value]) + "]"
    return json.dumps(value)


def csv_lines(header: Sequence[str], rows: Iterable[Sequence[Any]]) -> Iterator[str]:
    """Yield the lines of a CSV text (RFC 4180); what is neither a text, an amount nor an instant
    is written as JSON."""
    line = io.StringIO()
    writer = csv.writer(line)
    writer.writerow(header)
    for row in rows:
        yield line.getvalue()
        line.seek(0)
        line.truncate()
        writer.writerow([_cell(value) for value in row])
    yield line.getvalue()


def _cell(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, datetime.datetime):
        return value.isoformat()
    return dumps(value)
