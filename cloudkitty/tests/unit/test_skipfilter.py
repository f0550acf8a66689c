# SPDX-License-Identifier: Apache-2.0
"""The skip filter takes those points out of a frame for which an expression holds."""

from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cloudkitty.dataframe import DataFrame
from cloudkitty.expression import Expression
from cloudkitty.operations import EvaluationError, View
from cloudkitty.skipfilter import SkipFilter
from cloudkitty.tests.builders import frame, hour
from cloudkitty.tests.expression_model import python

QTY, PRICE = 'datapoint["vol"]["qty"]', 'datapoint["rating"]["price"]'


def skip(default: str = "False", **by_metric: str) -> SkipFilter:
    return SkipFilter(
        Expression.read(default),
        {metric: Expression.read(source) for metric, source in by_metric.items()},
    )


def usage() -> DataFrame:
    return frame(
        hour(0),
        [
            ("instance", {"id": "a", "meta_size": "xl"}, 1, "0.5"),
            ("instance", {"id": "b", "meta_size": "s"}, 0, 0),
            ("instance", {"id": "c", "meta_size": "xl"}, 2, 0),
            ("volume", {"id": "d"}, 0, 0),
            ("volume", {"id": "e"}, 10, 1),
        ],
    )


def ids(kept: DataFrame) -> str:
    return "".join(str(point.groupby["id"]) for point in kept)


@pytest.mark.parametrize(
    ("source", "kept"),
    [
        ("False", "abcde"),
        ("True", ""),
        (f"{QTY} == 0", "ace"),
        (f"{QTY} == 0 or {PRICE} == 0", "ae"),
        ('datapoint["metadata"].get("meta_size") == "xl"', "bde"),
        ('usage_data_metric_name == "volume"', "abc"),
        ('datapoint["groupby"]["id"] in ("a", "d")', "bce"),
        (f'datapoint["groupby"]["id"] == "a" or {QTY} == 10', "bcd"),
        ("len(filtered_datapoints) == 1", "ad"),
        ("len(excluded_datapoints) < 1", "bce"),
        ('filtered_datapoints and filtered_datapoints[0]["groupby"]["id"] == "a"', "ade"),
    ],
)
def test_points_for_which_it_holds_are_taken_out(source: str, kept: str) -> None:
    assert ids(skip(source).kept(usage())) == kept


def test_points_stay_as_they_are() -> None:
    points = list(usage())
    assert list(skip(f"{QTY} == 0").kept(usage())) == [points[0], points[2], points[4]]


def test_a_metric_has_its_own_expression() -> None:
    own = skip(f"{QTY} == 0", volume="False")
    assert ids(own.kept(usage())) == "acde"


def test_a_metric_without_one_goes_by_the_default() -> None:
    own = skip("True", volume=f"{PRICE} > 0")
    assert ids(own.kept(usage())) == "d"


def test_a_metric_of_which_nothing_is_left_is_gone() -> None:
    assert list(skip(volume="True").kept(usage()).usage) == ["instance"]


def test_the_default_leaves_the_frame_alone() -> None:
    everything = usage()
    assert skip().kept(everything) is everything
    assert skip(volume="1 > 2").kept(everything) is everything


