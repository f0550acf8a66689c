# SPDX-License-Identifier: Apache-2.0
"""A Prometheus of the tests' own, with samples of the past that the tests have written down.

It needs the programs ``prometheus`` and ``promtool``; every wait is bounded.
"""

import pathlib
import shutil
import subprocess
import time
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

import requests

from cloudkitty import period
from cloudkitty.tests.functional import commands
from cloudkitty.tests.functional.answering import AnsweringServer, Request, Response

DAY = datetime(2021, 3, 4, tzinfo=period.UTC)


def missing() -> str | None:
    """Why no server can be started, ``None`` when one can."""
    lacking = [name for name in ("prometheus", "promtool") if shutil.which(name) is None]
    return f"no {' and no '.join(lacking)} on the path" if lacking else None


def seconds(time_of_day: str) -> float:
    """``HH:MM:SS``, with a fraction if need be, as seconds of the day."""
    hours, minutes, rest = time_of_day.split(":")
    return 3600 * int(hours) + 60 * int(minutes) + float(rest)


def every(step: int, begin: str, end: str, value: object = 1) -> dict[float, object]:
    """Samples of one value, from *begin* on and before *end*."""
    return dict.fromkeys(_steps(step, begin, end), value)


def growing(step: int, begin: str, end: str, by: int, start: int = 0) -> dict[float, object]:
    """Samples of a counter."""
    return {at: start + by * index for index, at in enumerate(_steps(step, begin, end))}


def _steps(step: int, begin: str, end: str) -> list[float]:
    return [float(at) for at in range(int(seconds(begin)), int(seconds(end)), step)]


class Recording:
    """Samples of one day, by metric and labels, in the text form of OpenMetrics."""

    def __init__(self, day: datetime = DAY) -> None:
        self._begin = day.timestamp()
        self._metrics: dict[str, list[str]] = {}

    def add(self, metric: str, labels: Mapping[str, str], values: Mapping[float, object]) -> None:
        """Add samples of one series: second of the day to value."""
        written = ",".join(f"{name}={_text(value)}" for name, value in labels.items())
        self._metrics.setdefault(metric, []).extend(
            f"{metric}{{{written}}} {value} {self._begin + at:.3f}"
            for at, value in sorted(values.items())
        )

    def text(self) -> str:
        lines = [line for lines in self._metrics.values() for line in lines]
        return "\n".join([*lines, "# EOF", ""])


def _text(value: str) -> str:
    escaped = value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'


class Server:
    """A running Prometheus; ``url`` is that of its API."""

    def __init__(
        self,
        directory: pathlib.Path,
        recorded: str | Iterable[str] = "",
        *,
        flags: Iterable[str] = (),
        targets: Iterable[str] = (),
    ) -> None:
        """Load the text, or its lines, and start. *targets* are scraped every second."""
        data = directory / "data"
        data.mkdir()
        if recorded:
            source = directory / "recorded.txt"
            with source.open("w", encoding="utf-8") as stream:
                stream.writelines([recorded] if isinstance(recorded, str) else recorded)
            self._load(source, data)
        config = directory / "prometheus.yml"
        config.write_text(_configuration(targets), encoding="utf-8")
        port = commands.free_port()
        self.url = f"http://127.0.0.1:{port}/api/v1"
        self._log = directory / "prometheus.log"
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [
                    "prometheus",
                    f"--config.file={config}",
                    f"--storage.tsdb.path={data}",
                    "--storage.tsdb.retention.time=100y",
                    f"--web.listen-address=127.0.0.1:{port}",
                    *flags,
                ],
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        self._wait(f"http://127.0.0.1:{port}/-/ready")

    def query(self, text: str, at: float | None = None) -> list[dict[str, Any]]:
        """What the server itself answers."""
        fields = {"query": text} | ({} if at is None else {"time": str(at)})
        answer = requests.post(f"{self.url}/query", data=fields, timeout=60)
        answer.raise_for_status()
        found: list[dict[str, Any]] = answer.json()["data"]["result"]
        return found

    def stop(self) -> None:
        self._process.terminate()
        try:
            self._process.wait(commands.BOUND)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    @staticmethod
    def _load(source: pathlib.Path, data: pathlib.Path) -> None:
        done = subprocess.run(
            ["promtool", "tsdb", "create-blocks-from", "openmetrics", str(source), str(data)],
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert done.returncode == 0, done.stderr

    def _wait(self, ready: str) -> None:
        deadline = time.monotonic() + commands.BOUND
        while time.monotonic() < deadline and self._process.poll() is None:
            try:
                if requests.get(ready, timeout=5).status_code == 200:
                    return
            except requests.RequestException:
                pass
            time.sleep(0.02)
        self.stop()
        raise AssertionError(f"Prometheus did not start\n{self._log.read_text()}")


class Exporter(AnsweringServer):
    """Something to scrape: ``page`` is what it shows now."""

    def __init__(self, page: str = "") -> None:
        self.page = page
        super().__init__(self._show)

    def _show(self, _: Request) -> Response:
        return Response(200, self.page.encode(), {"Content-Type": "text/plain; version=0.0.4"})


def eventually(server: Server, query: str, *, is_found: bool = True) -> list[dict[str, Any]]:
    """What the server answers as soon as it answers anything, or nothing."""
    deadline = time.monotonic() + commands.BOUND
    while time.monotonic() < deadline:
        found = server.query(query)
        if bool(found) == is_found:
            return found
        time.sleep(0.1)
    raise AssertionError(f"{query} did not come about")


def _configuration(targets: Iterable[str]) -> str:
    listed = ", ".join(f"'{target}'" for target in targets)
    return (
        "global: {scrape_interval: 1s}\n"
        "scrape_configs:\n"
        f"- {{job_name: test, static_configs: [{{targets: [{listed}]}}]}}\n"
    )
