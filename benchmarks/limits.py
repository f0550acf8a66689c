# SPDX-License-Identifier: Apache-2.0
"""What this machine could do at best: rows into the database, JSON, decimal arithmetic.

``python benchmarks/limits.py [--database URL]``: beside these the other figures are read.
"""

import argparse
import json
import operator
from collections.abc import Callable
from decimal import Decimal

import common
import sqlalchemy as sa

from cloudkitty.storage.sqlalchemy import bulk, models, statements

ROWS = 50_000
NUMBERS = 200_000

TARGETS = {
    "rows inserted": {"sqlite": 525_000, "mysql": 129_000, "postgresql": 512_000},
    "JSON objects of 200 bytes decoded": 457_000,
    "Decimals multiplied": 29_000_000,
    "Decimals from text": 9_400_000,
}
"""What a machine with two cores does a second."""


def best(count: int, call: Callable[[], object], repeat: int = 5) -> float:
    """Return how many a second, at best: a limit is what nothing else disturbs."""
    return count / min(common.seconds(call) for _ in range(repeat))


def inserted(url: str | None) -> None:
    with common.fresh_database(url) as (_conf, database):
        begin = 0

        def insert() -> None:
            nonlocal begin
            begin += 3600
            rows = [(key, begin, 3600, models.OPEN, "1", "0.0437") for key in range(ROWS)]
            with database.writer() as connection:
                bulk.insert(connection, models.runs, statements.RUN_COLUMNS, rows)

        figure = best(ROWS, insert, 3)
        with database.reader() as connection:
            found = connection.scalar(sa.select(sa.func.count()).select_from(models.runs))
        if found != 3 * ROWS:
            raise SystemExit(f"wrong: {found} rows")
        name = "rows inserted"
        target = TARGETS[name][database.dialect]  # type: ignore[index]
        common.report(name, figure, "rows/s", target, database=database.dialect)


def decoded() -> None:
    form = {
        "id": "0" * 36,
        "project_id": "0" * 32,
        "flavor": "m1.small",
        "zone": "zone-1",
        "value": "1",
    }
    text = json.dumps(
        form | {"user_id": "0" * (200 - len(json.dumps(form)) - len(', "user_id": ""'))}
    )
    if len(text) != 200:
        raise SystemExit(f"wrong: {len(text)} bytes")
    count = NUMBERS // 4
    figure = best(count, lambda: [json.loads(text) for _ in range(count)])
    name = "JSON objects of 200 bytes decoded"
    common.report(name, figure, "objects/s", float(TARGETS[name]))  # type: ignore[arg-type]


def arithmetic() -> None:
    one = [Decimal(number) for number in range(NUMBERS)]
    other = [Decimal("0.0437")] * NUMBERS
    texts = [str(number / 8) for number in range(NUMBERS)]
    if sum(map(operator.mul, one, other)) != Decimal("0.0437") * (NUMBERS * (NUMBERS - 1) // 2):
        raise SystemExit("wrong: the sum of products")
    for name, call in (
        ("Decimals multiplied", lambda: [*map(operator.mul, one, other)]),
        ("Decimals from text", lambda: [*map(Decimal, texts)]),
    ):
        figure = best(NUMBERS, call)
        common.report(name, figure, "/s", float(TARGETS[name]))  # type: ignore[arg-type]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--database", help="URL of a server; default: SQLite in a new directory")
    arguments = parser.parse_args()
    inserted(arguments.database)
    decoded()
    arithmetic()


if __name__ == "__main__":
    main()
