# SPDX-License-Identifier: Apache-2.0
"""The database goes away in the middle of a period, and comes back."""

import signal
from collections.abc import Callable

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import make_url

from cloudkitty.db.engine import Database
from cloudkitty.tests.functional.faults import points
from cloudkitty.tests.functional.faults.child import Child, Inside
from cloudkitty.tests.functional.faults.conftest import Trial
from cloudkitty.tests.functional.faults.servers import Server
from cloudkitty.tests.functional.faults.site import LONG
from cloudkitty.tests.functional.proxy import Proxy

MOMENTS = (
    tuple(points.POINTS)
    if LONG
    else ("after collecting", "after inserting runs", "before the commit", "between periods")
)


def holding(point: str) -> Callable[[Inside], None]:
    return lambda inside: points.at(point, inside.hold)


def try_in_vain(trial: Trial, worker: Child) -> None:
    """Let a worker notice that the database is away, and try again without one."""
    trial.site.await_complaint()
    worker.await_rounds(2)


def said_once(trial: Trial) -> None:
    """Make sure that just the database was complained of, once, and that it came back, once."""
    [complaint] = trial.site.complaints()
    assert "the database is not to be had; trying again" in complaint
    assert trial.site.said().count("the database is to be had again") == 1


def close_connections(database: Database) -> int:
    """Have the server end every connection to the database but ours; return how many."""
    name = make_url(database.url).database
    listing, ending = {
        "mysql": (
            "SELECT id FROM information_schema.processlist "
            "WHERE db = :name AND id <> connection_id()",
            "KILL {}",
        ),
        "postgresql": (
            "SELECT pid FROM pg_stat_activity WHERE datname = :name AND pid <> pg_backend_pid()",
            "SELECT pg_terminate_backend({})",
        ),
    }[database.dialect]
    with database.reader() as connection:
        victims = connection.scalars(sa.text(listing), {"name": name}).all()
        for victim in victims:
            connection.exec_driver_sql(ending.format(victim))
    return len(victims)


@pytest.mark.parametrize("point", MOMENTS, ids=lambda point: point.replace(" ", "_"))
def test_the_server_ends_its_connections(breakable: Trial, point: str) -> None:
    site = breakable.site
    with site.worker(holding(point)) as worker:
        worker.await_point()
        assert close_connections(site.database) >= 1
        breakable.over()
        worker.go()
        breakable.recovers("connection closed by the server", worker)
    if point in points.IN_TRANSACTION:
        said_once(breakable)
    else:
        assert site.complaints() == []


@pytest.mark.parametrize("point", MOMENTS, ids=lambda point: point.replace(" ", "_"))
def test_the_network_is_cut_for_a_while(breakable: Trial, own_server: Server, point: str) -> None:
    site = breakable.site
    proxy = Proxy("127.0.0.1", own_server.port)
    straight = site.database.url
    by_proxy = make_url(straight).set(port=proxy.port).render_as_string(hide_password=False)
    site.conf.set_override("connection", by_proxy, "database")
    try:
        with site.worker(holding(point)) as worker:
            worker.await_point()
            proxy.close()
            worker.go()
            try_in_vain(breakable, worker)
            proxy = Proxy("127.0.0.1", own_server.port, listen=proxy.port)
            breakable.over()
            breakable.recovers("network to the database cut", worker)
    finally:
        proxy.close()
    said_once(breakable)


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGINT], ids=["killed", "restarted"])
def test_the_server_is_ended_and_started(
    breakable: Trial, own_server: Server, end: signal.Signals
) -> None:
    with breakable.site.worker(holding("after inserting runs")) as worker:
        worker.await_point()
        breakable.site.database.dispose()
        if end is signal.SIGKILL:
            own_server.end(end)
        else:
            own_server.stop()
        worker.go()
        try_in_vain(breakable, worker)
        own_server.start()
        breakable.over()
        word = "killed" if end is signal.SIGKILL else "restarted"
        breakable.recovers(f"database server {word}", worker)
    said_once(breakable)
