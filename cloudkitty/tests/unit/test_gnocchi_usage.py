# SPDX-License-Identifier: Apache-2.0
"""What measures say about a period: levels, amounts, granularities, changes of attributes."""

import datetime
from collections.abc import Sequence
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloudkitty import money, period
from cloudkitty.collector import gnocchi_usage as usage
from cloudkitty.collector.gnocchi_history import Changes
from cloudkitty.collector.gnocchi_usage import Granule, Part
from cloudkitty.period import Period

TEN = datetime.datetime(2026, 1, 5, 10, tzinfo=period.UTC)
HOUR = Period.of(TEN, 3600)


def at(minute: float) -> int:
    """Minutes after ten o'clock, in the unit of the module."""
    return usage.instants(HOUR)[0] + int(minute * 60 * usage.SECOND)


def granules(
    values: dict[float, object], length: int = 300, begin: datetime.datetime = TEN
) -> list[Granule]:
    """Minutes after ten o'clock to value."""
    return [
        Granule(at(minute), length * usage.SECOND, Decimal(str(value)))
        for minute, value in values.items()
    ]


def every(minutes: int, value: object = 1, since: int = 0, until: int = 60) -> dict[float, object]:
    return dict.fromkeys(range(since, until, minutes), value)


def levels(
    found: Sequence[Granule],
    *cuts: float,
    method: str = "mean",
    interval: int = 300,
    whole: bool = False,
) -> list[Any]:
    """Raw value and share of each part."""
    parts = usage.levels(
        found, HOUR, [at(cut) for cut in cuts], method, interval=interval, is_whole=whole
    )
    return [tuple(part) if part else None for part in parts]


def amounts(found: Sequence[Granule], *cuts: float, is_rate: bool = False) -> list[Any]:
    parts = usage.amounts(found, HOUR, [at(cut) for cut in cuts], is_rate=is_rate)
    return [tuple(part) if part else None for part in parts]


class TestLevels:
    def test_steady(self) -> None:
        assert levels(granules(every(5, "0.1"))) == [(Decimal("0.1"), 1)]

    def test_a_volume_that_has_grown(self) -> None:
        assert levels(granules({**every(5, 100), 0: 10})) == [(Fraction(185, 2), 1)]

    def test_a_part_of_the_period(self) -> None:
        found = levels(granules({20: 6, 25: 6}))
        assert found == [(6, Fraction(1, 6))]

    def test_one_measure_makes_a_whole_period_if_so_wanted(self) -> None:
        assert levels(granules({20: 6, 25: 12}), whole=True) == [(9, 1)]

    def test_measures_outside_the_period_do_not_count(self) -> None:
        assert levels(granules({-5: 100, **every(5, 2), 60: 100})) == [(2, 1)]

    def test_a_resource_without_a_measure_in_the_period_was_not_there(self) -> None:
        assert levels(granules({-5: 1, 60: 1}), interval=7200) == [None]

    @pytest.mark.parametrize("late", [-5, 0, 30, 55, 60])
    def test_one_missing_measure_is_a_late_one(self, late: int) -> None:
        times = {minute: 1 for minute in range(-10, 70, 5) if minute != late}
        assert levels(granules(times)) == [(1, 1)]

    def test_a_resource_that_begins_or_ends_is_not_late(self) -> None:
        assert levels(granules(every(5, 1, since=5, until=55))) == [(1, Fraction(50, 60))]

    def test_measures_finer_than_agents_poll(self) -> None:
        # A minute's measure each five minutes stands for all five.
        assert levels(granules(every(5, 3), length=60)) == [(3, 1)]
        assert levels(granules({0: 3, 10: 3}, length=60)) == [(3, Fraction(1, 6))]

    def test_agents_that_poll_less_often(self) -> None:
        assert levels(granules(every(10, 3)), interval=600) == [(3, 1)]

    @pytest.mark.parametrize(
        ("method", "expected"),
        [
            ("max", 9),
            ("min", 1),
            ("first", 4),
            ("last", 1),
            ("median", Fraction(7, 2)),
            ("50pct", 3),
            ("95pct", 9),
            ("1pct", 1),
            ("mean", Fraction(17, 4)),
            ("std", Fraction(17, 4)),
        ],
    )
    def test_methods(self, method: str, expected: object) -> None:
        found = granules({0: 4, 15: 9, 30: 3, 45: 1}, length=900)
        assert levels(found, method=method) == [(expected, 1)]


