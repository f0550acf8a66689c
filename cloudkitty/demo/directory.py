# SPDX-License-Identifier: Apache-2.0
"""The state directory of the demo: a service's configuration, usage and database in one place.

Invariants: a directory that holds anything else is never touched; a demo that was interrupted
starts over; a finished one is only read.
"""

import importlib.resources
import pathlib
import shutil

MARK = "# Written by cloudkitty-demo. To start over, remove this directory."

USAGE = "usage.csv.gz"
METRICS = "metrics.yml"

_CONF = """\
{mark}
[DEFAULT]
state_path = {path}
auth_strategy = noauth

[collect]
collector = csv
metrics_conf = {path}/metrics.yml
period = 3600
wait_periods = 1
first_period = {begin}

[collector_csv]
file = {path}/usage.csv.gz

[fetcher]
backend = csv

[orchestrator]
max_workers = 1

[api]
host_ip = 127.0.0.1
port = {port}
workers = 1
"""


class DirectoryError(Exception):
    """The state directory cannot be used; the message says why and what to do."""


class StateDirectory:
    """See the module; *path* need not exist."""

    def __init__(self, path: pathlib.Path) -> None:
        self.path = path.absolute()
        self.conf_file = self.path / "cloudkitty.conf"
        self.metrics_file = self.path / METRICS
        self.api_log = self.path / "api.log"
        self._bill_file = self.path / "bill.txt"

    @property
    def finished(self) -> bool:
        """Whether the month has been rated here."""
        return self._bill_file.exists()

    def open(self, begin: str, port: int) -> bool:
        """Make the directory ready; return whether the month has been rated here already.

        *begin* is where rating starts, *port* what the configuration file says for the API.

        :raises DirectoryError: it holds something else, or cannot be written.
        """
        try:
            if not self._is_ours():
                raise DirectoryError(
                    f"--state-dir {self.path}: is not empty, and holds no demo; name a directory "
                    "that is empty or does not exist"
                )
            if self.finished:
                return True
            self._clear()
            self._write(begin, port)
        except OSError as error:
            raise DirectoryError(f"--state-dir {self.path}: {error}") from error
        return False

    def finish(self, bill: str) -> None:
        """Keep the bill, and record with it that the demo is complete."""
        part = self._bill_file.with_suffix(".part")
        part.write_text(bill + "\n", encoding="utf-8")
        part.rename(self._bill_file)

    def _is_ours(self) -> bool:
        if not self.path.exists() or not any(self.path.iterdir()):
            return True
        return self.conf_file.is_file() and self.conf_file.read_text().startswith(MARK)

    def _clear(self) -> None:
        """Remove what an interrupted demo has left of its database."""
        for left in self.path.glob("cloudkitty.sqlite*"):
            left.unlink()

    def _write(self, begin: str, port: int) -> None:
        self.path.mkdir(parents=True, exist_ok=True)
        path = str(self.path).replace("$", "$$")
        # First, so that an interrupted demo is known for what it is.
        self.conf_file.write_text(
            _CONF.format(mark=MARK, path=path, begin=begin, port=port), encoding="utf-8"
        )
        for name in (USAGE, METRICS):
            shipped = importlib.resources.files("cloudkitty.demo").joinpath(name)
            with importlib.resources.as_file(shipped) as source:
                shutil.copyfile(source, self.path / name)
