# SPDX-License-Identifier: Apache-2.0
"""Answers that metrics and batches of one period share."""

import datetime
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from cloudkitty import period
from cloudkitty.collector.recent import Recent
from cloudkitty.period import Period

HOUR = Period.of(datetime.datetime(2026, 1, 5, tzinfo=period.UTC), 3600)


class Source:
    """Counts how often it is asked."""

    def __init__(self) -> None:
        self.asked = 0

    def __call__(self) -> int:
        self.asked += 1
        return self.asked


def test_an_answer_is_asked_for_once() -> None:
    recent, source = Recent(), Source()
    assert [recent.get(HOUR, "key", source) for _ in range(3)] == [1, 1, 1]


def test_another_key_is_another_answer() -> None:
    recent, source = Recent(), Source()
    assert [recent.get(HOUR, key, source) for key in "aba"] == [1, 2, 1]


def test_another_period_forgets() -> None:
    recent, source = Recent(), Source()
    stretches = [HOUR, HOUR.following(), HOUR]
    assert [recent.get(stretch, "key", source) for stretch in stretches] == [1, 2, 3]


def test_an_answer_lasts_a_minute() -> None:
    now = [0.0]
    recent, source = Recent(clock=lambda: now[0]), Source()
    found = []
    for now[0] in (0.0, 59.0, 60.0):
        found.append(recent.get(HOUR, "key", source))
    assert found == [1, 1, 2]


def test_an_error_is_not_kept() -> None:
    recent, source = Recent(), Source()

    def fail() -> int:
        raise OSError

    with pytest.raises(OSError):
        recent.get(HOUR, "key", fail)
    assert recent.get(HOUR, "key", source) == 1


def test_threads_wait_for_one_answer() -> None:
    recent, source = Recent(), Source()
    started = threading.Barrier(4)

    def ask() -> int:
        started.wait()
        return recent.get(HOUR, "key", source)

    with ThreadPoolExecutor(4) as pool:
        assert [one.result() for one in [pool.submit(ask) for _ in range(4)]] == [1] * 4


class Key:
    """Tells when it has been looked for by a second thread."""

    def __init__(self) -> None:
        self.second = threading.Event()
        self._threads: set[int] = set()

    def __hash__(self) -> int:
        self._threads.add(threading.get_ident())
        if len(self._threads) == 2:
            self.second.set()
        return 1


def test_those_who_wait_share_an_error_and_the_next_asks_again() -> None:
    recent, source, key, begun = Recent(), Source(), Key(), threading.Event()

    def fail() -> int:
        begun.set()
        assert key.second.wait(30)
        raise OSError("no answer")

    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(recent.get, HOUR, key, fail)
        assert begun.wait(30)
        second = pool.submit(recent.get, HOUR, key, source)
        assert isinstance(first.exception(30), OSError)
        assert isinstance(second.exception(30), OSError)
    assert recent.get(HOUR, key, source) == 1


def test_what_was_wrong_is_forgotten() -> None:
    recent = Recent()
    assert recent.get(HOUR, "a", lambda: 1) == 1
    recent.forget()
    assert recent.get(HOUR, "a", lambda: 2) == 2
