# SPDX-License-Identifier: Apache-2.0
"""The collector in the developer's pages as a package of its own, found by its entry point: what it
collects is rated."""

import json
import pathlib

import pytest
from stevedore import ExtensionManager

from cloudkitty import config as configuration
from cloudkitty.dataframe import Registry
from cloudkitty.db.engine import Database
from cloudkitty.processor import build, once
from cloudkitty.storage import factory
from cloudkitty.storage.base import GROUP_SCOPE, Query
from cloudkitty.tests import guests
from cloudkitty.tests.builders import HOUR, NEW_YEAR
from cloudkitty.tests.functional import commands
from cloudkitty.tests.functional.scripted import ScriptedServer
from cloudkitty.tests.unit.test_collector_template import printed

ENTRY_POINTS = """\
[cloudkitty.collector.backends]
meters = mycloud.meters:MetersCollector
"""

METRICS = "metrics: {vm: {unit: x, groupby: [id], metadata: [flavor]}}"

USAGE = {
    "usage": [
        {"project_id": "p", "id": "a", "flavor": "s", "value": 1.5},
        {"project_id": "q", "id": "b", "flavor": "s", "value": 2},
        {"project_id": "other", "id": "c", "flavor": "s", "value": 1},
    ]
}


def test_what_it_collects_is_rated(
    sqlite_database: Database, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "site" / "mycloud"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "meters.py").write_text(printed())
    guests.install(package.parent, ENTRY_POINTS)
    monkeypatch.syspath_prepend(package.parent)
    monkeypatch.setattr(ExtensionManager, "ENTRY_POINT_CACHE", {})
    server = ScriptedServer()
    server.answers["/usage"] = [(503, "")] * 3 + [(200, json.dumps(USAGE))]
    (tmp_path / "metrics.yml").write_text(METRICS)
    config = commands.write_configuration(
        tmp_path / "cloudkitty.conf",
        {
            "database": {"connection": sqlite_database.url},
            "collect": {
                "collector": "meters",
                "metrics_conf": tmp_path / "metrics.yml",
                "first_period": NEW_YEAR.isoformat(),
                "wait_periods": 1,
            },
            "collector_meters": {"url": f"{server.url}/usage"},
            "fetcher": {"backend": "source"},
            "fetcher_source": {"sources": "p,q"},
        },
    )
    conf = configuration.load([], config_files=[str(config)])
    now = NEW_YEAR + 2.5 * HOUR
    processor = build.build(conf, database=sqlite_database, clock=lambda: now)
    # The first three are those to both projects, and to each alone.
    assert len(once.rate_all(processor).failed) == 2
    assert once.rate_all(processor).periods == 4
    processor.worker.close()
    server.stop()
    storage = factory.build(conf, sqlite_database, Registry())
    rows = storage.total(Query(NEW_YEAR, NEW_YEAR + 3 * HOUR), [GROUP_SCOPE]).rows
    assert {row.group: row.qty for row in rows} == {("p",): 3, ("q",): 4}
