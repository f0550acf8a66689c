# SPDX-License-Identifier: Apache-2.0
"""Collecting usage from CSV files."""

import datetime
import gzip
import os
import pathlib
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from oslo_config import cfg

from cloudkitty import config, period
from cloudkitty.collector import csv_window, metrics
from cloudkitty.collector.base import CollectError, SourceUnavailable
from cloudkitty.collector.csv import CsvCollector
from cloudkitty.collector.metrics import MetricDefinition
from cloudkitty.config import ConfigurationError
from cloudkitty.dataframe import Registry
from cloudkitty.period import Period

HEADER = "begin,end,metric,qty,project_id,id,flavor"
DAY = datetime.datetime(2026, 1, 5, tzinfo=period.UTC)

Collect = Callable[..., CsvCollector]


def definition(
    body: str = "groupby: [id], metadata: [flavor]", name: str = "vm"
) -> MetricDefinition:
    written = f"metrics: {{{name}: {{unit: one, {body}}}}}"
    return metrics.read(written, "project_id", CsvCollector.check_extra_args).definitions[0]


def hour(number: int) -> Period:
    return Period.of(DAY + datetime.timedelta(hours=number), 3600)


def row(
    begin: str, end: str, qty: str = "1", scope: str = "p", one: str = "i", **other: str
) -> str:
    """One line; times without a date are of the day."""
    instants = [f"2026-01-05T{time}" if len(time) < 9 else time for time in (begin, end)]
    return ",".join(
        [*instants, other.get("metric", "vm"), qty, scope, one, other.get("flavor", "small")]
    )


@pytest.fixture
def collect(conf: cfg.ConfigOpts, tmp_path: pathlib.Path) -> Collect:
    """Make a collector of files with these lines below the header."""

    def make(*files: Sequence[str], header: str = HEADER) -> CsvCollector:
        paths = []
        for number, lines in enumerate(files):
            path = tmp_path / f"usage-{number}.csv"
            path.write_text("\n".join([header, *lines]) + "\n", encoding="utf-8")
            paths.append(str(path))
        conf.set_override("file", paths, "collector_csv")
        return CsvCollector(conf, Registry())

    return make


def quantities(
    collector: CsvCollector, stretch: Period, metric: MetricDefinition | None = None
) -> dict[str, str]:
    """The quantity of each ``id`` of scope p."""
    points = collector.fetch(metric or definition(), stretch, ["p"]).get("p", ())
    return {str(point.groupby["id"]): str(point.qty) for point in points}


