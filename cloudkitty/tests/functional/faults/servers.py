# SPDX-License-Identifier: Apache-2.0
"""Database servers of the tests' own, from the installed programs, to be killed and restarted.

A server lives on a free port of loopback in a directory of its own, and is ended by its process id.
"""

import contextlib
import glob
import os
import pathlib
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence

from cloudkitty.tests.functional.commands import free_port
from cloudkitty.tests.functional.faults.child import BOUND

DEADLOCK_SECONDS = 0.1
"""What PostgreSQL lets pass before it looks whether who waits for a lock waits for ever."""

_PATH = f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/lib/postgresql/bin"


class Server:
    """A server that is not started yet; subclasses know the program."""

    dialect = ""

    def __init__(self, directory: pathlib.Path) -> None:
        self.directory = directory
        self.port = free_port()
        self._process: subprocess.Popen[bytes] | None = None
        self._log = directory / "server.log"
        self.make()

    @classmethod
    def program(cls) -> str | None:
        """Where the server's program is, ``None`` when it is not installed."""
        raise NotImplementedError

    @property
    def url(self) -> str:
        """Who may do anything, in the form of ``CLOUDKITTY_TEST_...``."""
        raise NotImplementedError

    def make(self) -> None:
        """Make the server's files."""
        raise NotImplementedError

    def line(self) -> Sequence[str]:
        """The command line that runs the server in the foreground."""
        raise NotImplementedError

    def start(self) -> None:
        """Start the server, and wait until it answers."""
        with open(self._log, "ab") as log:
            self._process = subprocess.Popen(
                self.line(), cwd=self.directory, stdout=log, stderr=log, user=_owner()
            )
        deadline = time.monotonic() + BOUND
        while not self._answers():
            assert self._process.poll() is None, self._log.read_text()
            assert time.monotonic() < deadline, self._log.read_text()
            time.sleep(0.02)

    def _answers(self) -> bool:
        from cloudkitty.tests.databases import answers

        return _listens(self.port) and answers(self.url)

    def end(self, number: signal.Signals) -> None:
        """Send the server a signal of which it ends, and wait until it has."""
        if self._process is not None:
            self._process.send_signal(number)
            self._process.wait(BOUND)
            self._process = None

    def stop(self) -> None:
        """End the server gently: the connections that there are end, too."""
        self.end(signal.SIGTERM)

    def _run(self, *line: str) -> None:
        with open(self._log, "ab") as log:
            subprocess.run(
                line, cwd=self.directory, stdout=log, stderr=log, timeout=BOUND, user=_owner(),
                check=True,
            )  # fmt: skip


class MariaDB(Server):
    dialect = "mysql"

    @classmethod
    def program(cls) -> str | None:
        return shutil.which("mariadbd", path=_PATH) and shutil.which("mariadb-install-db")

    @property
    def url(self) -> str:
        return f"mysql://root@127.0.0.1:{self.port}/"

    def make(self) -> None:
        self._run(
            "mariadb-install-db",
            "--no-defaults",
            f"--datadir={self.directory}/data",
            "--auth-root-authentication-method=normal",
            "--skip-test-db",
            "--innodb-log-file-size=8M",
        )

    def line(self) -> Sequence[str]:
        program = shutil.which("mariadbd", path=_PATH)
        assert program
        return (
            program,
            "--no-defaults",
            f"--datadir={self.directory}/data",
            f"--socket={self.directory}/my.sock",
            f"--pid-file={self.directory}/my.pid",
            "--bind-address=127.0.0.1",
            f"--port={self.port}",
            "--character-set-server=utf8mb4",
            "--innodb-log-file-size=8M",
            "--innodb-flush-log-at-trx-commit=2",
        )


class PostgreSQL(Server):
    dialect = "postgresql"

    @classmethod
    def program(cls) -> str | None:
        found = sorted(glob.glob("/usr/lib/postgresql/*/bin/postgres"))
        return found[-1] if found else shutil.which("postgres")

    @property
    def url(self) -> str:
        return f"postgresql://postgres@127.0.0.1:{self.port}/postgres"

    def make(self) -> None:
        data, initdb = f"{self.directory}/data", self._beside("initdb")
        self._run(initdb, "-D", data, "-A", "trust", "-U", "postgres", "--no-sync")

    def line(self) -> Sequence[str]:
        sockets = str(self.directory)
        data = f"{self.directory}/data"
        options = {"fsync": "off", "deadlock_timeout": f"{1000 * DEADLOCK_SECONDS:.0f}ms"}
        return (
            self._beside("postgres"),
            *("-D", data, "-h", "127.0.0.1", "-p", str(self.port), "-k", sockets),
            *(f"--{name}={value}" for name, value in options.items()),
        )

    def stop(self) -> None:
        # SIGTERM would wait for the clients to go.
        self.end(signal.SIGINT)

    def _beside(self, name: str) -> str:
        program = self.program()
        assert program
        return str(pathlib.Path(program).with_name(name))


SERVERS: tuple[type[Server], ...] = (MariaDB, PostgreSQL)


@contextlib.contextmanager
def place() -> Iterator[pathlib.Path]:
    """A directory that belongs to whom the servers run as, in memory where there is such a place:
    a new server writes much, and waits for the disk each time."""
    # Not below the test runner's own directory, which nobody else may enter.
    memory = "/dev/shm"
    parent = memory if os.access(memory, os.W_OK | os.X_OK) else None
    with tempfile.TemporaryDirectory(prefix="cloudkitty-", dir=parent) as name:
        owner = _owner()
        if owner is not None:
            os.chown(name, owner, -1)
        yield pathlib.Path(name)


def _owner() -> int | None:
    """Root runs the servers as somebody else: they insist on it."""
    return None if os.getuid() else _nobody()


def _nobody() -> int:
    for name in ("postgres", "nobody"):
        try:
            return pwd.getpwnam(name).pw_uid
        except KeyError:
            continue
    raise AssertionError("there is neither a user postgres nor nobody")


def _listens(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), BOUND):
        return True
    return False
