# SPDX-License-Identifier: Apache-2.0
"""The fetcher and the storage driver of the developer's pages, as they are printed there: installed
as a package of their own, and run by the commands."""

import datetime
import json
import os
import pathlib
import re
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from typing import Any

import pytest
from oslo_config import cfg

from cloudkitty.dataframe import Registry
from cloudkitty.db.engine import Database
from cloudkitty.fetcher.base import FetchError
from cloudkitty.tests import builders
from cloudkitty.tests.functional.commands import ROOT, write_configuration
from cloudkitty.tests.functional.scripted import ScriptedServer

PAGES = ROOT / "doc" / "source" / "developer"
TESTS = ROOT / "cloudkitty" / "tests"

CONTRACTS = "/contracts"

TEMPLATES = {
    "contracts": ("fetcher.rst", "cloudkitty.fetchers", "ContractsFetcher"),
    "archive": ("storage.rst", "cloudkitty.storage.v2.backends", "ArchivingStorage"),
}


def block(page: str, language: str) -> str:
    """The first block of that language on a page."""
    text = (PAGES / page).read_text()
    found = re.search(rf"\.\. code-block:: {language}\n\n((?:   .*\n|\n)+)", text)
    assert found
    return textwrap.dedent(found[1])


@pytest.fixture
def contracts() -> Iterator[ScriptedServer]:
    """A list of contracts, at CONTRACTS: web-shop is rated, tests is not."""
    listed = [{"project_id": "web-shop", "rated": True}, {"project_id": "tests", "rated": False}]
    server = ScriptedServer()
    server.answers[CONTRACTS] = [(200, json.dumps({"contracts": listed}))]
    yield server
    server.stop()


@pytest.fixture
def site(tmp_path: pathlib.Path) -> pathlib.Path:
    """A directory that has the templates installed, with the entry points of their pages."""
    directory = tmp_path / "site"
    package, metadata = directory / "mycloud", directory / "mycloud-1.0.dist-info"
    package.mkdir(parents=True)
    metadata.mkdir()
    (package / "__init__.py").touch()
    points = ""
    for name, (page, namespace, cls) in TEMPLATES.items():
        (package / f"{name}.py").write_text(block(page, "python"))
        lines = [line.strip() for line in block(page, "ini").splitlines() if line.strip()]
        assert lines == [
            "[options.entry_points]",
            f"{namespace} =",
            f"{name} = mycloud.{name}:{cls}",
        ]
        points += f"[{namespace}]\n{lines[2]}\n"
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: mycloud\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text(points)
    return directory