class TestLevel:
    def test_a_row_longer_than_a_period_counts_in_full_in_each(self, collect: Collect) -> None:
        collector = collect([row("00:00", "04:00", "3")])
        assert [quantities(collector, hour(n)) for n in range(5)] == [{"i": "3"}] * 4 + [{}]

    def test_a_row_shorter_than_a_period_counts_by_its_share(self, collect: Collect) -> None:
        assert quantities(collect([row("00:10", "00:16", "10")]), hour(0)) == {"i": "1"}

    def test_a_row_across_a_boundary_counts_in_both(self, collect: Collect) -> None:
        collector = collect([row("00:45", "01:30", "2")])
        assert quantities(collector, hour(0)) == {"i": "0.5"}
        assert quantities(collector, hour(1)) == {"i": "1"}

    def test_a_row_that_ends_where_the_period_begins_is_not_in_it(self, collect: Collect) -> None:
        assert quantities(collect([row("00:00", "01:00")]), hour(1)) == {}

    def test_a_row_that_begins_where_the_period_ends_is_not_in_it(self, collect: Collect) -> None:
        assert quantities(collect([row("01:00", "02:00")]), hour(0)) == {}

    def test_a_level_that_changes_is_weighted_by_time(self, collect: Collect) -> None:
        collector = collect([row("00:00", "00:15", "10"), row("00:15", "01:00", "100")])
        assert quantities(collector, hour(0)) == {"i": "77.5"}

    def test_a_level_that_is_split_does_not_change(self, collect: Collect) -> None:
        collector = collect([row("00:00", "00:07", "0.1"), row("00:07", "02:00", "0.1")])
        assert quantities(collector, hour(0)) == {"i": "0.1"}

    def test_rows_of_one_series_at_the_same_time_add_up(self, collect: Collect) -> None:
        collector = collect([row("00:00", "02:00", "1"), row("00:00", "02:00", "2")])
        assert quantities(collector, hour(0)) == {"i": "3"}

    def test_thirds_are_rounded_once(self, collect: Collect) -> None:
        collector = collect([row("00:00", "00:20"), row("00:20", "00:40"), row("00:40", "01:00")])
        assert quantities(collector, hour(0)) == {"i": "1"}

    def test_a_resize_makes_two_series_with_their_shares(self, collect: Collect) -> None:
        collector = collect(
            [row("00:00", "00:20", flavor="small"), row("00:20", "01:00", flavor="large")]
        )
        points = collector.fetch(definition(), hour(0), ["p"])["p"]
        assert {point.metadata["flavor"]: point.qty for point in points} == {
            "small": Decimal("0.3333333333333333333333333333"),
            "large": Decimal("0.6666666666666666666666666667"),
        }

    def test_the_mutation_is_applied_to_the_mean(self, collect: Collect) -> None:
        rounded = definition("groupby: [id], mutate: CEIL")
        assert quantities(collect([row("00:00", "00:30", "3")]), hour(0), rounded) == {"i": "2"}


class TestAmount:
    AMOUNT = "groupby: [id], extra_args: {kind: amount}"

    def test_it_is_spread_evenly_over_its_stretch(self, collect: Collect) -> None:
        collector = collect([row("00:30", "02:30", "8")])
        found = [quantities(collector, hour(n), definition(self.AMOUNT)) for n in range(3)]
        assert found == [{"i": "2"}, {"i": "4"}, {"i": "2"}]

    def test_a_row_inside_a_period_counts_whole(self, collect: Collect) -> None:
        collector = collect([row("00:10", "00:20", "8"), row("00:20", "00:21", "0.5")])
        assert quantities(collector, hour(0), definition(self.AMOUNT)) == {"i": "8.5"}

    def test_factor_is_applied_to_the_sum(self, collect: Collect) -> None:
        collector = collect([row("00:00", "03:00", "1")])
        tripled = definition(f"factor: 3, {self.AMOUNT}")
        assert quantities(collector, hour(0), tripled) == {"i": "1"}


