# SPDX-License-Identifier: Apache-2.0
"""Changes of rules that are made at the same time."""

import concurrent.futures
import threading
from collections.abc import Callable

from cloudkitty.rating.errors import RulesError


def race(calls: list[Callable[[], object]]) -> list[str]:
    """Make all calls at the same time, and return what became of each."""
    barrier = threading.Barrier(len(calls))

    def run(call: Callable[[], object]) -> str:
        barrier.wait()
        try:
            call()
        except RulesError as error:
            return type(error).__name__
        return "done"

    with concurrent.futures.ThreadPoolExecutor(len(calls)) as pool:
        return sorted(pool.map(run, calls))
