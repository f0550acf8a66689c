# SPDX-License-Identifier: Apache-2.0
"""The demo's month: what the service says it costs is what a naive second reckoning finds."""

import contextlib
import csv
import datetime
import gzip
import importlib.resources
import io
import json
import pathlib
import re
import runpy
import socket
import urllib.request
from collections import defaultdict
from collections.abc import Iterator
from decimal import Decimal
from fractions import Fraction
from typing import Any, NamedTuple

import pytest
import yaml
from oslo_config import cfg

from cloudkitty import config
from cloudkitty.cli import demo
from cloudkitty.demo import bill, month, server
from cloudkitty.demo.directory import StateDirectory

CHECKOUT = pathlib.Path(__file__).parents[3]
SHOWN = CHECKOUT / "cloudkitty" / "tests" / "demo-bill.txt"

HOUR = datetime.timedelta(hours=1)
SECOND = datetime.timedelta(seconds=1)

Cells = tuple[tuple[str, str], ...]
Sums = dict[tuple[str, str], tuple[Fraction, Fraction]]


class Demo(NamedTuple):
    """A demo that has been run once, and what it printed."""

    state: StateDirectory
    printed: str

    def run(self, *args: str) -> int:
        return demo.main(["--state-dir", str(self.state.path), "--no-serve", *args])


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Demo:
    fresh = Demo(StateDirectory(tmp_path_factory.mktemp("demo") / "state"), "")
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        assert fresh.run() == 0
    return fresh._replace(printed=printed.getvalue())


@pytest.fixture(scope="module")
def rated(ran: Demo) -> cfg.ConfigOpts:
    """The configuration of a demo whose month has been rated."""
    return config.load([], config_files=[str(ran.state.conf_file)])


@pytest.fixture(scope="module")
def found(rated: cfg.ConfigOpts) -> bill.Bill:
    return month.read_bill(rated)


def shipped(name: str) -> bytes:
    return importlib.resources.files("cloudkitty.demo").joinpath(name).read_bytes()


