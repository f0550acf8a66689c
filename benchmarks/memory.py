# SPDX-License-Identifier: Apache-2.0
"""How much memory a worker needs (E1): one scope of many series, and many scopes together, with one
more hour of the same and one in which a tenth of the series are others.

``python benchmarks/memory.py [--database URL] [--series N ...]``. Answers are made while they are
asked for, so that all memory is the worker's; every workload has a process of its own. ``parts``
says what takes how many bytes a series when nothing is being rated.
"""

import argparse
import gc
import json
import pathlib
import subprocess
import sys
import time
import tracemalloc
from collections.abc import Iterator
from fractions import Fraction
from typing import Any

import clouds
import common
import processing

SERIES_PER_SCOPE = 500
LIMIT_MIB = 1024
SIZES = (10_000, 100_000)
PART_SERIES = 20_000
CHANGE = 2
HOURS = ("first", "following", "tenth_new")
SECONDS = 900
"""Longest time of one workload."""

PARTS = {
    "clouds.py": "texts",
    "memory.py": "texts",
    "dataframe.py": "registry",
    "engine.py": "rating",
    "prices.py": "rating",
    "skipfilter.py": "skip filter",
    "late.py": "late usage",
    "scopes.py": "scopes",
}
"""What the memory is for that a module allocates; all else is the ledger's where it is of its
directory."""


class Passing(clouds.Cloud):
    """A cloud that nobody holds in memory; a tenth of it changes in the third hour."""

    def __init__(self, scopes: int, resources: int) -> None:
        super().__init__(scopes, 0)
        self._share = resources // scopes
        self._numbers = {scope: number for number, scope in enumerate(self.scopes)}
        self.points = self._share * scopes

    def answer(self, scope: str, hour: int) -> Iterator[clouds.Answer]:  # type: ignore[override]
        number = self._numbers[scope]
        for place in range(self._share):
            generation = int(hour >= CHANGE and place % 10 == 0)
            yield {
                "id": f"{number * self._share + place:08x}-{generation:04}-4000-8000-{number:012x}",
                "project_id": scope,
                "user_id": f"user-{number:026x}",
                "flavor": f"flavor-{(number + place) % 10}",
                "zone": f"zone-{place % 3}",
                "value": str(1 + place % 5),
            }

    def price(self) -> Fraction:
        """The price of an hour, summed another way."""
        return sum(
            (
                Fraction(clouds.UNIT_PRICES[f"flavor-{(number + place) % 10}"]) * (1 + place % 5)
                for number in range(len(self.scopes))
                for place in range(self._share)
            ),
            Fraction(0),
        )


def resident() -> dict[str, int]:
    """Return the memory of this process in MiB: now, and the most since ``forget_peak``."""
    lines = pathlib.Path("/proc/self/status").read_text().splitlines()
    sizes = dict(line.split(":", 1) for line in lines)
    return {
        name: int(sizes[field].split()[0]) // 1024
        for name, field in (("now", "VmRSS"), ("peak", "VmHWM"))
    }


def forget_peak() -> None:
    pathlib.Path("/proc/self/clear_refs").write_text("5")


def measure(url: str | None, scopes: int, series: int, traced: bool) -> dict[str, Any]:
    """Rate three hours, and return what the memory was in each."""
    cloud = Passing(scopes, series)
    facts: dict[str, Any] = {}
    with clouds.bench(url, cloud) as (bench, _database, _directory):
        facts["idle"] = resident()["now"]
        if traced:
            tracemalloc.start()
        for hour in HOURS:
            forget_peak()
            begin = time.process_time()
            bench.advance(1)
            facts[hour] = resident() | {"processor_s": round(time.process_time() - begin, 2)}
            if traced and hour == "following":
                gc.collect()
                facts["parts"] = parts(series)
                tracemalloc.stop()
        facts["total"] = processing.check(bench, cloud.price() * len(HOURS))
        if bench.points != len(HOURS) * cloud.points:
            raise SystemExit(f"{bench.points} points were rated, not {len(HOURS) * cloud.points}")
    return facts


def parts(series: int) -> dict[str, int]:
    """Return the bytes a series that are held, by what they are for."""
    found: dict[str, float] = {}
    for statistic in tracemalloc.take_snapshot().statistics("filename"):
        path = pathlib.Path(statistic.traceback[0].filename)
        of_ledger = "ledger" if path.parent.name == "sqlalchemy" else "other"
        part = PARTS.get(path.name, of_ledger)
        found[part] = found.get(part, 0) + statistic.size / series
    return {part: round(size) for part, size in sorted(found.items()) if round(size)}


def apart(url: str | None, scopes: int, series: int, traced: bool = False) -> dict[str, Any]:
    """Measure in a process of its own."""
    command = [sys.executable, __file__, "--child", str(scopes), str(series)]
    command += ["--database", url] if url else []
    command += ["--traced"] if traced else []
    done = subprocess.run(command, stdout=subprocess.PIPE, timeout=SECONDS, check=True)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def report(url: str | None, series: int) -> None:
    by_part = apart(url, PART_SERIES // SERIES_PER_SCOPE, PART_SERIES, traced=True)["parts"]
    for name, scopes in (("one scope", 1), ("many scopes", series // SERIES_PER_SCOPE)):
        facts = apart(url, scopes, series)
        peak = max(facts[hour]["peak"] for hour in HOURS)
        # What a worker needs before it has a series is not shared out.
        each = (facts["following"]["now"] - facts["idle"]) * 2**20 / series
        target = LIMIT_MIB * max(1, series // 1_000_000)
        common.report(
            f"E1 worker with {series} series, {name}",
            peak,
            "MiB",
            target,
            work=series,
            bytes_a_series=round(each),
            parts=by_part,
            **facts,
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--database", help="URL of a server; default: SQLite in a new directory")
    parser.add_argument("--series", type=int, nargs="+", default=SIZES)
    parser.add_argument("--child", type=int, nargs=2, help=argparse.SUPPRESS)
    parser.add_argument("--traced", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        facts = measure(arguments.database, *arguments.child, arguments.traced)
        print(json.dumps(facts), flush=True)
        return
    for series in sorted(arguments.series):
        report(arguments.database, series)


if __name__ == "__main__":
    main()
