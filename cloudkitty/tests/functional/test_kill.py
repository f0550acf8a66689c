# SPDX-License-Identifier: Apache-2.0
"""A processor that is killed at any moment neither loses nor doubles a digit."""

import io
import multiprocessing
import os
import random
import signal
import time

import sqlalchemy as sa

from cloudkitty.db.engine import Database
from cloudkitty.db.models import scopes
from cloudkitty.processor import build, once
from cloudkitty.storage.sqlalchemy import models
from cloudkitty.tests import cloud
from cloudkitty.tests.builders import HOUR, NEW_YEAR

KILLS = 50
SCOPES = 12
HOURS = 150


def rate(conf, started=None) -> None:
    """What ``cloudkitty-processor --once`` does."""
    processor = build.build(conf)
    if started is not None:
        os.write(started, b"!")
    once.rate_all(processor, io.StringIO())
    processor.close()


def ledger(database: Database) -> list[tuple]:
    """Every run of every series, with the scope's horizon, but for keys."""
    owner, table = models.series.c, models.runs.c
    with database.reader() as connection:
        rows = connection.execute(
            sa.select(
                scopes.c.identifier,
                scopes.c.horizon,
                owner.metric,
                owner.unit,
                owner.groupby,
                owner.metadata,
                table.begin,
                table.end,
                table.step,
                table.qty,
                table.price,
            )
            .join_from(models.runs, models.series, table.series_id == owner.id)
            .join(scopes, scopes.c.id == owner.scope_id)
        ).all()
    return sorted(tuple(map(str, row)) for row in rows)


def wipe(database: Database) -> None:
    with database.writer() as connection:
        for table in (models.runs, models.series, scopes):
            connection.execute(table.delete())


def test_fifty_kills_leave_the_ledger_of_an_undisturbed_run(conf, database, tmp_path) -> None:
    cloud.configure(conf, tmp_path, scopes=SCOPES, hours=HOURS)
    conf.set_override("batch_size", 2, "orchestrator")
    cloud.price(database)
    # The usage ends there, and so does what is compared: later periods are empty.
    conf.set_override("wait_periods", _hours_since_the_end(), "collect")
    rate(conf)
    undisturbed = ledger(database)
    assert len(undisturbed) > SCOPES * HOURS
    wipe(database)
    database.dispose()

    moments = random.Random(7)
    context = multiprocessing.get_context("fork")
    killed = 0
    while killed < KILLS:
        # A pipe, because a lock that a killed process held would be held for ever.
        heard, started = os.pipe()
        process = context.Process(target=rate, args=(conf, started))
        process.start()
        os.close(started)
        assert os.read(heard, 1) == b"!"
        os.close(heard)
        time.sleep(moments.uniform(0, 0.06))
        os.kill(process.pid, signal.SIGKILL)
        process.join()
        assert process.exitcode == -signal.SIGKILL, "the work was done before the last kill"
        killed += 1
    assert 0 < len(ledger(database)) < len(undisturbed), "the kills must hit the work"
    rate(conf)
    assert ledger(database) == undisturbed


def _hours_since_the_end() -> int:
    """Periods between the last hour of the usage and now, so that just the usage is due."""
    return (build.utcnow() - NEW_YEAR) // HOUR - HOURS
