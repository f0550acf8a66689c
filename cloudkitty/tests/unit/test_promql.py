# SPDX-License-Identifier: Apache-2.0
"""The text of queries."""

from typing import Any

import pytest

from cloudkitty.collector import promql
from cloudkitty.collector.prometheus import PrometheusCollector
from cloudkitty.collector.promql import Question, Window
from cloudkitty.period import Period
from cloudkitty.source import prometheus
from cloudkitty.tests.builders import NEW_YEAR, hour


def question(*labels: str, metric: str = "m", **extra_args: Any) -> Question:
    arguments = PrometheusCollector.check_extra_args(extra_args)
    return Question(metric, labels or ("id", "project_id"), arguments, Window(hour(1), True))


PROJECT = 'project_id="P"'


class TestUsage:
    @pytest.mark.parametrize(
        ("extra_args", "expected"),
        [
            ({}, "max(max_over_time({})) by (id, project_id)"),
            ({"aggregation_method": "avg"}, "avg(avg_over_time({})) by (id, project_id)"),
            ({"range_function": "delta"}, "max(delta({})) by (id, project_id)"),
            (
                {"aggregation_method": "sum", "range_function": "increase"},
                "sum(increase({})) by (id, project_id)",
            ),
            (
                {
                    "aggregation_method": "avg",
                    "query_function": "ceil",
                    "query_prefix": "2 *",
                    "query_suffix": "* 3",
                },
                "2 * avg(ceil(avg_over_time({}))) by (id, project_id) * 3",
            ),
        ],
    )
    def test_it_is_built_from_the_inside(self, extra_args: dict[str, str], expected: str) -> None:
        selected = f"m{{{PROJECT}}}[3599999ms]"
        assert question(**extra_args).usage(PROJECT) == expected.replace("{}", selected)

    def test_names_that_need_quotes(self) -> None:
        asked = question("a.b", "project_id", metric="disk.size")
        assert asked.usage(PROJECT) == (
            'max(max_over_time({__name__="disk.size",project_id="P"}[3599999ms])) '
            'by ("a.b", project_id)'
        )


class TestWindow:
    @pytest.mark.parametrize(("is_closed", "length"), [(True, "3599999ms"), (False, "3600000ms")])
    def test_length(self, is_closed: bool, length: str) -> None:
        assert Window(hour(1), is_closed).length == length

    @pytest.mark.parametrize(
        ("begin", "seconds", "interval", "expected"),
        [
            (0, 3600, 60, 60),
            (0, 3600, 3600, 1),
            (0, 3600, 7200, 1),
            (0, 3600, 700, 6),
            (30, 3600, 60, 60),
            (1, 100, 60, 1),
            (0, 61, 60, 2),
        ],
    )
    def test_instants(self, begin: int, seconds: int, interval: int, expected: int) -> None:
        start = NEW_YEAR.timestamp() + begin
        stretch = Period.of(NEW_YEAR.fromtimestamp(start, NEW_YEAR.tzinfo), seconds)
        window = Window(stretch, False)
        step = window.step(interval)
        counted = [at for at in range(int(start), int(start) + seconds) if at % step == 0]
        assert window.instants(interval) == len(counted) == expected


class TestElementwise:
    @pytest.mark.parametrize(
        ("prefix", "suffix"),
        [
            ("", ""),
            ("2 *", "* 3.5e-3"),
            ("ceil(", ")"),
            ("", "> bool 0"),
            ("-", "^ 2"),
            ("clamp_max(", ", 10)"),
        ],
    )
    def test_each_series_for_itself(self, prefix: str, suffix: str) -> None:
        arguments = {"query_prefix": prefix, "query_suffix": suffix}
        assert promql.is_elementwise(arguments)

    @pytest.mark.parametrize(
        ("prefix", "suffix"),
        [
            ("sum(", ")"),
            ("topk(1,", ")"),
            ("", "or vector(0)"),
            ("", "* on (id) price"),
            ("scalar(", ")"),
            ("", "/ floors"),
            ("", '{a="b"}'),
        ],
    )
    def test_anything_else(self, prefix: str, suffix: str) -> None:
        arguments = {"query_prefix": prefix, "query_suffix": suffix}
        assert not promql.is_elementwise(arguments)


class TestQuotes:
    def test_text(self) -> None:
        assert prometheus.text('a"b\\c\nd') == '"a\\"b\\\\c\\nd"'

    def test_several_values(self) -> None:
        assert prometheus.is_one_of("l", ["a.b", "c|d", "e\\f"]) == (
            'l=~"a\\\\.b|c\\\\|d|e\\\\\\\\f"'
        )
