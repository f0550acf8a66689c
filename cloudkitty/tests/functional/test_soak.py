# SPDX-License-Identifier: Apache-2.0
"""``benchmarks/soak.py`` runs, finds nothing wrong in a short run, and finds what is wrong."""

import json
import subprocess
import sys
from collections.abc import Callable, Mapping
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from cloudkitty import period
from cloudkitty.dataframe import DataFrame
from cloudkitty.period import Period
from cloudkitty.storage.base import Page, Query, ScopedFrame
from cloudkitty.tests.builders import NEW_YEAR, frame, scope
from cloudkitty.tests.functional.commands import ROOT

BENCHMARKS = ROOT / "benchmarks"

BOUND = 150
"""Seconds that the short run may take on a machine with other work to do."""


def test_a_short_run_finds_every_period_once(tmp_path: Path) -> None:
    done = subprocess.run(
        [
            *(sys.executable, str(BENCHMARKS / "soak.py"), "--quiet", "--output", str(tmp_path)),
            *("--duration", "12", "--scopes", "50", "--period", "3", "--behind", "8"),
            *("--flap-every", "1", "--sample", "0.5", "--rate", "20"),
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=BOUND,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    facts = json.loads(done.stdout)
    assert (facts["wrong"], facts["errors"]) == ({}, 0)
    assert facts["periods_of_scopes"] >= 50 * (8 + 12 // 3)
    # Five resources, one of which is away now and then.
    assert facts["points"] > 4 * facts["periods_of_scopes"]
    assert facts["flaps"] >= 1
    assert facts["rule_changes"] >= 2
    assert facts["requests"] > 20
    assert None not in facts["recovery_s"]
    assert json.loads((tmp_path / "report.json").read_text()) == facts
    header, *rows = (tmp_path / "samples.csv").read_text().splitlines()
    assert "lag_max" in header.split(",")
    assert len(rows) > 5


Frames = dict[tuple[str, int], DataFrame]

MINUTE = 60

PERIODS = 4


class Told(NamedTuple):
    """A store that has these frames, by scope and the start of the period."""

    frames: Frames

    def retrieve(self, query: Query, limit: int | None) -> Page:
        assert limit is None
        found = [
            ScopedFrame(scope(name), one)
            for (name, _begin), one in self.frames.items()
            if query.scopes is None or name in query.scopes
        ]
        return Page(len(found), found, None)


@pytest.fixture
def parts(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    from soaking import check, cloud, prices, samples

    return check, cloud, prices, samples


class Site:
    """Two scopes, whose factor changed at once between the second and the third period."""

    def __init__(self, parts: Any) -> None:
        check, cloud, prices, samples = parts
        first = period.epoch(NEW_YEAR)
        self.cloud = cloud.Cloud(2, first, MINUTE)
        self.prices = prices.Prices(None, self.cloud)
        for key in prices.DATED:
            self.prices.dated[key] = [
                prices.Dated(first - MINUTE, "0.5"),
                prices.Dated(first + MINUTE, "0.25"),
            ]
        changed = first + 3 * MINUTE + 30
        self.prices.at_once = [
            prices.AtOnce("1.1", first - 1, first),
            prices.AtOnce("1.2", changed, changed + 1),
        ]
        self._moves = {
            name: [
                samples.Move(begin, begin + MINUTE, begin + MINUTE, begin + MINUTE + 5)
                for begin in self._begins()
            ]
            for name in self.cloud.scopes()
        }
        self._make = check.Check
        self._services, self._cost = cloud.SERVICES, prices.SENT_COST
        self.frames: Frames = {
            (name, begin): self.frame(number, begin)
            for number, name in enumerate(self.cloud.scopes())
            for begin in self._begins()
        }

    def _begins(self) -> range:
        return range(self.cloud.first, self.cloud.begin(PERIODS), MINUTE)

    def frame(self, number: int, begin: int) -> DataFrame:
        index = self.cloud.index(begin)
        points: list[tuple[str, Mapping[str, Any], Any, Any]] = []
        for name, service in self._services.items():
            for used in self.cloud.used(name, number, index):
                unit = Fraction("0.5" if index == 0 else "0.25")
                if name == "soak_sent":
                    unit = Fraction(self._cost) * Fraction("1.1" if index < 3 else "1.2")
                qty, price = used.qty, used.qty * unit
                attributes = {"id": used.resource, "flavor": used.flavor}
                points.append((service, attributes, _exact(qty), _exact(price)))
        stretch = Period.of(period.from_epoch(begin), MINUTE)
        return frame(stretch, points)

    def wrong(self) -> dict[str, int]:
        horizons = dict.fromkeys(self.cloud.scopes(), self.cloud.begin(PERIODS))
        made = self._make(
            cloud=self.cloud, prices=self.prices, moves=self._moves, horizons=horizons
        )
        made.ledger(Told(self.frames))
        return dict(made.wrong)


def _exact(value: Fraction) -> Decimal:
    return Decimal(value.numerator) / Decimal(value.denominator)


def _changed(one: DataFrame, service: str, *, qty: str = "1", price: str = "1") -> DataFrame:
    """The frame with the first point of a service multiplied."""
    for name, points in one.usage.items():
        if name == service:
            points.qty[0] *= Decimal(qty)
            points.price[0] *= Decimal(price)
    return one


def _doubled(one: DataFrame) -> DataFrame:
    points = one.usage["volume.size"]
    points.series.append(points.series[0])
    points.qty.append(points.qty[0])
    points.price.append(points.price[0])
    return one


def _without(one: DataFrame) -> DataFrame:
    return DataFrame(one.period, {k: v for k, v in one.usage.items() if k != "volume.size"})


def _all_sent(one: DataFrame, factor: str) -> DataFrame:
    points = one.usage["network.sent"]
    points.price[:] = [price * Decimal(factor) / Decimal("1.1") for price in points.price]
    return one


SPOILT: dict[str, tuple[Callable[[DataFrame], DataFrame], dict[str, int]]] = {
    "a quantity": (lambda one: _changed(one, "instance", qty="2"), {"quantities": 1}),
    "a dated price": (lambda one: _changed(one, "instance", price="1.0000001"), {"prices": 1}),
    "two prices at once": (lambda one: _changed(one, "network.sent", price="2"), {"prices": 1}),
    "a price of later": (lambda one: _all_sent(one, "1.2"), {"prices": 2}),
    "a doubled point": (_doubled, {"points doubled": 2}),
    "a missing metric": (_without, {"points missing": 1}),
}


def test_a_right_ledger_is_right(parts: Any) -> None:
    assert Site(parts).wrong() == {}


@pytest.mark.parametrize("name", SPOILT)
def test_a_wrong_point_is_found(parts: Any, name: str) -> None:
    site = Site(parts)
    spoil, expected = SPOILT[name]
    at = site.cloud.scope(1), site.cloud.begin(1)
    site.frames[at] = spoil(site.frames[at])
    assert site.wrong() == expected


def test_a_missing_period_and_one_too_many_are_found(parts: Any) -> None:
    site = Site(parts)
    early = site.cloud.begin(-1)
    site.frames[site.cloud.scope(1), early] = site.frame(1, early)
    del site.frames[site.cloud.scope(0), site.cloud.begin(2)]
    assert site.wrong() == {
        "periods too many": 1,
        "periods missing": 1,
        # A period without points has none of its resources, and no price that could be right.
        "points missing": 5,
        "prices": 1,
    }
