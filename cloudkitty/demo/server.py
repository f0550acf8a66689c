# SPDX-License-Identifier: Apache-2.0
"""Runs the API of the demo as an operator would, on loopback, and asks it one question."""

import contextlib
import json
import pathlib
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from decimal import Decimal

from cloudkitty import money
from cloudkitty.period import Period

HOST = "127.0.0.1"

START_SECONDS = 60
STOP_SECONDS = 15

TIME_FORM = "%Y-%m-%dT%H:%M:%S"


class ServerError(Exception):
    """The API does not run or does not answer; the message says where to look."""


def free_port() -> int:
    """Return a port of loopback that nobody listens on now."""
    with socket.socket() as listener:
        listener.bind((HOST, 0))
        port: int = listener.getsockname()[1]
        return port


class Server:
    """``cloudkitty-api`` in a process of its own."""

    def __init__(self, process: "subprocess.Popen[bytes]", port: int, log: pathlib.Path) -> None:
        self._process = process
        self._log = log
        self.url = f"http://{HOST}:{port}"

    def total(self, period: Period) -> Decimal:
        """Ask for the total price of all projects.

        :raises ServerError: there is no proper answer.
        """
        window = {
            "begin": period.begin.strftime(TIME_FORM),
            "end": period.end.strftime(TIME_FORM),
            "all_tenants": "true",
        }
        url = f"{self.url}/v1/report/total?{urllib.parse.urlencode(window)}"
        try:
            with urllib.request.urlopen(url, timeout=60) as answer:
                return money.amount(json.load(answer))
        except (OSError, ValueError) as error:
            raise ServerError(f"{url}: {error}; see {self._log}") from error

    def wait(self) -> int:
        """Wait until the API ends by itself, and return its exit status."""
        return self._process.wait()

    def await_ready(self) -> None:
        """Wait until the API answers.

        :raises ServerError: it has ended, or does not answer in time.
        """
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            if self._process.poll() is not None:
                break
            try:
                urllib.request.urlopen(f"{self.url}/", timeout=5).close()
                return
            except urllib.error.HTTPError as error:
                error.close()
                return
            except OSError:
                time.sleep(0.1)
        raise ServerError(f"cloudkitty-api did not start; the end of {self._log}:\n{self._tail()}")

    def stop(self) -> None:
        """End the API; kill it if it does not end."""
        self._process.terminate()
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _tail(self) -> str:
        return "\n".join(self._log.read_text(errors="replace").splitlines()[-10:])


@contextlib.contextmanager
def serve(conf_file: pathlib.Path, port: int, log: pathlib.Path) -> Iterator[Server]:
    """Run the API of a configuration file on *port* while the context lasts.

    :raises ServerError: the port is taken, or the API does not start.
    """
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError as error:
            raise ServerError(
                f"port {port} of {HOST} cannot be used: {error.strerror}; name another: --port"
            ) from error
    command = [sys.executable, "-m", "cloudkitty.cli.api"]
    command += ["--config-file", str(conf_file), "--port", str(port)]
    with open(log, "wb") as output:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT
        )
        server = Server(process, port, log)
        try:
            server.await_ready()
            yield server
        finally:
            server.stop()
