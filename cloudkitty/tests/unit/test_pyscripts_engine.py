# SPDX-License-Identifier: Apache-2.0
"""Which scripts act when, and what a frame is after they have had it."""

import datetime
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloudkitty.dataframe import FrameError
from cloudkitty.rating.pyscripts import engine
from cloudkitty.rating.pyscripts.engine import Script
from cloudkitty.tests import builders
from cloudkitty.tests.builders import HOUR, NEW_YEAR

Instant = datetime.datetime | None


def script(name: str, start: Instant = None, end: Instant = None) -> Script:
    return Script(name, "", "", start, end)


def acting(scripts: list[Script], at: datetime.datetime) -> tuple[str, Instant]:
    found, until = engine.in_force(scripts, at)
    return "".join(one.name for one in found), until


def test_start_is_in_force_and_end_is_not() -> None:
    scripts = [script("a", NEW_YEAR + HOUR, NEW_YEAR + 3 * HOUR)]
    hours = [acting(scripts, NEW_YEAR + number * HOUR) for number in range(4)]
    assert hours == [
        ("", NEW_YEAR + HOUR),
        ("a", NEW_YEAR + 3 * HOUR),
        ("a", NEW_YEAR + 3 * HOUR),
        ("", None),
    ]


def test_scripts_act_in_the_order_given() -> None:
    scripts = [script("b", NEW_YEAR + HOUR), script("c", NEW_YEAR), script("a")]
    assert acting(scripts, NEW_YEAR) == ("ca", NEW_YEAR + HOUR)
    assert acting(scripts, NEW_YEAR + HOUR) == ("bca", None)


instants = st.none() | st.integers(0, 6).map(lambda number: NEW_YEAR + number * HOUR)


@given(
    st.lists(
        st.builds(Script, st.sampled_from("abc"), st.just(""), st.just(""), instants, instants)
    )
)
def test_scripts_in_force_stay_so_until_they_are_said_to(scripts: list[Script]) -> None:
    for number in range(7):
        at = NEW_YEAR + number * HOUR
        found, until = engine.in_force(scripts, at)
        for later in range(number, 7):
            moment = NEW_YEAR + later * HOUR
            if until is None or moment < until:
                assert engine.in_force(scripts, moment)[0] == found


def test_frame_is_taken_back_with_the_same_series() -> None:
    frame = builders.frame(
        builders.hour(0),
        [("instance", {"id": "1", "meta_size": 2}, "1", "0.5"), ("volume", {"id": "2"}, "10", "3")],
    )
    back = engine.taken_back(frame, frame.as_dict())
    assert back.as_dict() == frame.as_dict()
    assert all(a.series is b.series for a, b in zip(frame, back, strict=True))


def test_float_is_read_as_it_is_written() -> None:
    frame = builders.frame(builders.hour(0), [("instance", {"id": "1"}, "1", "0")])
    form = frame.as_dict()
    form["usage"]["instance"][0]["rating"]["price"] = 0.1
    del form["usage"]["instance"][0]["vol"]["qty"]
    form["usage"]["instance"][0]["vol"]["qty"] = 2.5
    [point] = engine.taken_back(frame, form)
    assert (point.price, point.qty) == (Decimal("0.1"), Decimal("2.5"))


def test_point_without_rating_costs_nothing() -> None:
    frame = builders.frame(builders.hour(0), [("instance", {"id": "1"}, "1", "5")])
    form = frame.as_dict()
    del form["usage"]["instance"][0]["rating"]
    assert engine.taken_back(frame, form).price == 0


@pytest.mark.parametrize("form", [None, [], "frame", {"usage": {}}, {"a": 1}, 7])
def test_what_is_no_frame_is_refused(form: object) -> None:
    with pytest.raises(FrameError):
        engine.taken_back(builders.frame(builders.hour(0), []), form)
