# SPDX-License-Identifier: Apache-2.0
"""How fast hashmap rates: 10,000 points of 20 scopes with 50 rules (R1) and the same points with
5,030 rules (R2), in the first period and in later ones, and how long its rules take to load; and
5,030 rules with points that use them all, so that nearly every point has a price of its own.

Every price is checked against the rules applied one by one, to the last digit.
"""

import argparse
import random
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import common
from oslo_config import cfg

from cloudkitty import money, period
from cloudkitty.dataframe import DataFrame, Points, Registry, Series
from cloudkitty.db.engine import Database
from cloudkitty.period import Period
from cloudkitty.rating.hashmap.module import Hashmap
from cloudkitty.rating.hashmap.records import NewMapping, NewThreshold
from cloudkitty.rating.hashmap.rules import Mapping, RuleType, Threshold
from cloudkitty.rating.hashmap.store import HashmapStore
from cloudkitty.rating.noop import Noop
from cloudkitty.rating.pipeline import Pipeline
from cloudkitty.rating.state import ModuleStates
from cloudkitty.tests import hashmap_model

BEGIN = period.parse("2026-01-05T10:00:00+00:00")
SCOPES = [f"project-{number:02}" for number in range(20)]
FAVOURED = SCOPES[3]
POINTS = {"instance": 200, "volume": 150, "network.outgoing": 100, "ip.floating": 50}

FIRST_TARGET = 300_000
REPEATED_TARGET = 1_500_000
LOAD_TARGET = 0.3

Usage = dict[str, dict[str, Points]]
"""By scope and metric."""


@dataclass
class PriceList:
    """Rules of a cloud with that many flavours, images and types of volume."""

    flavors: int
    images: int
    types: int

    def rules(self) -> list[Mapping | Threshold]:
        dice = random.Random(common.SEED)

        def cost(low: float, high: float) -> Decimal:
            return money.amount(f"{dice.uniform(low, high):.6f}")

        def mapping(service: str, place: str = "", **more: Any) -> Mapping:
            field, _, value = place.partition("=")
            return Mapping(service=service, field=field or None, value=value, **more)

        rate, flat = RuleType.RATE, RuleType.FLAT
        rules: list[Mapping | Threshold] = [
            mapping("instance", f"flavor=f{n}", cost=cost(0.01, 2)) for n in range(self.flavors)
        ]
        rules += [
            mapping("instance", f"image=i{n}", type=rate, cost=cost(1, 2))
            for n in range(self.images)
        ]
        rules += [mapping("volume", f"type=t{n}", cost=cost(0, 0.01)) for n in range(self.types)]
        rules += [
            mapping("instance", f"flavor=f{n}", cost=cost(0, 1), tenant=FAVOURED) for n in range(5)
        ]
        rules += [
            mapping("volume", f"type=t{n}", cost=cost(0, 0.01), tenant=FAVOURED) for n in range(2)
        ]
        rules += [
            mapping("instance", cost=cost(0, 0.01), group="licence"),
            mapping("instance", cost=cost(0, 0.01), group="licence", tenant=FAVOURED),
            mapping("network.outgoing", cost=cost(0, 0.1)),
            mapping("ip.floating", cost=cost(0, 0.01)),
            mapping("ip.floating", cost=cost(0, 0.01), tenant=FAVOURED),
        ]
        rules += [
            Threshold(
                service="instance", field="vcpus", level=Decimal(n), type=rate, cost=cost(0, 1)
            )
            for n in (8, 16)
        ]
        rules += [
            Threshold(service=service, level=Decimal(n), type=kind, cost=cost(0.5, 1))
            for service in ("volume", "network.outgoing")
            for n, kind in ((100, rate), (500, rate), (900, flat))
        ]
        rules += [
            Threshold(
                service="network.outgoing",
                level=Decimal(n),
                type=rate,
                cost=cost(0, 1),
                tenant=FAVOURED,
            )
            for n in (100, 500)
        ]
        return rules

    def points(self, registry: Registry) -> Usage:
        """Return usage by scope and metric, of all flavours, images and types alike."""
        dice = random.Random(common.SEED)

        def series(scope: str, metric: str, number: int) -> Series:
            metadata = {
                "instance": lambda: {
                    "flavor": f"f{dice.randrange(self.flavors)}",
                    "image": f"i{dice.randrange(self.images + 10)}",
                    "vcpus": str(dice.choice([1, 2, 4, 8, 16, 32])),
                },
                "volume": lambda: {"type": f"t{dice.randrange(self.types)}"},
            }.get(metric, dict)()
            groupby = {"id": f"{scope}-{metric}-{number}", "project_id": scope}
            return registry.series(metric, groupby=groupby, metadata=metadata)

        def quantity(metric: str) -> Decimal:
            if metric in ("instance", "ip.floating"):
                return money.ONE
            return money.amount(f"{dice.uniform(0, 1000):.3f}")

        return {
            scope: {
                metric: Points(
                    [series(scope, metric, number) for number in range(count)],
                    [quantity(metric) for _ in range(count)],
                )
                for metric, count in POINTS.items()
            }
            for scope in SCOPES
        }


