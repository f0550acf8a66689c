# SPDX-License-Identifier: Apache-2.0
"""What a process gives up before it runs a script: there is no way back.

Invariants: on every system, no further descriptor can be opened, no file written, and memory and
processor time are bounded; on Linux on the machines listed here, the kernel also refuses every
call but those for memory, clocks, locks, and writing to what is open, so that a script can start
neither process nor thread, signal nobody, and touch no file by its name.

To be used in a process with one thread. Needs nothing but the standard library.
"""

import ctypes
import platform
import resource
import signal
import struct
import sys
from typing import NamedTuple

MIB = 2**20

_PR_SET_PDEATHSIG = 1
_PR_SET_SECCOMP = 22
_PR_SET_NO_NEW_PRIVS = 38
_SECCOMP_MODE_FILTER = 2

_LOAD, _JUMP_IF_EQUAL, _RETURN = 0x20, 0x15, 0x06
_ALLOW, _REFUSE, _KILL = 0x7FFF0000, 0x00050001, 0x80000000
"""Answers of a filter; a refused call fails with EPERM."""

_MACHINES = {
    "x86_64": (0xC000003E, 0),
    "aarch64": (0xC00000B7, 1),
}
"""By machine, its number for the kernel and its column below."""

_CALLS = {
    "write": (1, 64),
    "close": (3, 57),
    "mmap": (9, 222),
    "mprotect": (10, 226),
    "munmap": (11, 215),
    "brk": (12, 214),
    "rt_sigprocmask": (14, 135),
    "rt_sigreturn": (15, 139),
    "sched_yield": (24, 124),
    "mremap": (25, 216),
    "madvise": (28, 233),
    "nanosleep": (35, 101),
    "getpid": (39, 172),
    "exit": (60, 93),
    "gettimeofday": (96, 169),
    "getrusage": (98, 165),
    "futex": (202, 98),
    "restart_syscall": (219, 128),
    "clock_gettime": (228, 113),
    "clock_getres": (229, 114),
    "clock_nanosleep": (230, 115),
    "exit_group": (231, 94),
    "getrandom": (318, 278),
}
"""The calls that the kernel goes on answering, with their numbers on each machine."""


class Limits(NamedTuple):
    """What the scripts of one frame may use: seconds, and MiB of address space."""

    cpu_time: int
    wall_time: int
    memory: int


class _Program(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("filter", ctypes.c_void_p)]


class Sandbox:
    """Made ready before a fork; ``enter`` is for the process that runs a script."""

    def __init__(self) -> None:
        self._libc = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None
        machine = _MACHINES.get(platform.machine()) if self._libc else None
        # A 32-bit interpreter on a 64-bit kernel makes other calls.
        known = machine is not None and sys.maxsize > 2**32
        self._filter = _filter(*machine) if machine is not None and known else b""

    def die_with_parent(self) -> None:
        """Have the kernel end this process when its parent ends; only for a parent with one
        thread, for a thread counts as the parent here."""
        if self._libc is not None:
            self._libc.prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)

    def enter(self, limits: Limits) -> None:
        """Give up everything that a script does not need.

        :raises OSError: the system did not take a limit; no script may run then.
        """
        memory = limits.memory * MIB
        for kind, soft, hard in (
            (resource.RLIMIT_CORE, 0, 0),
            (resource.RLIMIT_FSIZE, 0, 0),
            (resource.RLIMIT_NPROC, 0, 0),
            (resource.RLIMIT_NOFILE, 0, 0),
            (resource.RLIMIT_AS, memory, memory),
            # At the soft limit the script learns of it, at the hard one it is gone.
            (resource.RLIMIT_CPU, limits.cpu_time, limits.cpu_time + 1),
        ):
            resource.setrlimit(kind, (soft, hard))
        if self._filter and self._libc is not None:
            code = ctypes.create_string_buffer(self._filter, len(self._filter))
            program = _Program(len(self._filter) // 8, ctypes.cast(code, ctypes.c_void_p))
            self._prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
            self._prctl(_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, ctypes.byref(program), 0, 0)

    def _prctl(self, *args: object) -> None:
        assert self._libc is not None
        if self._libc.prctl(*args) != 0:
            raise OSError(ctypes.get_errno(), "the system refuses to confine scripts")


def _filter(machine: int, column: int) -> bytes:
    """Return the program that the kernel asks about each call: only those listed are answered."""
    numbers = [row[column] for row in _CALLS.values()]
    steps = [
        (_LOAD, 0, 0, 4),
        (_JUMP_IF_EQUAL, 1, 0, machine),
        (_RETURN, 0, 0, _KILL),
        (_LOAD, 0, 0, 0),
        *(
            (_JUMP_IF_EQUAL, len(numbers) - place, 0, number)
            for place, number in enumerate(numbers)
        ),
        (_RETURN, 0, 0, _REFUSE),
        (_RETURN, 0, 0, _ALLOW),
    ]
    return b"".join(struct.pack("=HBBI", *step) for step in steps)
