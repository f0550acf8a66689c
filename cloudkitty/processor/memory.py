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
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG_OBJECTS, 50, 100)
    _give_back()


def _give_back() -> None:
    """Have large blocks of memory go back to the system as soon as they are free.

    By itself the C library stops doing so for blocks as large as one that was freed once, and the
    tables of a scope's frames, which live for seconds, leave holes between those that stay.
    """
    try:
        ctypes.CDLL(None).mallopt(_M_MMAP_THRESHOLD, _LARGE)
    except (AttributeError, OSError):
        return  # not glibc, which alone has the habit
