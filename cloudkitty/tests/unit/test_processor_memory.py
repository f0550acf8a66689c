# SPDX-License-Identifier: Apache-2.0
"""What a process tells the garbage collector before it forks."""

import gc
import multiprocessing
import weakref
from multiprocessing.queues import SimpleQueue

from cloudkitty.processor import memory


class Node:
    """Part of a cycle."""

    def __init__(self) -> None:
        self.itself = self


def _share(told: "SimpleQueue[tuple[bool, bool]]") -> None:
    gc.disable()
    garbage = weakref.ref(Node())
    kept = Node()
    memory.share()
    looked_at = any(one is kept for one in gc.get_objects())
    told.put((garbage() is None, looked_at))


def test_garbage_goes_and_what_stays_is_not_looked_at_again() -> None:
    context = multiprocessing.get_context("fork")
    told: SimpleQueue[tuple[bool, bool]] = context.SimpleQueue()
    process = context.Process(target=_share, args=(told,))
    process.start()
    process.join(60)
    assert process.exitcode == 0
    is_gone, is_looked_at = told.get()
    assert is_gone
    assert not is_looked_at