class TestPoints:
    def test_attributes_stay_text(self, collect: Collect) -> None:
        points = collect([row("00:00", "01:00", one="007", flavor="1.50")]).fetch(
            definition(), hour(0), ["p"]
        )["p"]
        assert next(iter(points)).desc == {"id": "007", "project_id": "p", "flavor": "1.50"}

    def test_an_empty_cell_is_the_empty_text(self, collect: Collect) -> None:
        points = collect([row("00:00", "01:00", flavor="")]).fetch(definition(), hour(0), ["p"])
        assert next(iter(points["p"])).metadata == {"flavor": ""}

    def test_they_bear_the_definition(self, collect: Collect) -> None:
        metric = definition("alt_name: instance, description: A server, groupby: [id]")
        point = next(iter(collect([row("00:00", "01:00")]).fetch(metric, hour(0), ["p"])["p"]))
        assert (point.metric, point.unit, point.series.description, point.price) == (
            "instance",
            "one",
            "A server",
            0,
        )

    def test_only_scopes_asked_for_that_used_any_are_answered(self, collect: Collect) -> None:
        collector = collect(
            [row("00:00", "01:00", scope=scope) for scope in ("p", "q", "r")]
            + [row("01:00", "02:00", scope="s")]
        )
        assert set(collector.fetch(definition(), hour(0), ["q", "p", "s", "none"])) == {"p", "q"}

    def test_a_metric_without_rows_is_no_error(self, collect: Collect) -> None:
        collector = collect([row("00:00", "01:00")])
        assert collector.fetch(definition(name="other"), hour(0), ["p"]) == {}

    def test_two_definitions_of_one_metric(self, collect: Collect) -> None:
        written = "metrics: {vm: [{unit: x, alt_name: a}, {unit: x, alt_name: b, factor: 2}]}"
        both = metrics.read(written, "project_id", CsvCollector.check_extra_args).definitions
        collector = collect([row("00:00", "02:00", "5"), row("01:30", "03:00", "1")])
        for number in range(2):
            found = [next(iter(collector.fetch(one, hour(number), ["p"])["p"])).qty for one in both]
            assert found[1] == 2 * found[0]

    def test_a_steady_series_is_one_object(self, collect: Collect) -> None:
        collector = collect([row("00:00", "03:00")])
        first, second = (
            collector.fetch(definition(), hour(number), ["p"])["p"] for number in range(2)
        )
        assert first.series[0] is second.series[0]

    def test_an_answer_may_be_changed_by_whoever_gets_it(self, collect: Collect) -> None:
        collector = collect([row("00:00", "03:00")])
        points = collector.fetch(definition(), hour(0), ["p"])["p"]
        points.qty[0] = Decimal(99)
        points.series.clear()
        assert quantities(collector, hour(1)) == {"i": "1"}

    def test_other_scope_keys(self, collect: Collect, conf: cfg.ConfigOpts) -> None:
        conf.set_override("scope_key", "flavor", "collect")
        metric = metrics.read(
            "metrics: {vm: {unit: x}}", "flavor", CsvCollector.check_extra_args
        ).definitions[0]
        found = collect([row("00:00", "01:00")]).fetch(metric, hour(0), ["small"])
        assert next(iter(found["small"])).groupby == {"flavor": "small"}


class TestFiles:
    def test_gzip_is_recognised_by_content(
        self, conf: cfg.ConfigOpts, tmp_path: pathlib.Path
    ) -> None:
        path = tmp_path / "usage.csv"
        path.write_bytes(gzip.compress(f"{HEADER}\n{row('00:00', '01:00')}\n".encode()))
        conf.set_override("file", [str(path)], "collector_csv")
        assert quantities(CsvCollector(conf, Registry()), hour(0)) == {"i": "1"}

    def test_several_files_are_one(self, collect: Collect) -> None:
        collector = collect(
            [row("00:00", "02:00", one="a"), row("01:00", "02:00", one="b")],
            [row("00:30", "01:00", one="c"), row("01:00", "03:00", one="a")],
        )
        assert quantities(collector, hour(0)) == {"a": "1", "c": "0.5"}
        assert quantities(collector, hour(1)) == {"a": "2", "b": "1"}

    def test_columns_may_come_in_any_order_and_be_more(self, collect: Collect) -> None:
        collector = collect(
            ["x,small,i,p,2,vm,2026-01-05 02:00:00+01:00,2026-01-05T00:00:00Z"],
            header="more,flavor,id,project_id,qty,metric,end,begin",
        )
        assert quantities(collector, hour(0)) == {"i": "2"}

    def test_times_may_have_an_offset(self, collect: Collect) -> None:
        collector = collect([row("2026-01-05T01:00:00+01:00", "2026-01-05 02:00+01:00", "2")])
        assert quantities(collector, hour(0)) == {"i": "2"}

    def test_blank_lines_and_a_byte_order_mark_do_no_harm(self, collect: Collect) -> None:
        collector = collect(["", row("00:00", "01:00"), ""], header="\ufeff" + HEADER)
        assert quantities(collector, hour(0)) == {"i": "1"}

    def test_a_changed_file_is_read_again(self, collect: Collect, conf: cfg.ConfigOpts) -> None:
        collector = collect([row("00:00", "01:00")])
        assert quantities(collector, hour(1)) == {}
        with open(conf.collector_csv.file[0], "a", encoding="utf-8") as stream:
            stream.write(row("01:00", "02:00", "4") + "\n")
        assert quantities(collector, hour(1)) == {"i": "4"}


