# SPDX-License-Identifier: Apache-2.0
"""What statistics and samples of the metering API say about usage."""

import datetime
import itertools
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloudkitty import period
from cloudkitty.collector import ceilometer_usage as usage
from cloudkitty.period import Period

TEN = datetime.datetime(2026, 1, 5, 10, tzinfo=period.UTC)
HOUR = Period.of(TEN, 3600)


def group(first: str, last: str, **values: Any) -> dict[str, Any]:
    return {
        "duration_start": f"2026-01-05T{first}",
        "duration_end": f"2026-01-05T{last}",
        **values,
    }


class TestPresence:
    @pytest.mark.parametrize(
        ("first", "last", "minutes"),
        [
            ("10:00:00", "10:50:00", 60),
            ("10:09:59", "10:59:59", 60),
            ("10:10:40", "10:49:20", 60),  # samples that come late
            ("10:00:00", "10:00:00", 10),
            ("10:05:00", "10:05:00", 15),
            ("10:30:00", "10:30:00", 10),
            ("10:30:00", "10:55:00", 30),
            ("10:55:00", "10:55:00", 5),
            ("10:00:00", "10:40:00", 50),
            ("10:00:00.500000", "10:40:00.900000", 50),
        ],
    )
    def test_share(self, first: str, last: str, minutes: int) -> None:
        assert usage.presence(group(first, last), HOUR, 600) == Fraction(minutes, 60)

    @given(first=st.integers(0, 3599), last=st.integers(0, 3599), interval=st.integers(1, 7200))
    def test_it_is_a_share(self, first: int, last: int, interval: int) -> None:
        first, last = sorted((first, last))
        times = [
            (TEN + datetime.timedelta(seconds=one)).time().isoformat() for one in (first, last)
        ]
        assert 0 < usage.presence(group(*times), HOUR, interval) <= 1


class TestLevel:
    def test_equal_samples_are_their_mean(self) -> None:
        skewed = group(
            "10:00:00",
            "10:50:00",
            min=Decimal("0.1"),
            max=Decimal("0.1"),
            avg=Decimal("0.09999999999999999"),
        )
        assert usage.level(skewed, HOUR, "time_mean", 600) == Fraction(1, 10)

    def test_the_mean_counts_for_the_time_that_the_resource_was_there(self) -> None:
        half = group("10:30:00", "10:50:00", min=10, max=30, avg=Decimal("20.0"))
        assert usage.level(half, HOUR, "time_mean", 600) == 10


def sample(minute: int, value: object, resource: str = "r", project: str = "p") -> dict[str, Any]:
    moment = TEN + datetime.timedelta(minutes=minute)
    return {
        "timestamp": moment.replace(tzinfo=None).isoformat(),
        "volume": Decimal(str(value)),
        "resource_id": resource,
        "project_id": project,
        "metadata": {"minute": str(minute)},
    }


def grown(*samples: dict[str, Any]) -> dict[str, Fraction | Decimal]:
    return {one.about["resource_id"]: one.raw for one in usage.increments(samples, HOUR)}


class TestIncrements:
    def test_from_the_last_value_before(self) -> None:
        assert grown(sample(-30, 1), sample(-5, 2), sample(0, 3), sample(55, 9)) == {"r": 7}

    def test_without_one_before(self) -> None:
        assert grown(sample(10, 100), sample(20, 103)) == {"r": 3}

    def test_a_reset(self) -> None:
        assert grown(sample(-5, 100), sample(10, 110), sample(20, 4), sample(30, 9)) == {"r": 19}

    def test_a_reset_before_the_period(self) -> None:
        assert grown(sample(-20, 100), sample(-10, 3), sample(10, 5)) == {"r": 2}

    def test_a_reset_at_the_begin(self) -> None:
        assert grown(sample(-10, 100), sample(0, 5)) == {"r": 5}

    def test_a_counter_that_stands_still_is_zero(self) -> None:
        assert grown(sample(-10, 100), sample(0, 100)) == {"r": 0}

    def test_a_counter_only_seen_before_is_no_usage(self) -> None:
        assert grown(sample(-10, 100)) == {}

    def test_several_agents_at_the_same_time_are_no_reset(self) -> None:
        assert grown(sample(-5, 1), sample(10, 9), sample(10, 8), sample(20, 10)) == {"r": 9}

    def test_each_resource_for_itself(self) -> None:
        found = grown(
            sample(-5, 1, "a"), sample(-5, 7, "b"), sample(10, 2, "a"), sample(10, 9, "b")
        )
        assert found == {"a": 1, "b": 2}

    def test_values_are_exact(self) -> None:
        assert grown(sample(-5, "0.1"), sample(5, "0.3")) == {"r": Fraction(1, 5)}

    def test_what_is_no_number_is_passed_over(self) -> None:
        assert grown(sample(-5, 1), sample(5, "NaN"), sample(10, 3)) == {"r": 2}

    def test_it_is_about_the_latest_sample(self) -> None:
        found = usage.increments([sample(-5, 1), sample(5, 2), sample(50, 3)], HOUR)
        assert found[0].about["metadata"] == {"minute": "50"}

    @given(values=st.lists(st.integers(0, 50), min_size=1, max_size=30))
    def test_periods_add_up_to_the_whole(self, values: list[int]) -> None:
        samples = [sample(15 * number, value) for number, value in enumerate(values)]
        total = Fraction(0)
        for number in range(9):
            stretch = Period.of(TEN + datetime.timedelta(hours=number), 3600)
            begin = (number - 1) * 4
            seen = samples[max(0, begin) : max(0, begin + 8)]
            total += sum(Fraction(one.raw) for one in usage.increments(seen, stretch))
        assert total == sum(
            after - before if after >= before else after
            for before, after in itertools.pairwise(values)
        )


class TestAttributes:
    @pytest.mark.parametrize(
        ("name", "expected"),
        [
            ("id", "r"),
            ("resource_id", "r"),
            ("instance_id", "r"),
            ("project_id", "p"),
            ("user_id", ""),
            ("flavor", "small"),
            ("flavor.name", "small"),
            ("name", "web"),
            ("memory", "512"),
            ("vcpus", "2"),
            ("availability_zone", "nova"),
            ("user_metadata.farm", "x"),
            ("nothing", ""),
            ("empty", ""),
        ],
    )
    def test_names(self, name: str, expected: str) -> None:
        about = {
            "resource_id": "r",
            "project_id": "p",
            "user_id": None,
            "metadata": {
                "flavor.name": "small",
                "instance_type": "other",
                "display_name": "web",
                "name": "instance-1",
                "memory_mb": 512,
                "vcpus": Decimal(2),
                "OS-EXT-AZ.availability_zone": "nova",
                "availability_zone": "",
                "user_metadata.farm": "x",
                "empty": None,
            },
        }
        assert usage.attribute(name, about) == expected

    def test_without_metadata(self) -> None:
        assert usage.attribute("flavor", {"resource_id": "r"}) == ""
