# SPDX-License-Identifier: Apache-2.0
"""A small cloud on disk, for tests of the whole way: usage files, metrics and prices."""

import datetime
import pathlib
from decimal import Decimal

from oslo_config import cfg

from cloudkitty.db.engine import Database
from cloudkitty.db.models import coverage_troubles, scopes
from cloudkitty.processor import build
from cloudkitty.rating.hashmap.records import NewMapping, NewThreshold
from cloudkitty.rating.hashmap.rules import RuleType
from cloudkitty.rating.hashmap.store import HashmapStore
from cloudkitty.rating.state import ModuleStates
from cloudkitty.storage.sqlalchemy import models
from cloudkitty.tests.builders import HOUR, NEW_YEAR

METRICS = """
metrics:
  cpu:
    unit: instance
    alt_name: instance
    groupby: [id]
    metadata: [flavor]
  network.out:
    unit: MB
    factor: 1/1000000
    groupby: [id]
    extra_args: {kind: amount}
"""


def usage(scope_count: int, hours: int) -> str:
    """CSV text: in every scope two instances, one of which is resized every seven hours and
    away every tenth, and a port that sends something else every hour."""
    rows = []
    for n in range(scope_count):
        end = NEW_YEAR + hours * HOUR
        rows.append((NEW_YEAR, end, "cpu", "1", f"p{n}", f"steady-{n}", "small"))
        for number in range(hours):
            begin = NEW_YEAR + number * HOUR
            if number % 10:
                flavor = ("small", "large")[number // 7 % 2]
                rows.append((begin, begin + HOUR, "cpu", "1", f"p{n}", f"busy-{n}", flavor))
            sent = str(1000003 * (number + 1) * (n + 1))
            rows.append((begin, begin + HOUR, "network.out", sent, f"p{n}", f"port-{n}", ""))
    rows.sort(key=lambda row: row[0])
    lines = [",".join((row[0].isoformat(), row[1].isoformat(), *row[2:])) for row in rows]
    return "\n".join(["begin,end,metric,qty,project_id,id,flavor", *lines]) + "\n"


def configure(conf: cfg.ConfigOpts, directory: pathlib.Path, *, scopes: int, hours: int) -> None:
    """Write the cloud's files and point *conf* at them."""
    (directory / "usage.csv").write_text(usage(scopes, hours))
    (directory / "metrics.yml").write_text(METRICS)
    conf.set_override("collector", "csv", "collect")
    conf.set_override("metrics_conf", str(directory / "metrics.yml"), "collect")
    conf.set_override("first_period", NEW_YEAR.isoformat(), "collect")
    conf.set_override("file", [str(directory / "usage.csv")], "collector_csv")
    conf.set_override("backend", "csv", "fetcher")


def sections(url: str, directory: pathlib.Path, *, hours: int) -> dict[str, dict[str, object]]:
    """What a configuration file says so that the commands rate this cloud into the database at
    *url*, and serve it."""
    return {
        "DEFAULT": {"auth_strategy": "noauth", "state_path": directory},
        "database": {"connection": url},
        "collect": {
            "collector": "csv",
            "metrics_conf": directory / "metrics.yml",
            "first_period": NEW_YEAR.isoformat(),
            # The usage ends there: later periods are empty, and need not be rated.
            "wait_periods": (build.utcnow() - NEW_YEAR) // HOUR - hours + 1,
        },
        "collector_csv": {"file": directory / "usage.csv"},
        "fetcher": {"backend": "csv"},
        "orchestrator": {"max_workers": 1},
        "api": {"host_ip": "127.0.0.1", "port": 0, "workers": 1},
    }


def wipe(database: Database) -> None:
    """Forget all that was rated, and the scopes; prices stay."""
    with database.writer() as connection:
        for table in (models.runs, models.series, coverage_troubles, scopes):
            connection.execute(table.delete())


def price(database: Database) -> None:
    """Price flavors, and traffic with a discount; one project pays less for small."""
    store = HashmapStore(database)
    start = NEW_YEAR - datetime.timedelta(days=1)

    def mapping(**rule: object) -> None:
        new = NewMapping(start=start, **rule)  # type: ignore[arg-type]
        store.create_mapping(new, now=start, user="test", force=True)

    instance = store.create_service("instance")
    flavor = store.create_field(instance.service_id, "flavor")
    mapping(field_id=flavor.field_id, value="small", cost=Decimal("0.0333"))
    mapping(field_id=flavor.field_id, value="large", cost=Decimal("0.1234567890123456789"))
    mapping(field_id=flavor.field_id, value="small", cost=Decimal("0.03"), tenant_id="p1")
    network = store.create_service("network.out")
    mapping(service_id=network.service_id, cost=Decimal("0.00017"))
    discount = NewThreshold(
        service_id=network.service_id, level=Decimal(300), cost=Decimal("0.85"), type=RuleType.RATE
    )
    store.create_threshold(discount)
    ModuleStates(database).set("hashmap", enabled=True, priority=1)
