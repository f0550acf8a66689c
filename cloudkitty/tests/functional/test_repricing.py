# SPDX-License-Identifier: Apache-2.0
"""Prices are changed from the past on and the past is priced anew, with the source gone: by the
API, a processor of its own, and readers who look on all the time."""

import pathlib
import time
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest
import requests

from cloudkitty import config as configuration
from cloudkitty.db.engine import Database
from cloudkitty.rating.hashmap.records import NewMapping
from cloudkitty.rating.hashmap.store import HashmapStore
from cloudkitty.rating.state import ModuleStates
from cloudkitty.tests import api, cloud
from cloudkitty.tests.builders import HOUR, NEW_YEAR
from cloudkitty.tests.databases import TestServer
from cloudkitty.tests.functional import commands
from cloudkitty.tests.functional.live import LiveApi

SCOPES = 200

HOURS = 192
"""More than a week."""

OLD, NEW = Decimal("0.5"), Decimal("0.75")
"""What an instance-hour costs."""


def usage(scopes: int, hours: int) -> str:
    """CSV text: project ``n`` has an instance all the time, and ``n % 4`` more every other
    hour."""
    lines = ["begin,end,metric,qty,project_id,id,flavor_id,vcpus,volume_type"]
    end = NEW_YEAR + hours * HOUR
    lines += [
        f"{NEW_YEAR.isoformat()},{end.isoformat()},cpu,1,p{n:03},steady-{n},small,2,"
        for n in range(scopes)
    ]
    for number in range(0, hours, 2):
        begin = NEW_YEAR + number * HOUR
        lines += [
            f"{begin.isoformat()},{(begin + HOUR).isoformat()},cpu,{n % 4},p{n:03},busy-{n},big,8,"
            for n in range(scopes)
            if n % 4
        ]
    return "\n".join(lines) + "\n"


def quantity(project: str, hours: int) -> int:
    """The instance-hours of a project."""
    return hours + int(project[1:]) % 4 * ((hours + 1) // 2)


class Site:
    """A cloud that was rated at the old price, its API, and what an operator does to it."""

    def __init__(self, directory: pathlib.Path, database: Database, hours: int) -> None:
        self.directory = directory
        self.database = database
        self.hours = hours
        self.source = directory / "usage.csv"
        self.source.write_text(usage(SCOPES, hours))
        (directory / "metrics.yml").write_text(api.METRICS)
        sections = cloud.sections(database.url, directory, hours=hours)
        self.config = commands.write_configuration(directory / "cloudkitty.conf", sections)
        self.log = directory / "processor.log"
        self._store = HashmapStore(database)
        self._service = self._store.create_service("instance").service_id
        self._mapping: str | None = None
        ModuleStates(database).set("hashmap", enabled=True)
        self.set_price(OLD)
        done = commands.run_warm("processor", self.config, "--once")
        assert done.code == 0, done.err
        self.server = LiveApi(self.config)
        end = NEW_YEAR + hours * HOUR
        self.window = {"begin": NEW_YEAR.isoformat(), "end": end.isoformat()}

    def set_price(self, cost: Decimal) -> None:
        """Have an instance-hour cost that since New Year."""
        if self._mapping is not None:
            self._store.delete_mapping(self._mapping, now=NEW_YEAR, user="test")
        rule = NewMapping(service_id=self._service, cost=cost, start=NEW_YEAR)
        made = self._store.create_mapping(rule, now=NEW_YEAR, user="test", force=True)
        self._mapping = made.mapping_id

    def get(self, noun: str, **arguments: Any) -> Any:
        answer = requests.get(f"{self.server.url}/v2/{noun}", params=arguments, timeout=60)
        assert answer.status_code == 200, answer.text
        return answer.json(parse_float=Decimal)

    def ask(self, **more: Any) -> None:
        """Ask for everything to be priced anew from the usage in the ledger."""
        body = {
            "scope_ids": "ALL",
            "start_reprocess_time": self.window["begin"],
            "end_reprocess_time": self.window["end"],
            "reason": "the price was wrong",
            "mode": "rate",
            **more,
        }
        answer = requests.post(f"{self.server.url}/v2/task/reprocesses", json=body, timeout=60)
        assert (answer.status_code, answer.json()) == (202, {})

    def tasks(self) -> list[Any]:
        found: list[Any] = []
        marker: dict[str, str] = {}
        while True:
            page = self.get("task/reprocesses", **marker)
            found += page["results"]
            if "next" not in page:
                return found
            marker = {"marker": page["next"]}

    def are_done(self) -> bool:
        return all(task["state"] == "done" for task in self.tasks())

    def bill(self) -> dict[str, Decimal]:
        """What each project has to pay."""
        rows = self.get("summary", groupby="project_id", limit=1000, **self.window)["results"]
        return {row[4]: Decimal(row[3]) for row in rows}

    def total(self) -> Decimal:
        [row] = self.get("summary", **self.window)["results"]
        return Decimal(row[3])

    def expected(self, price: Decimal) -> dict[str, Decimal]:
        names = [f"p{n:03}" for n in range(SCOPES)]
        return {name: price * quantity(name, self.hours) for name in names}


def watch(site: Site, seconds: float = commands.BOUND) -> Iterator[tuple[Decimal, Any]]:
    """Read the total and the bill until all tasks are done."""
    deadline = time.monotonic() + seconds
    while not site.are_done():
        assert time.monotonic() < deadline, site.log.read_text()
        yield site.total(), site.bill()


@pytest.fixture
def site(tmp_path: pathlib.Path, sqlite_server: TestServer) -> Iterator[Site]:
    conf = configuration.load([], config_files=[])
    site = Site(tmp_path, sqlite_server.fresh(conf, tmp_path), HOURS)
    yield site
    site.server.stop()
    site.database.dispose()


def test_the_past_is_priced_anew_without_the_source(site: Site) -> None:
    old, new = site.expected(OLD), site.expected(NEW)
    assert site.bill() == old
    site.set_price(NEW)
    site.source.unlink()
    site.ask(dry_run=True)
    with commands.daemon(site.config, site.log):
        commands.wait_until(site.are_done, "the difference is known", site.log)
    assert site.bill() == old
    told = {task["scope_id"]: task["result"]["instance"] for task in site.tasks()}
    assert {name: pair["before"] for name, pair in told.items()} == old
    assert {name: pair["after"] for name, pair in told.items()} == new
    site.ask()
    with commands.daemon(site.config, site.log):
        for total, bill in watch(site):
            assert bill.keys() == old.keys()
            assert all(price in (old[name], new[name]) for name, price in bill.items())
            assert sum(old.values()) <= total <= sum(new.values())
    assert site.bill() == new
    assert site.total() == sum(new.values())
    assert {task["note"] for task in site.tasks()} == {None}
