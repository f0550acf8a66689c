# SPDX-License-Identifier: Apache-2.0
"""The database's clock keeps a wrong clock of the host from rating what has not been yet."""

import datetime

import pytest

from cloudkitty.db.engine import Database
from cloudkitty.processor import build
from cloudkitty.processor.clock import CheckedClock

MINUTE = datetime.timedelta(minutes=1)


def test_the_database_knows_the_time(database: Database) -> None:
    assert abs(database.now() - build.utcnow()) < MINUTE


@pytest.mark.parametrize("behind", [datetime.timedelta(0), datetime.timedelta(days=1)])
def test_a_clock_that_is_right_or_behind_is_believed(
    sqlite_database: Database, behind: datetime.timedelta, caplog: pytest.LogCaptureFixture
) -> None:
    time = sqlite_database.now() - behind
    assert CheckedClock(lambda: time, sqlite_database)() == time
    assert not caplog.records


def test_a_clock_far_ahead_is_not_believed_and_told_once(
    sqlite_database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    ahead = sqlite_database.now() + datetime.timedelta(days=1)
    clock = CheckedClock(lambda: ahead, sqlite_database)
    assert [clock() < ahead - 60 * MINUTE for _ in range(3)] == [True] * 3
    assert len(caplog.records) == 1
    assert "ahead of that of the database" in caplog.text
