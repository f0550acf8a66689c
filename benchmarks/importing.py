# SPDX-License-Identifier: Apache-2.0
"""Two months of rated rows brought over from the database of an existing service.

``python benchmarks/importing.py [--database URL] [--influxdb] [--scopes N] [--hours N]``

The import runs as a process of its own, whose memory is measured; the reconciliation at its end is
the check of the result. Both databases are new ones on the server, or of SQLite.
"""

import argparse
import datetime
import os
import pathlib
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from decimal import Decimal

import common
import sqlalchemy as sa

from cloudkitty import config
from cloudkitty.db.engine import Database
from cloudkitty.storage.sqlalchemy import models
from cloudkitty.storage.sqlalchemy.bulk import chunks
from cloudkitty.tests import oldservice
from cloudkitty.tests.databases import TestServer
from cloudkitty.tests.oldinflux import GROUPBY, VARIABLE, OldInflux
from cloudkitty.tests.oldservice import HOUR, OldService, RatedRow

BEGIN = datetime.datetime(2026, 1, 1)
SERIES = 10
CHANGES = 8
"""How often an instance is resized in two months."""


def rows(scopes: int, hours: int) -> Iterator[RatedRow]:
    """Six instances, three volumes and one network port for each scope; only the port's usage
    is another each hour."""
    chance = random.Random(common.SEED)
    sizes = {(s, n): 1 for s in range(scopes) for n in range(SERIES)}
    for hour in range(hours):
        begin = BEGIN + hour * HOUR
        end = begin + HOUR
        for scope in range(scopes):
            tenant = f"{scope:032x}"
            own = {"project_id": tenant, "user_id": "0" * 32, **oldservice.calendar(begin)}
            for number in range(SERIES):
                if chance.random() < CHANGES / 1464:
                    sizes[scope, number] = chance.randrange(1, 9)
                size = sizes[scope, number]
                desc = {"id": f"{scope:016x}{number:016x}", "name": f"thing-{number}", **own}
                if number < 6:
                    desc |= {"flavor_name": f"m1.{size}", "vcpus": str(size)}
                    price = Decimal("0.0125") * size
                    yield RatedRow(
                        tenant, begin, end, "instance", Decimal(1), "instance", price, desc
                    )
                elif number < 9:
                    price = Decimal("0.0004") * size * 10
                    qty = Decimal(size * 10)
                    yield RatedRow(tenant, begin, end, "GiB", qty, "volume.size", price, desc)
                else:
                    sent = Decimal(chance.randrange(10**6)) / 1000
                    price = (sent * Decimal("0.02")).quantize(Decimal("0.00001"))
                    yield RatedRow(tenant, begin, end, "MB", sent, "network.outgoing", price, desc)


def fill_rules(old: OldService, scopes: int, hours: int) -> None:
    oldservice.fill_rules(old)
    last = BEGIN + (hours - 1) * HOUR
    old.add(oldservice.states, *(oldservice.state(f"{s:032x}", last) for s in range(scopes)))


def fill(store: Callable[[Sequence[RatedRow]], object], scopes: int, hours: int) -> int:
    """Store the rows, and return how many they are."""
    number = 0
    for piece in chunks(rows(scopes, hours), 10_000):
        store(piece)
        number += len(piece)
    return number


def size(connection: sa.Connection, tables: list[str]) -> int:
    """Return the bytes that tables and their indices take."""
    names = ", ".join(f"'{name}'" for name in tables)
    statement = {
        "sqlite": f"SELECT sum(pgsize) FROM dbstat WHERE name IN ({names})",
        "mysql": "SELECT sum(data_length + index_length) FROM information_schema.tables "
        f"WHERE table_schema = database() AND table_name IN ({names})",
        "postgresql": f"SELECT sum(pg_total_relation_size(c.oid)) FROM pg_class c "
        f"WHERE c.relname IN ({names})",
    }[connection.dialect.name]
    try:
        return int(connection.exec_driver_sql(statement).scalar() or 0)
    except sa.exc.OperationalError:
        return 0  # this SQLite was built without dbstat