class Reckoner:
    """Prices the shipped usage hour by hour with the shipped price list, in plain fractions."""

    def __init__(self) -> None:
        self._metrics = yaml.safe_load(shipped("metrics.yml"))["metrics"]
        services = yaml.safe_load(shipped("prices.yml"))["services"]
        self._services = {service["name"]: service for service in services}

    def sums(self) -> Sums:
        sums: Sums = defaultdict(lambda: (Fraction(0), Fraction(0)))
        for (_, cells), qty in self._points().items():
            row = dict(cells)
            key = row["project_id"], row["metric"]
            sum_qty, sum_price = sums[key]
            sums[key] = sum_qty + qty, sum_price + self._price(row, qty)
        return dict(sums)

    def _points(self) -> dict[tuple[datetime.datetime, Cells], Fraction]:
        """The quantity of each hour and each thing: rows that differ in time only add up."""
        points: dict[tuple[datetime.datetime, Cells], Fraction] = defaultdict(Fraction)
        lines = gzip.decompress(shipped("usage.csv.gz")).decode().splitlines()
        for row in csv.DictReader(lines):
            same = {name: row[name] for name in row if name not in ("begin", "end", "qty")}
            for hour, qty in self._quantities(row):
                points[hour, tuple(same.items())] += qty
        return points

    def _quantities(self, row: dict[str, str]) -> Iterator[tuple[datetime.datetime, Fraction]]:
        definition = self._metrics[row["metric"]]
        begin, end = (datetime.datetime.fromisoformat(row[name]) for name in ("begin", "end"))
        raw = Fraction(row["qty"]) * Fraction(definition.get("factor", 1))
        hour = begin.replace(minute=0)
        while hour < end:
            overlap = min(end, hour + HOUR) - max(begin, hour)
            whole = HOUR if definition["extra_args"]["kind"] == "level" else end - begin
            yield hour, raw * Fraction(overlap // SECOND, whole // SECOND)
            hour += HOUR

    def _price(self, row: dict[str, str], qty: Fraction) -> Fraction:
        service = self._services.get(row["metric"])
        if service is None:
            return Fraction(0)
        matching = list(self._own(service.get("mappings", []), row))
        for field in service.get("fields", []):
            value = row[field["name"]]
            mappings = [mapping for mapping in field["mappings"] if mapping["value"] == value]
            matching += self._own(mappings, row)
        price = max((Fraction(m["cost"]) for m in matching if m["type"] == "flat"), default=0)
        for mapping in matching:
            if mapping["type"] == "rate":
                price *= Fraction(mapping["cost"])
        reached = [t for t in service.get("thresholds", []) if qty >= Fraction(t["level"])]
        discount = max(reached, key=lambda t: Fraction(t["level"]), default={"cost": 1})
        return Fraction(price * qty * Fraction(discount["cost"]))

    @staticmethod
    def _own(mappings: list[dict[str, Any]], row: dict[str, str]) -> list[dict[str, Any]]:
        """The rules of the project if it has any, else those for everybody."""
        own = [mapping for mapping in mappings if mapping.get("project") == row["project_id"]]
        return own or [mapping for mapping in mappings if "project" not in mapping]


def test_every_sum_is_that_of_an_independent_reckoning(found: bill.Bill) -> None:
    ledger = {
        (line.project, line.metric): (Fraction(line.qty), Fraction(line.price))
        for line in found.lines
    }
    assert ledger == Reckoner().sums()


def test_the_price_list_is_used_up_to_its_last_rule(found: bill.Bill) -> None:
    """Prices differ by project, and a discount is reached: else the demo shows nothing."""
    prices = {(line.project, line.metric): line for line in found.lines}
    assert len(found.projects()) == 5
    assert prices["web-shop", "network.incoming.bytes"].price == 0
    traffic = prices["web-shop", "network.outgoing.bytes"]
    assert Decimal("0.036") < traffic.price / traffic.qty < Decimal("0.048")


def test_rating_again_changes_nothing(rated: cfg.ConfigOpts, found: bill.Bill) -> None:
    assert month.rate(rated).periods == 0
    assert month.read_bill(rated) == found


def test_the_documented_bill_is_the_one_that_is_printed(found: bill.Bill) -> None:
    assert SHOWN.read_text() == bill.render(found) + "\n"


def test_the_total_is_exact_and_rounded_for_show(found: bill.Bill) -> None:
    text = bill.render(found)
    exact = re.search(r"exactly ([0-9.]+) EUR", text)
    assert exact is not None
    assert Decimal(exact[1]) == found.total
    assert f"{found.total:,.2f}" in text


def answers(base: str, page: str) -> Iterator[Any]:
    """What the API says to each ``curl`` of *page*, in order; an id that an answer brings goes
    into the requests after it."""
    known: dict[str, str] = {}
    joined = page.replace("\\\n", " ")
    for line in re.findall(r"^ *curl (.*)$", joined, re.MULTILINE):
        url = re.search(r"http://127\.0\.0\.1:8889([^\s']*)", line)
        assert url is not None
        data = re.search(r"-d '([^']*)'", line)
        body = data[1] if data else ""
        for name, value in known.items():
            body = body.replace(name.upper(), value)
        request = urllib.request.Request(
            base + url[1], body.encode() or None, {"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=60) as answer:
            said = json.load(answer)
        yield said
        if isinstance(said, dict) and isinstance(said.get("service_id"), str):
            known["service_id"] = said["service_id"]


@pytest.fixture(scope="module")
def url(rated: cfg.ConfigOpts) -> Iterator[str]:
    """Where the API of the rated month runs."""
    conf_file = pathlib.Path(rated.config_file[0])
    with server.serve(conf_file, server.free_port(), conf_file.with_name("api.log")) as api:
        yield api.url


def test_first_price_of_the_newcomer_is_quoted(url: str) -> None:
    page = (CHECKOUT / "doc" / "source" / "newcomer.rst").read_text()
    service, mapping, quote = answers(url, page)
    assert mapping["service_id"] == service["service_id"]
    assert f'The answer is ``"{quote}"``' in page


def test_questions_that_the_command_proposes_have_answers(url: str, found: bill.Bill) -> None:
    proposal = demo.proposal("http://127.0.0.1:8889", month.MONTH)
    total, summary, services = answers(url, proposal)
    assert Decimal(total) == found.total
    assert len(summary["summary"]) == len(found.lines)
    assert services["services"]


def test_shipped_usage_is_what_its_program_writes(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fresh = tmp_path / "usage.csv.gz"
    monkeypatch.setattr("sys.argv", ["make-demo-usage", str(fresh)])
    runpy.run_path(str(CHECKOUT / "tools" / "make-demo-usage"), run_name="__main__")
    assert gzip.decompress(fresh.read_bytes()) == gzip.decompress(shipped("usage.csv.gz"))


def test_the_command_prints_the_bill_and_the_same_total_from_the_api(ran: Demo) -> None:
    assert SHOWN.read_text() in ran.printed
    exact = re.search(r"exactly ([0-9.]+) EUR", ran.printed)
    answer = re.search(r"API says +([0-9.]+) EUR", ran.printed)
    assert exact is not None
    assert answer is not None
    assert answer[1] == exact[1]


def test_running_it_again_prints_the_same_and_changes_nothing(
    ran: Demo, capsys: pytest.CaptureFixture[str]
) -> None:
    def contents() -> dict[str, bytes]:
        files = (path for path in ran.state.path.rglob("*") if path.is_file())
        return {path.name: path.read_bytes() for path in files if path.name != "api.log"}

    before = contents()
    assert ran.run() == 0
    assert SHOWN.read_text() in capsys.readouterr().out
    assert contents() == before


def test_the_command_explains_a_foreign_directory(
    tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "letter.txt").write_text("dear")
    assert demo.main(["--state-dir", str(tmp_path), "--no-serve"]) == 1
    assert "--state-dir" in capsys.readouterr().err


def test_the_command_explains_a_taken_port(ran: Demo, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        port = str(listener.getsockname()[1])
        assert ran.run("--port", port) == 1
    assert f"port {port}" in capsys.readouterr().err


def test_the_command_explains_a_ledger_of_another_release(
    tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    state = StateDirectory(tmp_path / "state")
    state.open("2026-01-01T00:00:00", 8889)
    state.finish("a bill of long ago")
    assert Demo(state, "").run() == 1
    assert "cloudkitty-dbsync upgrade" in capsys.readouterr().err