class TestChanges:
    def test_a_resize_within_one_measure(self) -> None:
        assert levels(granules({0: 1}, length=3600), 20) == [
            (1, Fraction(1, 3)),
            (1, Fraction(2, 3)),
        ]

    def test_each_part_has_its_own_level(self) -> None:
        found = granules({**every(5, 10), **every(5, 100, since=20)})
        assert levels(found, 20) == [(10, Fraction(1, 3)), (100, Fraction(2, 3))]

    def test_a_part_without_measures(self) -> None:
        assert levels(granules(every(5, 1, until=20)), 30) == [(1, Fraction(1, 3)), None]

    def test_whole_is_shared(self) -> None:
        found = levels(granules({10: 1, 15: 1, 20: 1}), 20, whole=True)
        assert found == [(1, Fraction(2, 3)), (1, Fraction(1, 3))]

    def test_an_amount_is_shared(self) -> None:
        assert amounts(granules({0: 30}, length=3600), 20) == [
            (30, Fraction(1, 3)),
            (30, Fraction(2, 3)),
        ]
        assert amounts(granules({0: 3, 30: 9}), 20) == [(12, Fraction(1, 4)), (12, Fraction(3, 4))]

    def test_an_amount_of_nothing_is_shared_by_time(self) -> None:
        assert amounts(granules(every(5, 0)), 15) == [(0, Fraction(1, 4)), (0, Fraction(3, 4))]

    @given(st.lists(st.integers(0, 3600), max_size=6), st.integers(1, 12))
    def test_shares_of_a_steady_resource_are_one(self, cuts: list[int], step: int) -> None:
        found = granules(every(5 * step, 7), length=300 * step)
        shares = [
            part[1]
            for part in levels(found, *[cut / 60 for cut in sorted(cuts)], interval=1)
            if part
        ]
        lasting = min(60, (len(found) - 1) * 5 * step + 5 * step)
        assert sum(shares) == Fraction(lasting, 60) <= 1

    @given(st.lists(st.fractions(0, 1, max_denominator=60), min_size=1, max_size=9))
    def test_what_is_split_never_becomes_more(self, shares: list[Fraction]) -> None:
        total = sum(shares) or Fraction(1)
        parts = usage.split([(money.ONE, share / total) for share in shares])
        assert money.total(parts) == (1 if any(shares) else 0)
        assert all(part >= 0 for part in parts)


class TestAmounts:
    def test_they_are_summed_exactly(self) -> None:
        assert amounts(granules({0: "0.1", 5: "0.2", 10: "0.3"})) == [(Fraction(3, 5), 1)]

    def test_measures_outside_the_period_do_not_count(self) -> None:
        assert amounts(granules({-5: 8, 0: 1, 55: 2, 60: 16})) == [(3, 1)]

    def test_a_measure_that_reaches_beyond_the_period(self) -> None:
        assert amounts(granules({-60: 24}, length=4 * 3600)) == [(6, 1)]

    def test_nothing_measured(self) -> None:
        assert amounts(granules({-5: 8, 60: 16})) == [None]

    def test_a_counter_that_is_reset_costs_nothing_back(self) -> None:
        found = granules({0: 5, 5: -90, 10: 5})
        assert amounts(found, is_rate=True) == [(10, 1)]
        assert amounts(found) == [(-80, 1)]


class TestGranularity:
    def chosen(self, *found: list[Granule], stretch: Period = HOUR) -> int:
        taken = usage.one_granularity([one for each in found for one in each], stretch)
        (length,) = {one.length for one in taken}
        return length // usage.SECOND

    def test_the_finest(self) -> None:
        coarse, fine = granules({0: 1}, length=3600), granules(every(5))
        assert self.chosen(coarse, fine) == self.chosen(fine, coarse) == 300

    def test_one_that_divides_the_period(self) -> None:
        assert self.chosen(granules({0: 1}, length=3600), granules(every(7), length=420)) == 3600

    def test_none_that_divides_the_period(self) -> None:
        assert self.chosen(granules({-60: 1}, length=7200), granules(every(7), length=420)) == 420

    def test_the_finest_has_been_forgotten(self) -> None:
        fine = granules({-2: 1, 61: 1}, length=60)
        assert self.chosen(fine, granules({0: 1}, length=3600)) == 3600

    def test_the_finest_has_been_forgotten_in_part(self) -> None:
        fine = granules(every(1, since=35), length=60)
        assert self.chosen(fine, granules(every(5)), granules({0: 1}, length=3600)) == 300

    def test_a_resource_that_came_late(self) -> None:
        fine = granules(every(1, since=35), length=60)
        assert self.chosen(fine, granules(every(5, since=35)), granules({0: 1}, 3600)) == 60