class TestReadingOnce:
    @pytest.fixture
    def opened(self, monkeypatch: pytest.MonkeyPatch) -> list[int]:
        """The begins of all windows opened."""
        begins: list[int] = []
        original = csv_window.Window.__init__

        def counting(self: csv_window.Window, paths: Any, scope_key: str, begin: int) -> None:
            begins.append(begin)
            original(self, paths, scope_key, begin)

        monkeypatch.setattr(csv_window.Window, "__init__", counting)
        return begins

    def test_all_metrics_scopes_and_periods_of_a_catch_up_in_one_pass(
        self, collect: Collect, opened: list[int]
    ) -> None:
        collector = collect(
            [row("00:00", "09:00", scope=s, metric=m) for s in "pq" for m in ("vm", "disk")]
        )
        for number in range(9):
            for name in ("vm", "disk"):
                for scopes in (["p"], ["q"]):
                    found = collector.fetch(definition(name=name), hour(number), scopes)
                    assert list(found) == scopes
        assert len(opened) == 1

    def test_an_earlier_period_starts_again(self, collect: Collect, opened: list[int]) -> None:
        collector = collect([row("00:00", "09:00")])
        for number in (5, 2, 3):
            assert quantities(collector, hour(number)) == {"i": "1"}
        assert len(opened) == 2

    def test_two_groups_of_scopes_at_different_periods_need_two_passes(
        self, collect: Collect, opened: list[int]
    ) -> None:
        collector = collect([row("00:00", "23:00")])
        for number in range(8):
            quantities(collector, hour(10 + number))
            quantities(collector, hour(number))
        assert len(opened) == 2

    def test_files_are_closed(self, collect: Collect) -> None:
        collector = collect([row("00:00", "23:00")])
        before = len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0
        for number in reversed(range(20)):
            quantities(collector, hour(number))
        collector.close()
        after = len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0
        assert after <= before

    def test_threads_get_the_answers_that_one_would(self, collect: Collect) -> None:
        names = [f"metric{number}" for number in range(8)]
        lines = [
            row("00:00", f"{h:02}:30", "2", metric=name, one=f"{name}-{h}")
            for name in names
            for h in range(1, 12)
        ]
        asked = [(definition(name=name), hour(h)) for h in range(12) for name in names]
        alone = collect(lines)
        expected = [quantities(alone, stretch, metric) for metric, stretch in asked]
        shared = collect(lines)
        with ThreadPoolExecutor(8) as pool:
            found = list(pool.map(lambda one: quantities(shared, one[1], one[0]), asked))
        assert found == expected