def store_rules(database: Database, rules: list[Mapping | Threshold]) -> list[float]:
    """Create *rules* as an administrator would, and return how long each took."""
    store = HashmapStore(database)
    parents: dict[tuple[str, str | None], dict[str, str]] = {}
    groups: dict[str | None, str | None] = {None: None}
    times = []
    for rule in rules:
        if (rule.service, None) not in parents:
            service = store.create_service(rule.service)
            parents[rule.service, None] = {"service_id": service.service_id}
        parent = parents.get((rule.service, rule.field))
        if parent is None:
            service_id = parents[rule.service, None]["service_id"]
            parent = {"field_id": store.create_field(service_id, rule.field or "").field_id}
            parents[rule.service, rule.field] = parent
        if rule.group not in groups:
            groups[rule.group] = store.create_group(rule.group or "").group_id
        common_part: Any = {
            "cost": rule.cost,
            "type": rule.type,
            "group_id": groups[rule.group],
            "tenant_id": rule.tenant,
            **parent,
        }
        begin = time.perf_counter()
        if isinstance(rule, Mapping):
            new = NewMapping(value=rule.value, **common_part)
            store.create_mapping(new, now=BEGIN, user="benchmark")
        else:
            store.create_threshold(NewThreshold(level=rule.level, **common_part))
        times.append(time.perf_counter() - begin)
    return times


def expected_total(rules: list[Mapping | Threshold], usage: Usage) -> Decimal:
    """Return the sum of the prices of all points, each by the rules that could concern it."""
    by_value: dict[tuple[str, str | None, str], list[Mapping | Threshold]] = {}
    for rule in rules:
        value = rule.value if isinstance(rule, Mapping) else ""
        by_value.setdefault((rule.service, rule.field, value), []).append(rule)
    fields = {(rule.service, rule.field) for rule in rules}
    prices = []
    for scope, metrics in usage.items():
        for metric, points in metrics.items():
            for point in points:
                desc = point.desc
                concerned = []
                for service, field in fields:
                    if service == metric:
                        value = str(desc.get(field, "")) if field else ""
                        concerned += by_value.get((metric, field, value), [])
                        concerned += by_value.get((metric, field, ""), []) if value else []
                prices.append(
                    hashmap_model.price(
                        concerned,
                        metric,
                        desc,
                        point.qty,
                        scope=scope,
                        at=BEGIN,
                        fields=("flavor", "image", "type", "vcpus"),
                    )
                )
    return money.total(prices)


def frames(usage: Usage) -> list[tuple[str, DataFrame]]:
    """Return new frames of the same usage, not yet rated."""
    stretch = Period.of(BEGIN, 3600)
    return [
        (
            scope,
            DataFrame(
                stretch,
                {metric: Points(list(p.series), list(p.qty)) for metric, p in metrics.items()},
            ),
        )
        for scope, metrics in usage.items()
    ]


def raw_limit() -> float:
    """Return how many Decimals a second Python multiplies here."""
    dice = random.Random(common.SEED)
    numbers = [money.amount(f"{dice.uniform(0, 1000):.6f}") for _ in range(100_000)]
    multiply = money.RATING.multiply
    taken = common.median_seconds(lambda: lambda: list(map(multiply, numbers, numbers)), 5)
    return len(numbers) / taken


