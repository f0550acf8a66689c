# SPDX-License-Identifier: Apache-2.0
"""Frames keep points whole in columns and in both dictionary forms."""

from decimal import Decimal

import pytest

from cloudkitty.dataframe import DataFrame, FrameError, Registry, Series, Shape
from cloudkitty.tests.builders import frame, hour

POINT = {
    "vol": {"unit": "GiB", "qty": 10},
    "rating": {"price": "0.3"},
    "groupby": {"project_id": "p"},
    "metadata": {"type": "ssd", "size": 4, "boot": True, "none": None},
}


def form(points=None, **changes):
    return {
        "period": {"begin": hour(0).begin, "end": hour(0).end},
        "usage": {"volume": [POINT] if points is None else points},
    } | changes


def test_the_dictionary_form_is_read_and_written() -> None:
    read = DataFrame.from_dict(form())
    assert read.period == hour(0)
    assert read.as_dict() == form(
        points=[POINT | {"vol": {"unit": "GiB", "qty": 10}, "rating": {"price": Decimal("0.3")}}]
    )


def test_texts_are_read_as_instants_and_amounts() -> None:
    written = form(period={"begin": "2026-01-01T00:00:00Z", "end": "2026-01-01T01:00:00+00:00"})
    read = DataFrame.from_dict(written)
    assert read.period == hour(0)
    assert [point.price for point in read] == [Decimal("0.3")]


def test_the_legacy_form_has_one_map_of_attributes() -> None:
    legacy = {"vol": {"unit": "GiB", "qty": 1}, "desc": {"a": "b"}, "rating": {"price": 0}}
    read = DataFrame.from_dict(form(points=[legacy]))
    [point] = read
    assert (point.groupby, point.metadata) == ({"a": "b"}, {})
    assert read.as_dict(legacy=True)["usage"]["volume"][0]["desc"] == {"a": "b"}


def test_a_description_survives_the_dictionary_form() -> None:
    read = DataFrame.from_dict(form(points=[POINT | {"description": "block storage"}]))
    assert read.as_dict()["usage"]["volume"][0]["description"] == "block storage"


def test_groupby_wins_over_metadata_in_desc() -> None:
    series = Registry().series("m", groupby={"k": "g"}, metadata={"k": "m", "x": "y"})
    assert series.desc == {"k": "g", "x": "y"}
    assert (series.get("k"), series.get("x")) == ("g", "y")
    with pytest.raises(KeyError):
        series.get("absent")


def test_an_empty_unit_is_undefined() -> None:
    [point] = DataFrame.from_dict(form(points=[POINT | {"vol": {"unit": "", "qty": 1}}]))
    assert point.unit == "undefined"


@pytest.mark.parametrize(
    "wrong, problems",
    [
        ([], ["frame: must be a map, not list"]),
        (form() | {"extra": 1}, ["frame.extra: unknown key"]),
        (form(usage=[]), ["usage: must be a map of metric to list of points"]),
        (form(usage={"m": {}}), ["usage.m: must be a list of points"]),
        (form(points=[{}]), ["usage.volume[0].vol: missing", "usage.volume[0].groupby: missing"]),
        (form(points=[POINT | {"note": 1}]), ["usage.volume[0].note: unknown key"]),
        (
            form(points=[POINT | {"vol": {"unit": None, "qty": "abc"}}]),
            [
                "usage.volume[0].vol.unit: None is not a text",
                "usage.volume[0].vol.qty: 'abc' is not a number",
            ],
        ),
        (
            form(points=[POINT | {"rating": {"price": "NaN"}}]),
            ["usage.volume[0].rating.price: NaN is not a finite number"],
        ),
        (
            form(period={"begin": "x", "end": 7}),
            ["period.begin: 'x' is not an instant", "period.end: 7 is not an instant"],
        ),
        (
            form(period={"begin": hour(1).begin, "end": hour(0).begin}),
            ["period: a period must end after it begins"],
        ),
        (form(points=[POINT | {"metadata": 3}]), ["usage.volume[0].metadata: must be a map"]),
    ],
)
def test_every_mistake_is_named_with_its_place(wrong, problems) -> None:
    with pytest.raises(FrameError) as caught:
        DataFrame.from_dict(wrong)
    found = caught.value.problems
    for problem in problems:
        assert any(line.startswith(problem) for line in found), (problem, found)


def test_one_one_point_zero_and_true_are_three_series() -> None:
    registry = Registry()
    made = [registry.series("m", groupby={"k": value}, metadata={}) for value in (1, 1.0, True)]
    assert len(set(made)) == 3
    assert len(registry) == 3


def test_equal_content_is_one_object_and_equal_across_registries() -> None:
    one, other = Registry(), Registry()
    first = one.series("m", groupby={"a": "b"}, metadata={"c": "d"})
    assert one.series("m", groupby={"a": "b"}, metadata={"c": "d"}) is first
    elsewhere = other.series("m", groupby={"a": "b"}, metadata={"c": "d"})
    assert elsewhere is not first
    assert elsewhere == first and hash(elsewhere) == hash(first)


def test_groupby_and_metadata_are_not_confused() -> None:
    assert Series(Shape("m", "u", None, ("k",), ()), ("v",)) != Series(
        Shape("m", "u", None, (), ("k",)), ("v",)
    )


def test_metrics_are_sorted_and_empty_ones_left_out() -> None:
    made = frame(hour(0), [("b", {}, 1, 1), ("a", {}, 1, 2), ("b", {"x": "y"}, 1, 3)])
    assert list(made.usage) == ["a", "b"]
    assert [point.price for point in made] == [2, 1, 3]
    assert made.price == 6
    assert len(made) == 3
    assert DataFrame(
        hour(0), {"a": made.usage["a"], "c": type(made.usage["a"])()}
    ).usage.keys() == {"a"}


def test_forgotten_series_are_made_anew() -> None:
    registry = Registry()
    kept = registry.series("m", groupby={"a": "1"}, metadata={})
    registry.series("m", groupby={"a": "2"}, metadata={})
    registry.retain([kept])
    assert len(registry) == 1
    assert registry.series("m", groupby={"a": "1"}, metadata={}) is kept


def test_values_without_a_scalar_form_become_canonical_text() -> None:
    series = Registry().series(
        "m",
        groupby={"d": Decimal("1.50")},
        metadata={"l": [1, {"b": 1, "a": 2}], "n": float("nan")},
    )
    assert series.desc == {"d": "1.50", "l": '[1,{"a":2,"b":1}]', "n": "nan"}
