# SPDX-License-Identifier: Apache-2.0
"""What all benchmarks share: a stopwatch, a database of their own, and one form of report.

A benchmark makes its own input from a seed, checks its result, and prints one JSON line for
each workload.
"""

import contextlib
import gc
import json
import os
import pathlib
import platform
import resource
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from typing import Any

from oslo_config import cfg
from sqlalchemy.engine import make_url

from cloudkitty import config
from cloudkitty.db.engine import Database
from cloudkitty.tests.databases import TestServer
from cloudkitty.tests.functional import commands

SEED = 20260105


def machine() -> str:
    """Return processor, cores and Python in one line."""
    model = platform.processor() or platform.machine()
    with contextlib.suppress(OSError):
        for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                model = line.partition(":")[2].strip()
                break
    return f"{model}, {os.cpu_count()} cores, Python {platform.python_version()}"


def peak_mib() -> float:
    """Return the most memory that this process has had resident, in MiB."""
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1)


def proportional_mib(parent: int) -> list[float]:
    """Return the proportional memory of a process and all that it has started, in MiB, most
    first."""
    sizes = []
    for process in family(parent):
        # One that ends just now needs none.
        with contextlib.suppress(OSError):
            for line in pathlib.Path(f"/proc/{process}/smaps_rollup").read_text().splitlines():
                if line.startswith("Pss:"):
                    sizes.append(int(line.split()[1]) / 1024)
    return sorted(sizes, reverse=True)


def family(parent: int) -> list[int]:
    """Return the ids of a process and of all that it has started and that live."""
    with contextlib.suppress(OSError):
        return [parent, *(one for child in commands.children(parent) for one in family(child))]
    return []


def processor_seconds(parent: int) -> float:
    """Return the processor time that a process and its children have used so far (proc(5): fields
    14 and 15 of ``stat``): beside it, what else keeps the machine busy does not count."""
    ticks = 0
    for process in family(parent):
        # The second field is the name, which may have blanks and brackets in it.
        fields = pathlib.Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def seconds(call: Callable[[], object]) -> float:
    """Return how long one call takes, without garbage collections that others have caused."""
    gc.collect()
    begin = time.perf_counter()
    call()
    return time.perf_counter() - begin


def median_seconds(prepare: Callable[[], Callable[[], object]], repeat: int) -> float:
    """Return the median time of the calls that *prepare* makes ready, after one to warm up."""
    prepare()()
    return statistics.median(seconds(prepare()) for _ in range(repeat))


def report(name: str, figure: float, unit: str, target: float, **extra: Any) -> None:
    """Print one workload as a JSON line; a figure in seconds is good when small, else when
    large."""
    small_is_good = unit in ("s", "ms", "MiB", "bytes")
    met = figure <= target if small_is_good else figure >= target
    line = {
        "name": name,
        "figure": _rounded(figure),
        "unit": unit,
        "target": target,
        "ratio": round(target / figure if small_is_good else figure / target, 3),
        "met": met,
        **{key: _rounded(value) for key, value in extra.items()},
        "peak_mib": peak_mib(),
        "machine": machine(),
    }
    print(json.dumps(line), flush=True)


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return float(f"{value:.4g}")
    return value


def served(url: str | None) -> str:
    """Return the dialect of the server at *url*, which is from now on that of the tests; without
    one, SQLite."""
    if url is None:
        return "sqlite"
    dialect = make_url(url).get_backend_name().replace("mariadb", "mysql")
    os.environ[f"CLOUDKITTY_TEST_{dialect.upper()}"] = url
    return dialect


@contextlib.contextmanager
def fresh_database(url: str | None) -> Iterator[tuple[cfg.ConfigOpts, Database]]:
    """Yield a configuration and an empty migrated database: SQLite in a directory of its own, or a
    new one on the server at *url*, dropped afterwards."""
    dialect = served(url)
    with tempfile.TemporaryDirectory() as name:
        directory = pathlib.Path(name)
        conf = config.load([], config_files=[])
        conf.set_override("state_path", name)
        server = TestServer(dialect, directory)
        database = server.fresh(conf, directory)
        try:
            yield conf, database
        finally:
            database.dispose()
            server.drop()