class Bench:
    """One database with the rules of a price list."""

    def __init__(self, prices: PriceList, conf: cfg.ConfigOpts, database: Database) -> None:
        self.conf, self.database = conf, database
        self.rules = prices.rules()
        self.created = store_rules(database, self.rules)
        ModuleStates(database).set("hashmap", enabled=True)

    def pipeline(self) -> Pipeline:
        """Return a pipeline that has not read or compiled any rule yet."""
        modules = {
            "hashmap": Hashmap(self.conf, self.database),
            "noop": Noop(self.conf, self.database),
        }
        return Pipeline(self.conf, self.database, modules)

    def measure_load(self, name: str) -> None:
        """Report how long the rules take to load, and to create."""
        loaded = common.median_seconds(lambda: self.pipeline().refresh, 5)
        settled = self.pipeline()
        common.report(
            f"{name} load rules",
            loaded,
            "s",
            LOAD_TARGET,
            database=self.database.dialect,
            rules=len(self.rules),
            unchanged_s=common.median_seconds(lambda: settled.refresh, 5),
            create_first_s=statistics.median(self.created[:40]),
            create_last_s=statistics.median(self.created[-40:]),
        )

    def repeated(self, usage: Usage) -> Callable[[], Callable[[], object]]:
        """Return what prepares one more period of *usage* to be rated."""
        settled = self.pipeline()
        rating(settled, usage)()
        return lambda: rating(settled, usage)

    def measure_rating(self, name: str, used: PriceList) -> None:
        """Report how fast the usage of a cloud that has the values of *used* is rated."""
        usage = used.points(Registry())

        def first() -> Callable[[], object]:
            fresh = self.pipeline()
            fresh.refresh()
            return rating(fresh, usage)

        settled = self.pipeline()
        first_period = common.median_seconds(first, 7)
        repeated = common.median_seconds(self.repeated(usage), 61)
        checked = [settled.rate(frame, scope) for scope, frame in frames(usage)]
        total = money.total(frame.price for frame in checked)
        if total != expected_total(self.rules, usage):
            raise SystemExit(f"{name}: the total {total} is wrong")
        count, raw = sum(len(frame) for frame in checked), raw_limit()
        for period_name, taken, target in (
            ("first period", first_period, FIRST_TARGET),
            ("repeated period", repeated, REPEATED_TARGET),
        ):
            common.report(
                f"{name} {period_name}",
                count / taken,
                "points/s",
                target,
                database=self.database.dialect,
                points=count,
                rules=len(self.rules),
                total=money.text(total),
                raw_multiplications=raw,
                of_raw=count / taken / raw,
            )


def rating(rated_by: Pipeline, usage: Usage) -> Callable[[], object]:
    """Return a call that rates one period of *usage*."""
    unrated = frames(usage)
    return lambda: [rated_by.rate(frame, scope) for scope, frame in unrated]


def relative_speed(few: Bench, many: Bench, used: PriceList) -> float:
    """Return the speed of *many* rules as a part of that of *few*, measured in turns so that both
    get their share of whatever else the machine does."""
    usage = used.points(Registry())
    of_few, of_many = few.repeated(usage), many.repeated(usage)
    times = [(common.seconds(of_few()), common.seconds(of_many())) for _ in range(61)]
    return statistics.median(one for one, _ in times) / statistics.median(two for _, two in times)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--database", metavar="URL", help="server; unset: a new SQLite file")
    url = parser.parse_args().database
    small, large = PriceList(20, 4, 4), PriceList(2020, 1984, 1004)
    with common.fresh_database(url) as one, common.fresh_database(url) as other:
        few, many = Bench(small, *one), Bench(large, *other)
        few.measure_load("R1")
        few.measure_rating("R1", small)
        many.measure_load("R2")
        many.measure_rating("R2", small)
        many.measure_rating("R2 all values", large)
        common.report("R2 to R1", relative_speed(few, many, small), "of the speed", 0.9)


if __name__ == "__main__":
    main()
