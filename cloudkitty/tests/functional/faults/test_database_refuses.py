# SPDX-License-Identifier: Apache-2.0
"""The database is there, and does not take what a worker writes."""

import pathlib
import sqlite3
import threading
import time

import pytest
import sqlalchemy as sa

from cloudkitty.db import engine
from cloudkitty.db.engine import Database
from cloudkitty.db.models import modules_state, scopes
from cloudkitty.storage.sqlalchemy import models
from cloudkitty.tests.functional.faults import points, refusals
from cloudkitty.tests.functional.faults.child import BOUND, Inside
from cloudkitty.tests.functional.faults.conftest import Trial
from cloudkitty.tests.functional.faults.servers import DEADLOCK_SECONDS, Server
from cloudkitty.tests.functional.faults.site import LONG

BATCHES = range(1, 25) if LONG else (points.BATCH, points.BATCH + 1)
"""A batch of two scopes, which is tried in halves, and one of a single scope."""

ERRORS = {
    "deadlock reported": refusals.DEADLOCK,
    "serialization failure reported": refusals.CONFLICT,
    "lock timeout reported": refusals.TIMEOUT,
}


on_servers = pytest.mark.parametrize("database_server", ["mysql", "postgresql"], indirect=True)
"""SQLite has one writer at a time, and no such errors."""

on_sqlite = pytest.mark.parametrize("database_server", ["sqlite"], indirect=True)


@on_servers
@pytest.mark.parametrize("nth", BATCHES)
@pytest.mark.parametrize("fault", ERRORS, ids=lambda fault: fault.replace(" ", "_"))
def test_a_statement_fails(trial: Trial, fault: str, nth: int) -> None:
    errors = ERRORS[fault]
    arm = refusals.raising(errors[trial.site.database.dialect])
    with trial.site.worker(lambda inside: points.at("after closing runs", arm, nth)) as worker:
        trial.recovers(fault, worker)
    complaints = trial.site.complaints()
    # Of two scopes, each succeeds when it is tried alone; an hour's second batch is a single one.
    assert len(complaints) == (nth % 2 == 0), complaints


class Rival:
    """A connection that locks rows in the wrong order: runs first, their scopes after that."""

    def __init__(self, database: Database) -> None:
        self._connection = database.engine.connect()
        self._transaction = self._connection.begin()
        # The more a transaction has written, the less is it chosen to give way.
        rows = [{"name": f"m{n}", "state": False, "revision": 0} for n in range(500)]
        self._connection.execute(modules_state.insert(), rows)
        self._connection.execute(sa.select(models.runs).with_for_update()).all()
        self._database = database
        self._waiting = threading.Thread(target=self._lock_scopes)

    def _lock_scopes(self) -> None:
        self._connection.execute(sa.select(scopes).with_for_update()).all()

    def lock_scopes(self) -> None:
        """Ask for the locks that the worker has, long enough ago to be no suspect any more."""
        self._waiting.start()
        waiting = {
            "mysql": "SELECT count(*) FROM information_schema.innodb_trx "
            "WHERE trx_state = 'LOCK WAIT'",
            "postgresql": "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'",
        }[self._database.dialect]
        deadline = time.monotonic() + BOUND
        while not self._count(waiting):
            assert time.monotonic() < deadline, "nobody waits for a lock"
            time.sleep(0.02)
        time.sleep(2 * DEADLOCK_SECONDS)

    def _count(self, statement: str) -> int:
        with self._database.reader() as connection:
            return int(connection.scalar(sa.text(statement)))

    def end(self) -> None:
        self._waiting.join(BOUND)
        assert not self._waiting.is_alive(), "nobody has solved the deadlock"
        self._transaction.rollback()
        self._connection.close()


def test_two_transactions_lock_in_different_order(breakable: Trial) -> None:
    site = breakable.site
    with site.worker(lambda inside: points.at("after locking the scopes", inside.hold)) as worker:
        worker.await_point()
        rival = Rival(site.database)
        rival.lock_scopes()
        worker.go()
        rival.end()
        breakable.over()
        breakable.recovers("deadlock with another connection", worker)
    # Of two scopes, each succeeds when it is tried alone.
    assert site.complaints() == []