def command(site: pathlib.Path, name: str, *args: str) -> subprocess.CompletedProcess[str]:
    path = os.pathsep.join([str(site), *filter(None, [os.environ.get("PYTHONPATH")])])
    return subprocess.run(
        [sys.executable, "-m", f"cloudkitty.cli.{name}", *args],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_fetcher_and_storage_run(
    site: pathlib.Path, tmp_path: pathlib.Path, contracts: ScriptedServer
) -> None:
    archive = tmp_path / "archive"
    now = datetime.datetime.now(datetime.UTC).replace(minute=0, second=0, microsecond=0)
    begin = now - datetime.timedelta(hours=5)
    usage = tmp_path / "usage.csv"
    usage.write_text(
        "begin,end,metric,qty,project_id,id,flavor_name\n"
        f"{begin:%Y-%m-%dT%H:%M:%SZ},{now:%Y-%m-%dT%H:%M:%SZ},instance,1,tests,01bb,m1.small\n"
        f"{begin + datetime.timedelta(minutes=15):%Y-%m-%dT%H:%M:%SZ},{now:%Y-%m-%dT%H:%M:%SZ},"
        "instance,1,web-shop,77aa,m1.small\n"
    )
    config = write_configuration(
        tmp_path / "cloudkitty.conf",
        {
            "DEFAULT": {"state_path": tmp_path},
            "collect": {
                "collector": "csv",
                "scope_key": "project_id",
                "metrics_conf": TESTS / "usage-example.yml",
                "first_period": f"{begin:%Y-%m-%dT%H:%M:%S}",
            },
            "collector_csv": {"file": usage},
            "fetcher": {"backend": "contracts"},
            "fetcher_contracts": {"url": f"{contracts.url}{CONTRACTS}"},
            "storage": {"backend": "archive"},
            "storage_archive": {"directory": archive},
        },
    )
    made = command(site, "storage", "--config-file", str(config))
    assert (made.returncode, made.stderr) == (0, "")
    rated = command(site, "processor", "--config-file", str(config), "--once")
    assert rated.returncode == 0, rated.stderr
    copied = sorted(archive.glob("*.jsonl"))
    first = archive / f"web-shop_{begin:%Y-%m-%dT%H}00.jsonl"
    assert len(copied) > 2
    assert copied[0] == first
    assert [json.loads(line) for line in first.read_text().splitlines()] == [
        {
            "metric": "instance",
            "qty": "0.75",
            "price": "0",
            "attributes": {"project_id": "web-shop", "id": "77aa", "flavor_name": "m1.small"},
        }
    ]
    assert not list(archive.glob(".*"))
    asked = command(site, "status", "--config-file", str(config), "scopes", "--json")
    assert [scope["scope_id"] for scope in json.loads(asked.stdout)] == ["web-shop"]


def test_fetcher_that_gets_no_answer_says_where(
    conf: cfg.ConfigOpts, contracts: ScriptedServer
) -> None:
    names: dict[str, Any] = {}
    exec(block("fetcher.rst", "python"), names)
    url = f"{contracts.url}{CONTRACTS}"
    conf.register_opts(names["OPTIONS"], "fetcher_contracts")
    conf.set_override("url", url, "fetcher_contracts")
    fetcher = names["ContractsFetcher"](conf)
    assert fetcher.scopes() == ["web-shop"]
    for status, body in (
        (503, ""),
        (200, "{}"),
        (200, "[]"),
        (200, "no JSON"),
        (200, '{"contracts": [{"rated": true}]}'),
    ):
        contracts.answers[CONTRACTS] = [(status, body)]
        with pytest.raises(FetchError, match=re.escape(f"[fetcher_contracts] url {url}")):
            fetcher.scopes()


def test_archive_has_what_the_ledger_has(
    conf: cfg.ConfigOpts, sqlite_database: Database, tmp_path: pathlib.Path
) -> None:
    names: dict[str, Any] = {}
    exec(block("storage.rst", "python"), names)
    conf.register_opts(names["OPTIONS"], "storage_archive")
    conf.set_override("directory", str(tmp_path / "archive"), "storage_archive")
    store = names["ArchivingStorage"](conf, sqlite_database, Registry())
    store.init()
    path = tmp_path / "archive" / "p_2026-01-01T0000.jsonl"
    state = builders.states(sqlite_database, "p")["p"]
    for price in ("0.1", "0.2"):
        frame = builders.frame(builders.hour(0), [("vm", {"id": "a"}, 1, price)])
        assert not store.replace(builders.hour(0), {state: frame})
        assert json.loads(path.read_text())["price"] == price
        state = builders.states(sqlite_database, "p")["p"]
    # Somebody else was there first: nothing is stored, and nothing copied.
    stale = builders.states(sqlite_database, "p")["p"]
    frame = builders.frame(builders.hour(1), [("vm", {"id": "a"}, 1, "1")])
    assert not store.replace(builders.hour(1), {stale: frame})
    frame = builders.frame(builders.hour(1), [("vm", {"id": "a"}, 1, "5")])
    assert list(store.replace(builders.hour(1), {stale: frame})) == [stale]
    copied = tmp_path / "archive" / "p_2026-01-01T0100.jsonl"
    assert json.loads(copied.read_text())["price"] == "1"