def test_an_expression_on_attributes_is_computed_once_a_series(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    computed: list[str] = []
    holds = Expression.holds

    def counted(self: Expression, view: View) -> bool:
        computed.append(str(view.series.groupby["id"]))
        return holds(self, view)

    monkeypatch.setattr(Expression, "holds", counted)
    by_size = skip(instance='datapoint["metadata"]["meta_size"] == "xl"')
    for _ in range(3):
        assert ids(by_size.kept(usage())) == "bde"
    assert computed == ["a", "b", "c"]


def test_what_is_remembered_of_series_is_bounded() -> None:
    expression = Expression.read('datapoint["groupby"]["id"] == "c"')
    by_id = SkipFilter(expression, {}, series_kept=2)
    for _ in range(2):
        assert ids(by_id.kept(usage())) == "abde"
    assert len(by_id._known[expression]) <= 2


def test_a_point_without_a_value_is_an_error_that_names_metric_and_expression() -> None:
    with pytest.raises(EvaluationError) as caught:
        skip('datapoint["metadata"]["meta_size"] == "xl"').kept(usage())
    assert str(caught.value) == (
        'metric volume: skip_datapoints_expression datapoint["metadata"]["meta_size"] == "xl": '
        "the point has no datapoint[\"metadata\"][\"meta_size\"], for {'id': 'd'}"
    )


# -- held against Python ----------------------------------------------------------------------


def joined(*parts: object) -> st.SearchStrategy[str]:
    """Texts made of fixed texts and of what strategies give."""
    drawn = [part if isinstance(part, st.SearchStrategy) else st.just(part) for part in parts]
    return st.tuples(*drawn).map(lambda texts: f"({''.join(texts)})")


LITERALS = st.decimals("0.01", 99, places=2).map(str) | st.integers(1, 20).map(str)

KEYS = st.sampled_from(["id", "zone"])

COMPARE = st.sampled_from([" == ", " != ", " < ", " <= ", " > ", " >= "])

TEXTS = st.recursive(
    st.sampled_from(["'a'", '"Ab "', "''", "usage_data_metric_name", 'datapoint["vol"]["unit"]'])
    | joined('datapoint["groupby"]["', KEYS, '"]')
    | joined('datapoint["metadata"].get("meta_', st.sampled_from("xyz"), '", "none")')
    | joined("str(", st.sampled_from([QTY, PRICE]), ")"),
    lambda texts: joined(texts, st.sampled_from([".lower()", ".upper()", ".strip()"])),
    max_leaves=3,
)

NUMBERS = st.recursive(
    LITERALS
    | st.sampled_from([QTY, PRICE, 'datapoint["metadata"]["meta_n"]', "0"])
    | joined("len(", TEXTS, ")")
    | st.sampled_from(["len(filtered_datapoints)", "len(excluded_datapoints)", "len(datapoint)"]),
    lambda numbers: (
        joined(numbers, st.sampled_from([" + ", " - ", " * "]), numbers)
        | joined(numbers, " / ", LITERALS)
        | joined("-", numbers)
        | joined("int(", numbers, ")")
    ),
    max_leaves=5,
)

CONDITIONS = st.recursive(
    joined(NUMBERS, COMPARE, NUMBERS)
    | joined(NUMBERS, COMPARE, NUMBERS, COMPARE, NUMBERS)
    | joined(TEXTS, COMPARE, TEXTS)
    | joined(TEXTS, st.sampled_from([" in ", " not in "]), TEXTS)
    | joined(TEXTS, " in (", TEXTS, ", ", TEXTS, ")")
    | joined(TEXTS, st.sampled_from([".startswith(", ".endswith("]), TEXTS, ")")
    | joined("datapoint in ", st.sampled_from(["filtered_datapoints", "excluded_datapoints"]))
    | joined('datapoint["metadata"].get("meta_', st.sampled_from("xyz"), '") is None')
    | st.sampled_from(["True", "False"]),
    lambda conditions: (
        joined(conditions, st.sampled_from([" and ", " or "]), conditions)
        | joined("not ", conditions)
    ),
    max_leaves=5,
)

POINTS = st.lists(
    st.tuples(
        st.fixed_dictionaries(
            {
                "id": st.sampled_from("aB"),
                "zone": st.sampled_from(["", " north"]),
                "meta_n": st.integers(-3, 3) | st.sampled_from([0.1, 2.5]),
            },
            optional={"meta_x": st.just("a"), "meta_y": st.just("y")},
        ),
        st.sampled_from(["0", "1", "2.5"]),
        st.sampled_from(["0", "0.5"]),
    ),
    max_size=4,
)


def naive(source: str, whole: DataFrame) -> list[object]:
    """The points that are kept when Python itself looks at one after the other."""
    kept, filtered, excluded = [], [], []
    for point in whole:
        view = View(*point, filtered, excluded)
        skipped = python(source, view)
        (excluded if skipped else filtered).append(view.form())
        if not skipped:
            kept.append(point)
    return kept


@settings(max_examples=300, deadline=None)
@given(CONDITIONS | NUMBERS | TEXTS, POINTS)
def test_it_is_what_python_would_do(source: str, points: list[tuple[dict, str, str]]) -> None:
    whole = frame(hour(0), [("m", *point) for point in points])
    assert list(skip(source).kept(whole)) == naive(source, whole)


def test_numbers_of_attributes_are_exact() -> None:
    whole = frame(hour(0), [("m", {"id": "a", "meta_n": 0.1}, 1, "0.3")])
    assert list(skip(f'datapoint["metadata"]["meta_n"] * 3 == {PRICE}').kept(whole)) == []
    assert whole.usage["m"].price == [Decimal("0.3")]