@on_sqlite
def test_another_process_holds_the_write_lock_too_long(trial: Trial) -> None:
    site = trial.site

    def prepare(inside: Inside) -> None:
        engine.SQLITE_BUSY_SECONDS = 0.2  # type: ignore[assignment]
        points.at("after rating", inside.hold)

    with site.worker(prepare) as worker:
        worker.await_point()
        with site.database.writer():
            worker.go()
            site.await_complaint()
        trial.over()
        trial.recovers("write lock held too long", worker)
    assert len(site.complaints()) == 1


def test_the_disk_is_full(trial: Trial) -> None:
    site = trial.site
    flag = site.directory / "full"
    if site.database.dialect == "sqlite":
        _use_small_pages(site.directory / "cloudkitty.sqlite")

    def prepare(inside: Inside) -> None:
        points.at("after rating", flag.touch, 3)
        if site.database.dialect == "sqlite":
            refusals.full_while(flag)
        else:
            refusals.raising_while(flag, refusals.FULL[site.database.dialect])

    with site.worker(prepare) as worker:
        site.await_complaint()
        flag.unlink()
        trial.over()
        trial.recovers("disk full", worker)
    # The note of a scope's failure may still have found room.
    complaints = site.complaints()
    assert len(set(complaints)) == len(complaints)
    assert all("full" in one or "No space" in one for one in complaints)


@on_sqlite
def test_a_file_is_read_only(trial: Trial) -> None:
    site = trial.site
    flag = site.directory / "read-only"

    def prepare(inside: Inside) -> None:
        points.at("after rating", flag.touch)
        refusals.read_only_while(flag)

    with site.worker(prepare) as worker:
        site.await_complaint()
        flag.unlink()
        trial.over()
        trial.recovers("database read-only", worker)
    assert len(site.complaints()) == 1


def test_a_server_is_read_only(breakable: Trial, own_server: Server) -> None:
    site = breakable.site
    name = sa.engine.make_url(site.database.url).database
    # Connections that there are already must refuse, too: to end them would be another fault.
    on, off = {
        "mysql": (["SET GLOBAL read_only = 1"], ["SET GLOBAL read_only = 0"]),
        "postgresql": (
            ["ALTER SYSTEM SET default_transaction_read_only = on", "SELECT pg_reload_conf()"],
            ["ALTER SYSTEM RESET default_transaction_read_only", "SELECT pg_reload_conf()"],
        ),
    }[own_server.dialect]
    everything = site.database.url
    if own_server.dialect == "mysql":
        # Root may write all the same.
        _execute(
            own_server,
            "CREATE OR REPLACE USER writer@'127.0.0.1'",
            f"GRANT ALL ON {name}.* TO writer@'127.0.0.1'",
        )
        writer = sa.engine.make_url(everything).set(username="writer")
        site.conf.set_override(
            "connection", writer.render_as_string(hide_password=False), "database"
        )
    try:
        with site.worker(lambda inside: points.at("after inserting runs", inside.hold)) as worker:
            worker.await_point()
            _execute(own_server, *on)
            worker.go()
            site.await_complaint()
            worker.await_rounds(2)
            _execute(own_server, *off)
            breakable.over()
            breakable.recovers("database read-only", worker)
    finally:
        _execute(own_server, *off)
    [complaint] = site.complaints()
    assert "read-only" in complaint


def _execute(server: Server, *statements: str) -> None:
    from cloudkitty import config

    conf = config.load([], config_files=[])
    conf.set_override("connection", server.url, "database")
    database = Database(conf)
    with database.engine.execution_options(isolation_level="AUTOCOMMIT").connect() as connection:
        for statement in statements:
            connection.exec_driver_sql(statement)
    database.dispose()


def _use_small_pages(path: pathlib.Path) -> None:
    """Have a file grow with every few rows."""
    connection = sqlite3.connect(path, isolation_level=None)
    for statement in ("journal_mode = DELETE", "page_size = 512"):
        connection.execute(f"PRAGMA {statement}")
    connection.execute("VACUUM")
    connection.close()
