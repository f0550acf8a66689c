# SPDX-License-Identifier: Apache-2.0
"""A processor that is killed at any moment neither loses nor doubles a digit."""

import io
import multiprocessing
import os
import random
import signal
import time

from cloudkitty.processor import build, once
from cloudkitty.tests import cloud
from cloudkitty.tests.builders import HOUR, NEW_YEAR
from cloudkitty.tests.stored import ledger

KILLS = 50
SCOPES = 12
HOURS = 150


def rate(conf, beats: int | None = None) -> None:
    """What ``cloudkitty-processor --once`` does; a byte goes to *beats* at the start and after
    each batch."""
    processor = build.build(conf)
    if beats is not None:
        os.write(beats, b"!")
        rate_batch = processor.worker.rate

        def beat(batch):
            outcome = rate_batch(batch)
            os.write(beats, b"!")
            return outcome

        processor.worker.rate = beat
    once.rate_all(processor, io.StringIO())
    processor.close()


def kill(conf, *, beats: int, delay: float) -> None:
    """Start a processor, and kill it some time after so many beats."""
    # A pipe, because a lock that a killed process held would be held for ever.
    heard, told = os.pipe()
    process = multiprocessing.get_context("fork").Process(target=rate, args=(conf, told))
    process.start()
    os.close(told)
    for _ in range(beats):
        assert os.read(heard, 1) == b"!"
    time.sleep(delay)
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    os.close(heard)
    assert process.exitcode == -signal.SIGKILL, "the work was done before the last kill"


def test_fifty_kills_leave_the_ledger_of_an_undisturbed_run(conf, database, tmp_path) -> None:
    cloud.configure(conf, tmp_path, scopes=SCOPES, hours=HOURS)
    conf.set_override("batch_size", 2, "orchestrator")
    cloud.price(database)
    # The usage ends there, and so does what is compared: later periods are empty.
    conf.set_override("wait_periods", _hours_since_the_end(), "collect")
    begun = time.monotonic()
    rate(conf)
    undisturbed_seconds = time.monotonic() - begun
    undisturbed = ledger(database)
    assert len(undisturbed) > SCOPES * HOURS
    cloud.wipe(database)
    database.dispose()

    moments = random.Random(7)
    for number in range(KILLS):
        # Half of the kills come at any moment from the very start, half once work goes on.
        kill(conf, beats=1 + number % 2, delay=moments.uniform(0, undisturbed_seconds / KILLS))
    assert 0 < len(ledger(database)) < len(undisturbed), "the kills must hit the work"
    rate(conf)
    assert ledger(database) == undisturbed


def _hours_since_the_end() -> int:
    """Periods between the last hour of the usage and now, so that just the usage is due."""
    return (build.utcnow() - NEW_YEAR) // HOUR - HOURS
