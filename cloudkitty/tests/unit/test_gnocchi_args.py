# SPDX-License-Identifier: Apache-2.0
"""The ``extra_args`` of the collector gnocchi."""

from collections.abc import Mapping

import pytest
import voluptuous as vol

from cloudkitty.collector import gnocchi_args, schema

VOLUME: Mapping[str, object] = {"resource_type": "volume"}


def problems(**extra_args: object) -> list[str]:
    with pytest.raises(vol.Invalid) as caught:
        gnocchi_args.check({**VOLUME, **extra_args})
    return schema.problems(caught.value)


def test_defaults() -> None:
    assert gnocchi_args.check(VOLUME) == {
        "resource_type": "volume",
        "resource_key": "id",
        "aggregation_method": "max",
        "re_aggregation_method": "max",
        "force_granularity": 3600,
        "use_all_resource_revisions": True,
        "custom_query": "",
        "rounding": "none",
        "interval": 300,
    }


@pytest.mark.parametrize(
    "method",
    ["mean", "sum", "last", "max", "min", "std", "median", "first", "count", "1pct", "99pct"],
)
@pytest.mark.parametrize("prefix", ["", "rate:"])
def test_aggregations(method: str, prefix: str) -> None:
    assert gnocchi_args.check({**VOLUME, "aggregation_method": prefix + method})


@pytest.mark.parametrize("method", ["average", "0pct", "100pct", "rate:", "rate:rate:max", 1, None])
def test_wrong_aggregations(method: object) -> None:
    (problem,) = problems(aggregation_method=method)
    assert problem.startswith("aggregation_method: must be one of mean, ")
    assert problem.endswith(f"1pct to 99pct, or one of these after 'rate:', not {method!r}")


@pytest.mark.parametrize(
    ("key", "value", "told"),
    [
        ("re_aggregation_method", "95pct", "must be one of mean, "),
        ("force_granularity", -1, "must be a whole number of seconds, or 0, not -1"),
        ("force_granularity", True, "must be a whole number of seconds, or 0, not True"),
        ("force_granularity", "300", "must be a whole number of seconds, or 0, not '300'"),
        ("use_all_resource_revisions", "no", "must be true or false, not 'no'"),
        ("resource_key", "", "must not be empty"),
        ("rounding", "up", "must be one of none, whole, not 'up'"),
        ("interval", 0, "must be a whole number of at least 1, not 0"),
        ("custom_query", "aggregate", "must be an operation in parentheses, like (aggregate "),
        ("custom_query", "(aggregate (metric", "must be an operation in parentheses"),
        ("custom_query", "(metric a mean)", "must aggregate a metric, like (aggregate "),
        ("resource_typ", "x", "unknown key 'resource_typ'; did you mean 'resource_type'?"),
    ],
)
def test_mistakes(key: str, value: object, told: str) -> None:
    (problem,) = problems(**{key: value})
    assert problem.startswith(f"{key}: {told}")


def test_all_mistakes_at_once() -> None:
    with pytest.raises(vol.Invalid) as caught:
        gnocchi_args.check({"interval": "x", "rounding": "x"})
    found = schema.problems(caught.value)
    assert len(found) == 3
    assert any(one.startswith("resource_type: missing") for one in found)


@pytest.mark.parametrize("key", ["rounding", "interval"])
def test_what_has_no_effect_on_amounts(key: str) -> None:
    value = {"rounding": "whole", "interval": 60}[key]
    told = "has no effect with aggregation_method: sum, which is summed up"
    assert problems(aggregation_method="sum", **{key: value}) == [f"{key}: {told}"]


def test_resources_with_one_key_need_a_way_to_become_one() -> None:
    (problem,) = problems(resource_key="flavor", re_aggregation_method="last")
    assert problem == (
        "re_aggregation_method: must be one of max, min, sum, mean, median, count, by which "
        "resources with one flavor become one"
    )


@pytest.mark.parametrize(
    ("given", "again"),
    [("max", "max"), ("mean", "mean"), ("last", "max"), ("rate:max", "rate:max"),
     ("rate:last", "rate:max")],
)  # fmt: skip
def test_operations(given: str, again: str) -> None:
    args = gnocchi_args.check(
        {**VOLUME, "aggregation_method": "mean", "re_aggregation_method": given}
    )
    assert gnocchi_args.operations("cpu", args) == ["aggregate", again, ["metric", "cpu", "mean"]]


def test_custom_query() -> None:
    query = "(* 2 (aggregate RE_AGGREGATION_METHOD (metric METRIC_NAME AGGREGATION_METHOD)))"
    args = gnocchi_args.check({**VOLUME, "custom_query": query, "aggregation_method": "mean"})
    assert gnocchi_args.operations("cpu", args) == "(* 2 (aggregate max (metric cpu mean)))"


@pytest.mark.parametrize(
    ("extra_args", "seconds"),
    [
        ({"aggregation_method": "mean", "force_granularity": 300}, 600),
        ({"aggregation_method": "mean", "force_granularity": 0}, 600),
        ({"aggregation_method": "mean", "force_granularity": 60, "interval": 600}, 660),
        ({"aggregation_method": "mean", "rounding": "whole"}, 0),
        ({"aggregation_method": "rate:mean"}, 0),
        ({"re_aggregation_method": "rate:max", "force_granularity": 60}, 60),
    ],
)
def test_how_long_before_a_period_measures_are_needed(
    extra_args: Mapping[str, object], seconds: int
) -> None:
    assert gnocchi_args.lead(gnocchi_args.check({**VOLUME, **extra_args})) == seconds