class TestMistakes:
    @pytest.mark.parametrize(
        ("line", "expected"),
        [
            (row("never", "01:00"), "column begin: '2026-01-05Tnever' is not an instant"),
            (row("00:00", "x" * 9), f"column end: {'x' * 9!r} is not an instant"),
            (row("01:00", "01:00"), "column end: 2026-01-05T01:00 is not after begin"),
            (row("00:00", "01:00", "much"), "column qty: 'much' is not a number"),
            (row("00:00", "01:00", ""), "column qty: '' is not a number"),
            (row("00:00", "01:00", "NaN"), "column qty: NaN is not a finite number"),
            (row("00:00", "01:00", "inf"), "column qty: Infinity is not a finite number"),
            (row("00:00", "01:00", scope=""), "column project_id: is empty"),
            (row("00:00", "01:00", metric=""), "column metric: is empty"),
            (row("00:00", "01:00") + ",more", "has 8 cells, and the header 7"),
            ("2026-01-05T00:00", "has 1 cells, and the header 7"),
            ('"', "unexpected end of data"),
        ],
    )
    def test_in_a_row(self, collect: Collect, line: str, expected: str) -> None:
        collector = collect([row("00:00", "01:00"), line])
        with pytest.raises(SourceUnavailable) as caught:
            quantities(collector, hour(0))
        assert "[collector_csv] file: " in str(caught.value)
        assert "usage-0.csv, line 3" in str(caught.value)
        assert expected in str(caught.value)

    def test_rows_out_of_order(self, collect: Collect) -> None:
        collector = collect([row("00:30", "01:00"), row("00:00", "01:00")])
        with pytest.raises(CollectError, match=r"line 3, column begin: .*; sort by begin"):
            quantities(collector, hour(0))

    def test_they_are_found_again_when_asked_again(self, collect: Collect) -> None:
        collector = collect([row("00:00", "01:00", "much")])
        for _ in range(2):
            with pytest.raises(CollectError, match="'much' is not a number"):
                quantities(collector, hour(0))

    def test_a_later_mistake_does_not_stop_earlier_periods(self, collect: Collect) -> None:
        collector = collect(
            [row("00:00", "01:00"), row("05:00", "06:00"), row("09:00", "10:00", "much")]
        )
        assert quantities(collector, hour(0)) == {"i": "1"}

    @pytest.mark.parametrize(
        ("header", "expected"),
        [
            ("begin,end,metric,project_id", "line 1: the header lacks qty"),
            ("begin,end,metric,qty,id", "line 1: the header lacks project_id"),
            (HEADER + ",id", "line 1, column id: the header has this column twice"),
            ("", "line 1: the header lacks begin, end, metric, qty, project_id"),
        ],
    )
    def test_in_the_header(self, collect: Collect, header: str, expected: str) -> None:
        with pytest.raises(CollectError) as caught:
            quantities(collect([], header=header), hour(0))
        assert expected in str(caught.value)

    def test_an_attribute_without_a_column(self, collect: Collect) -> None:
        collector = collect([row("00:00", "01:00")])
        with pytest.raises(CollectError) as caught:
            quantities(collector, hour(0), definition("groupby: [id], metadata: [flavour]"))
        assert "line 1, column flavour: the header lacks this column" in str(caught.value)
        assert "'vm'" in str(caught.value)

    def test_a_quantity_that_cannot_be_kept_is_about_its_scope_alone(
        self, collect: Collect
    ) -> None:
        collector = collect(
            [row("00:00", "01:00", "9" * 38), row("00:00", "01:00", "9", scope="q")]
        )
        metric = definition("groupby: [id], factor: 1000")
        with pytest.raises(CollectError) as caught:
            quantities(collector, hour(0), metric)
        assert "line 2, column qty: " in str(caught.value)
        assert "has more than 40 digits" in str(caught.value)
        assert not isinstance(caught.value, SourceUnavailable)
        assert collector.fetch(metric, hour(0), ["q"])["q"].qty == [9000]

    def test_a_file_that_is_not_there(self, conf: cfg.ConfigOpts, tmp_path: pathlib.Path) -> None:
        path = tmp_path / "none.csv"
        conf.set_override("file", [str(path)], "collector_csv")
        with pytest.raises(SourceUnavailable) as caught:
            quantities(CsvCollector(conf, Registry()), hour(0))
        assert str(caught.value) == (
            f"[collector_csv] file: cannot read {path}: No such file or directory"
        )

    def test_a_damaged_gzip_file(self, conf: cfg.ConfigOpts, tmp_path: pathlib.Path) -> None:
        path = tmp_path / "usage.csv.gz"
        lines = "\n".join([HEADER] + [row("00:00", "01:00", one=str(n)) for n in range(999)])
        path.write_bytes(gzip.compress(lines.encode())[:-500])
        conf.set_override("file", [str(path)], "collector_csv")
        with pytest.raises(CollectError, match=str(path)):
            quantities(CsvCollector(conf, Registry()), hour(0))

    def test_a_file_that_is_not_text(self, conf: cfg.ConfigOpts, tmp_path: pathlib.Path) -> None:
        path = tmp_path / "usage.csv"
        path.write_bytes(f"{HEADER}\n".encode() + b"\xff\xff\n")
        conf.set_override("file", [str(path)], "collector_csv")
        with pytest.raises(CollectError, match=f"{path}, line"):
            quantities(CsvCollector(conf, Registry()), hour(0))

    def test_no_file_at_all(self, conf: cfg.ConfigOpts) -> None:
        with pytest.raises(ConfigurationError, match=r"\[collector_csv\] file"):
            CsvCollector(conf, Registry())

    def test_unknown_extra_args(self) -> None:
        with pytest.raises(metrics.MetricsError, match="did you mean 'kind'"):
            definition("extra_args: {knid: level}")


