# SPDX-License-Identifier: Apache-2.0
"""Memory manners of a process that holds many small objects for a long time."""

import ctypes
import gc

YOUNG_OBJECTS = 200_000

_M_MMAP_THRESHOLD = -3
_LARGE = 512 * 1024


def settle() -> None:
    """Tell the garbage collector what kind of process this is.

    Series, runs and amounts live for months and are never part of a cycle; with the defaults,
    looking through them over and over takes a third of the time of a scope's first period.
    """
    share()
    gc.set_threshold(YOUNG_OBJECTS, 50, 100)
    _give_back()


def tidy() -> None:
    """Collect the garbage of a period.

    Statements of the database library are cycles, and keep hundreds of texts each, which do not
    count towards the threshold: it would take months to come to it, and hundreds of MiB. What
    is in use moves to the oldest generation, which is not looked at, so that this is as fast as a
    period has left little behind.
    """
    gc.collect(1)


def share() -> None:
    """Leave what is in memory by now out of all collections to come.

    A collection writes to each object that it looks at. Processes that are forked afterwards
    go on sharing what it does not look at.
    """
    gc.collect()
    gc.freeze()


def _give_back() -> None:
    """Have large blocks of memory go back to the system as soon as they are free.

    By itself the C library stops doing so for blocks as large as one that was freed once, and the
    tables of a scope's frames, which live for seconds, leave holes between those that stay.
    """
    try:
        ctypes.CDLL(None).mallopt(_M_MMAP_THRESHOLD, _LARGE)
    except (AttributeError, OSError):
        return  # not glibc, which alone has the habit