def run(kind: str, scopes: int, hours: int) -> None:
    with tempfile.TemporaryDirectory() as name:
        directory = pathlib.Path(name)
        old = OldService(kind, directory)
        server = TestServer(kind, directory)
        try:
            fill_rules(old, scopes, hours)
            number = fill(old.add_rated, scopes, hours)
            with old.engine.connect() as connection:
                bytes_there = size(connection, ["rated_data_frames"])
            measure(f"{number} rated rows, {kind}", number, old.url, server, directory, bytes_there)
        finally:
            server.drop()
            old.drop()


def run_influxdb(kind: str, scopes: int, hours: int) -> None:
    """History from InfluxDB, with the horizons that rules and states have brought before, and
    without."""
    with tempfile.TemporaryDirectory() as name:
        directory = pathlib.Path(name)
        old = OldService("sqlite", directory)
        influx = OldInflux(os.environ[VARIABLE])
        servers = []
        for which in ("new", "known"):
            (directory / which).mkdir()
            servers.append(TestServer(kind, directory / which))
        try:
            fill_rules(old, scopes, hours)
            groupby = (*GROUPBY, "user_id")
            number = fill(lambda piece: influx.add(piece, groupby), scopes, hours)
            bring(old.url, servers[1], directory)
            for server, scopes_are in zip(servers, ("new", "known"), strict=True):
                what = f"{number} points from InfluxDB, {kind}, {scopes_are} scopes"
                measure(what, number, influx.url, server, directory, 0)
        finally:
            for server in servers:
                server.drop()
            influx.drop()
            old.drop()


def bring(url: str, server: TestServer, directory: pathlib.Path) -> None:
    subprocess.run(command(url, server, directory), check=True, stdout=subprocess.DEVNULL)


def command(url: str, server: TestServer, directory: pathlib.Path) -> list[str]:
    path = directory / "cloudkitty.conf"
    path.write_text(
        f"[database]\nconnection = {server.url}\n[collect]\ncollector = csv\n"
        "[fetcher]\nbackend = source\n"
    )
    line = [sys.executable, "-u", "-m", "cloudkitty.cli.dbsync", "--config-file", str(path)]
    return [*line, "import-cloudkitty", "--from", url]


def measure(
    what: str, number: int, url: str, server: TestServer, directory: pathlib.Path, bytes_there: int
) -> None:
    kind = server.dialect
    line = command(url, server, directory)
    begun = time.perf_counter()
    started = brought = begun
    last = ""
    history_cpu = 0.0
    with subprocess.Popen(line, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for said in process.stdout:
            if said.startswith("From "):
                started = time.perf_counter()
            if said.startswith("All has been brought over"):
                brought = time.perf_counter()
                history_cpu = common.processor_seconds(process.pid)
            last = said.strip() or last
    ended = time.perf_counter()
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert process.returncode == 0, last
    conf = config.load([], config_files=[])
    conf.set_override("connection", server.url, "database")
    database = Database(conf)
    if kind != "sqlite":
        with database.writer() as connection:
            connection.exec_driver_sql(
                {"mysql": "ANALYZE TABLE ledger_runs, ledger_series", "postgresql": "ANALYZE"}[kind]
            ).close()
    with database.reader() as connection:
        counts = {
            table.name: connection.scalar(sa.select(sa.func.count()).select_from(table))
            for table in (models.series, models.runs)
        }
        bytes_here = size(connection, ["ledger_series", "ledger_runs"])
    database.dispose()
    common.report(
        f"import of {what}",
        number / (brought - started),
        "rows/s",
        100_000,
        start_seconds=started - begun,
        seconds=brought - started,
        reconciliation_seconds=ended - brought,
        import_cpu_seconds=history_cpu,
        cpu_seconds=used.ru_utime + used.ru_stime,
        import_peak_mib=used.ru_maxrss / 1024,
        runs=counts["ledger_runs"],
        series=counts["ledger_series"],
        bytes_there=bytes_there,
        bytes_here=bytes_here,
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--database", help="URL of a server; default: SQLite in a new directory")
    parser.add_argument("--influxdb", action="store_true", help=f"needs {VARIABLE}")
    parser.add_argument("--scopes", type=int, default=35)
    parser.add_argument("--hours", type=int, default=59 * 24)
    arguments = parser.parse_args()
    bench = run_influxdb if arguments.influxdb else run
    bench(common.served(arguments.database), arguments.scopes, arguments.hours)