Usage = tuple[int, int, str, Decimal, str, str]
"""Begin and end in minutes of the day, metric, quantity, scope, id."""

usages = st.lists(
    st.tuples(
        st.integers(0, 600),
        st.integers(1, 400),
        st.sampled_from(["vm", "disk"]),
        st.decimals(-50, 50, places=2).map(lambda value: value + 0),
        st.sampled_from(["p", "q"]),
        st.sampled_from(["a", "b"]),
    ).map(lambda drawn: (drawn[0], drawn[0] + drawn[1], *drawn[2:])),
    max_size=12,
)


def expected_usage(
    usage: Sequence[Usage], metric: MetricDefinition, number: int, scopes: Sequence[str]
) -> dict[tuple[str, str], Decimal]:
    """The same by going through all rows."""
    raw: dict[tuple[str, str], Fraction] = {}
    for begin, end, name, qty, scope, one in usage:
        overlap = min(end, (number + 1) * 60) - max(begin, number * 60)
        if name != metric.name or scope not in scopes or overlap <= 0:
            continue
        stretch = 60 if metric.extra_args["kind"] == "level" else end - begin
        share = Fraction(qty) * Fraction(overlap, stretch)
        raw[scope, one] = raw.get((scope, one), Fraction(0)) + share
    return {key: metric.quantity(value) for key, value in raw.items()}


def as_table(found: Mapping[str, Any]) -> dict[tuple[str, str], Decimal]:
    return {
        (scope, point.groupby["id"]): point.qty
        for scope, points in found.items()
        for point in points
    }


def instant(minutes: int) -> str:
    return (DAY + datetime.timedelta(minutes=minutes)).isoformat()


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    usage=usages,
    split=st.integers(0, 12),
    asked=st.lists(
        st.tuples(
            st.integers(0, 17),
            st.sampled_from(["vm", "disk"]),
            st.sampled_from(["level", "amount"]),
            st.sampled_from([["p"], ["q"], ["p", "q"]]),
        ),
        min_size=1,
        max_size=20,
    ),
)
def test_any_question_gets_what_going_through_all_rows_gives(
    tmp_path_factory: pytest.TempPathFactory,
    usage: list[Usage],
    split: int,
    asked: list[tuple[int, str, str, list[str]]],
) -> None:
    directory = tmp_path_factory.mktemp("usage")
    paths = []
    for name, part in (("one", usage[:split]), ("two", usage[split:])):
        lines = [HEADER] + [
            f"{instant(begin)},{instant(end)},{metric},{qty},{scope},{one},f"
            for begin, end, metric, qty, scope, one in sorted(part, key=lambda line: line[0])
        ]
        path = directory / name
        path.write_text("\n".join(lines), encoding="utf-8")
        paths.append(str(path))
    conf = config.load([], config_files=[])
    conf.set_override("file", paths, "collector_csv")
    collector = CsvCollector(conf, Registry())
    for number, name, kind, scopes in asked:
        metric = definition(f"factor: 1/3, groupby: [id], extra_args: {{kind: {kind}}}", name)
        found = as_table(collector.fetch(metric, hour(number), scopes))
        assert found == expected_usage(usage, metric, number, scopes)
    collector.close()