class TestReader:
    def test_measures(self) -> None:
        reader = usage.Reader()
        found = reader.granules(
            [
                ["2026-01-05T10:05:00+00:00", Decimal("300.0"), Decimal("0.1")],
                ["2026-01-05T10:00:00+00:00", Decimal("300.0"), 7],
            ]
        )
        assert found == granules({0: 7, 5: "0.1"})

    def test_what_is_no_number(self) -> None:
        reader = usage.Reader()
        written = "2026-01-05T10:00:00+00:00"
        values = (None, "NaN", Decimal("Infinity"), True)
        assert reader.granules([[written, 300, value] for value in values]) == []
        assert reader.dropped == 4

    def test_one_measure_twice(self) -> None:
        written = "2026-01-05T10:00:00+00:00"
        assert usage.Reader().granules([[written, 300, 1], [written, 300, 1]]) == granules({0: 1})

    def test_a_granularity_of_nothing(self) -> None:
        with pytest.raises(ValueError, match="a granularity of 0 seconds"):
            usage.Reader().granules([["2026-01-05T10:00:00", 0, 1]])


class TestSeveralResources:
    @pytest.mark.parametrize(
        ("method", "expected"),
        [("max", 5), ("min", 1), ("sum", 8), ("mean", Fraction(8, 3)), ("median", 2), ("count", 3)],
    )
    def test_combined(self, method: str, expected: object) -> None:
        assert usage.combined(method, [Decimal(1), Fraction(2), Decimal(5)]) == expected


class TestHistory:
    def row(self, end: str, flavor: str, **more: object) -> dict[str, object]:
        return {"id": "r", "revision_end": f"2026-01-05T{end}+00:00", "flavor": flavor, **more}

    NOW = {"id": "r", "flavor": "now", "revision_start": "2026-01-05T10:40:00.5+00:00"}

    def flavors(self, *rows: dict[str, object]) -> list[tuple[int, object]]:
        """The minute from which each flavour counts, up to the end of the hour."""
        lives = Changes(rows).lives(self.NOW, HOUR)
        since = [at(0), *lives.cuts]
        return [
            ((moment - at(0)) // (60 * usage.SECOND), one["flavor"])
            for moment, one in zip(since, lives.about, strict=True)
        ]

    def test_no_change(self) -> None:
        assert self.flavors() == [(0, "now")]

    def test_changes_in_order(self) -> None:
        rows = (self.row("10:40:00.5", "second"), self.row("10:20:00.25", "first"))
        assert self.flavors(*rows) == [(0, "first"), (20, "second"), (40, "now")]

    def test_a_change_after_the_period(self) -> None:
        rows = (self.row("10:40:00", "first"), self.row("12:00:00", "second"))
        assert self.flavors(*rows) == [(0, "first"), (40, "second")]

    def test_a_change_at_the_begin(self) -> None:
        rows = Changes([self.row("10:00:00.5", "old")])
        lives = rows.lives(self.NOW, HOUR)
        parts = usage.levels(
            granules(every(5)), HOUR, lives.cuts, "mean", interval=300, is_whole=False
        )
        assert parts == [None, Part(Decimal(1), 1)]

    def test_what_is_missed(self) -> None:
        later = {**self.NOW, "revision_start": "2026-01-05T11:30:00+00:00"}
        old, known = self.row("10:30:00", "old"), self.row("11:30:00", "old")
        assert not Changes([]).misses(self.NOW, HOUR)
        assert Changes([]).misses(later, HOUR)
        assert Changes([old]).misses(later, HOUR)
        assert not Changes([old, known]).misses(later, HOUR)

    def test_resources_that_once_belonged_to_a_scope(self) -> None:
        rows = [
            self.row("10:30:00", "x", project_id="p"),
            self.row("10:40:00", "x", project_id="q"),
        ]
        changes = Changes(rows)
        assert [changes.resources_of("project_id", {scope}) for scope in "pqr"] == [
            ["r"],
            ["r"],
            [],
        ]
