# SPDX-License-Identifier: Apache-2.0
"""The metrics file: what it says, how values are converted, how mistakes are reported."""

import json
import pathlib
from collections.abc import Mapping
from decimal import Decimal
from fractions import Fraction

import pytest
import voluptuous as vol
from hypothesis import given
from hypothesis import strategies as st

from cloudkitty import money
from cloudkitty.collector import metrics, schema
from cloudkitty.collector.metrics import MetricDefinition, MetricsError, Mutate
from cloudkitty.config import ConfigurationError
from cloudkitty.dataframe import Shape
from cloudkitty.expression import Expression

EXTRA_ARGS = schema.record(
    {vol.Optional("kind", default="level"): schema.one_of(["level", "amount"])}
)


def check_extra_args(extra_args: Mapping[str, object]) -> Mapping[str, object]:
    return EXTRA_ARGS(extra_args)


def read(written: str) -> metrics.MetricsFile:
    return metrics.read(written, "project_id", check_extra_args, name="metrics.yml")


def definition(body: str) -> MetricDefinition:
    return read(f"metrics: {{m: {{unit: one, {body}}}}}").definitions[0]


class TestDefinition:
    def test_defaults(self) -> None:
        assert definition("") == MetricDefinition(
            name="m",
            service="m",
            unit="one",
            groupby=("project_id",),
            extra_args={"kind": "level"},
        )

    def test_everything_that_can_be_said(self) -> None:
        written = """
        metrics:
          cpu:
            unit: instance
            description: An instance
            alt_name: compute
            factor: 1/3
            offset: -0.1
            groupby: [id, project_id]
            metadata: [flavor_name]
            mutate: MAP
            mutate_map: {0: 1, 0.1: 3}
            skip_datapoints_expression: datapoint["rating"]["price"] == 0
            extra_args: {kind: amount}
        """
        assert read(written).definitions == (
            MetricDefinition(
                name="cpu",
                service="compute",
                unit="instance",
                description="An instance",
                factor=Fraction(1, 3),
                offset=Fraction(-1, 10),
                groupby=("id", "project_id"),
                metadata=("flavor_name",),
                mutate=Mutate.MAP,
                mutate_map={Decimal(0): Decimal(1), Decimal("0.1"): Decimal(3)},
                skip_datapoints_expression=Expression.read('datapoint["rating"]["price"] == 0'),
                extra_args={"kind": "amount"},
            ),
        )

    def test_scope_key_is_appended_to_groupby(self) -> None:
        assert definition("groupby: [id, user_id]").groupby == ("id", "user_id", "project_id")

    def test_scope_key_keeps_the_place_it_was_given(self) -> None:
        assert definition("groupby: [project_id, id]").groupby == ("project_id", "id")

    def test_shape_has_sorted_attributes(self) -> None:
        shape = definition("alt_name: s, groupby: [user_id, id], metadata: [b, a]").shape
        assert shape == Shape("s", "one", None, ("id", "project_id", "user_id"), ("a", "b"))

    def test_equal_definitions_have_one_hash(self) -> None:
        body = "mutate: MAP, mutate_map: {1: 2}"
        assert hash(definition(body)) == hash(definition(body))

    @pytest.mark.parametrize(
        ("written", "factor"),
        [
            ("0.1", Fraction(1, 10)),
            ("'0.1'", Fraction(1, 10)),
            ("1/1048576", Fraction(1, 1048576)),
            ("3600/1000000", Fraction(9, 2500)),
            ("' 3600 / 1000000 '", Fraction(9, 2500)),
            ("0.5/3", Fraction(1, 6)),
            ("7", Fraction(7)),
            ("-2", Fraction(-2)),
            ("010", Fraction(10)),
            ("1_000", Fraction(1000)),
            ("1e-3", Fraction(1, 1000)),
            ("1.0e-3", Fraction(1, 1000)),
            (
                "0.1000000000000000055511151231257827",
                Fraction("0.1000000000000000055511151231257827"),
            ),
        ],
    )
    def test_factor_is_exact(self, written: str, factor: Fraction) -> None:
        assert definition(f"factor: {written}").factor == factor


class TestFile:
    def test_definitions_come_in_the_order_of_the_file(self) -> None:
        found = read("metrics: {b: [{unit: x}, {unit: y, alt_name: z}], a: {unit: x}}")
        assert [(one.name, one.service) for one in found] == [("b", "b"), ("b", "z"), ("a", "a")]

    def test_look_up_by_service(self) -> None:
        found = read("metrics: {cpu: {unit: x, alt_name: instance}}")
        service = found.service("instance")
        assert service is not None and service.name == "cpu"
        assert found.service("cpu") is None

    def test_a_service_of_two_metrics_is_described_by_the_first(self) -> None:
        found = read("metrics: {b: {unit: x, alt_name: s}, a: {unit: y, alt_name: s}}")
        assert found.by_service["s"].name == "b"

    def test_a_skip_expression_is_for_the_service(self) -> None:
        written = "{unit: x, alt_name: s, skip_datapoints_expression: 'usage_data_metric_name'}"
        found = read(f"metrics: {{a: {{unit: x}}, b: {written}, c: {{unit: x, alt_name: s}}}}")
        assert found.skip_expressions == {"s": Expression.read("usage_data_metric_name")}

    @pytest.mark.parametrize("written", ["false", "False", "'False'"])
    def test_a_skip_expression_that_is_a_truth_value_needs_no_quotes(self, written: str) -> None:
        expression = definition(f"skip_datapoints_expression: {written}").skip_datapoints_expression
        assert expression == Expression.read("False")

    def test_raw_is_json(self) -> None:
        found = read("metrics: {m: {unit: x, factor: 0.5, mutate: MAP, mutate_map: {1: 1.5}}}")
        assert json.loads(json.dumps(found.raw)) == {
            "metrics": {
                "m": {"unit": "x", "factor": 0.5, "mutate": "MAP", "mutate_map": {"1": 1.5}}
            }
        }

    def test_raw_is_the_file_without_defaults(self) -> None:
        assert read("metrics: {m: {unit: x}}").raw == {"metrics": {"m": {"unit": "x"}}}

    def test_load(self, tmp_path: pathlib.Path) -> None:
        path = tmp_path / "metrics.yml"
        path.write_text("metrics: {m: {unit: €}}", encoding="utf-8")
        assert metrics.load(path, "project_id", check_extra_args).definitions[0].unit == "€"


def problems(written: str) -> list[str]:
    with pytest.raises(MetricsError) as caught:
        read(written)
    return [problem.removeprefix("metrics.yml: ") for problem in caught.value.problems]


NUMBER = "must be a number or a fraction like 1/1048576, not"


class TestMistakes:
    @pytest.mark.parametrize(
        ("body", "expected"),
        [
            ("factor: 1/0", "factor: 1/0 divides by zero"),
            ("factor: abc", f"factor: {NUMBER} 'abc'"),
            ("factor: 1:30", f"factor: {NUMBER} '1:30'"),
            ("factor: 0x10", f"factor: {NUMBER} '0x10'"),
            ("factor: .nan", f"factor: {NUMBER} '.nan'"),
            ("factor: nan", f"factor: {NUMBER} 'nan'"),
            ("offset: .inf", f"offset: {NUMBER} '.inf'"),
            ("offset: true", f"offset: {NUMBER} True"),
            ("offset: 1/2/3", f"offset: {NUMBER} '1/2/3'"),
            ("factr: 1", "factr: unknown key 'factr'; did you mean 'factor'?"),
            ("unit: 3", "unit: must be a text, not 3; put it in quotes"),
            ("alt_name: ''", "alt_name: must not be empty"),
            ("description: 1.5", "description: must be a text, not 1.5; put it in quotes"),
            ("groupby: id", "groupby: must be a list of texts, like [id]"),
            ("groupby: [id, id]", "groupby -> [1]: 'id' is listed twice"),
            ("metadata: [a, b, a]", "metadata -> [2]: 'a' is listed twice"),
            ("metadata: [1]", "metadata -> [0]: must be a text, not 1; put it in quotes"),
            ("metadata: ['']", "metadata -> [0]: must not be empty"),
            (
                "mutate: ceil",
                "mutate: must be one of NONE, NUMBOOL, NOTNUMBOOL, FLOOR, CEIL, MAP, not 'ceil'",
            ),
            ("mutate: MAP", "mutate_map: missing; mutate: MAP needs it, like {0: 1, 11: 1}"),
            ("mutate_map: {1: 1}", "mutate_map: has an effect only with mutate: MAP"),
            (
                "mutate: MAP, mutate_map: {}",
                "mutate_map: must be a map of number to number, like {0: 1, 11: 1}",
            ),
            ("mutate: MAP, mutate_map: {a: 1}", "mutate_map -> a: 'a' is not a number"),
            ("mutate: MAP, mutate_map: {1: on}", "mutate_map -> 1: True is not a number"),
            ("mutate: MAP, mutate_map: {1: 1, '1.0': 2}", "mutate_map -> 1.0: 1.0 is given twice"),
            (
                "skip_datapoints_expression: 1 == price",
                "skip_datapoints_expression: column 6: unknown variable price; there are "
                "datapoint, usage_data_metric_name, filtered_datapoints, excluded_datapoints, "
                "skip_datapoint_expression",
            ),
            (
                "skip_datapoints_expression: 0",
                "skip_datapoints_expression: must be a text, not 0; put it in quotes",
            ),
            ("extra_args: [a]", "extra_args: must be a map"),
            (
                "extra_args: {knd: level}",
                "extra_args -> knd: unknown key 'knd'; did you mean 'kind'?",
            ),
            (
                "extra_args: {kind: x}",
                "extra_args -> kind: must be one of level, amount, not 'x'",
            ),
        ],
    )
    def test_in_a_definition(self, body: str, expected: str) -> None:
        unit = "" if body.startswith("unit") else "unit: one, "
        found = problems(f"metrics: {{m: {{{unit}{body}}}}}")
        assert f"metrics -> m -> {expected}" in found

    @pytest.mark.parametrize(
        ("written", "expected"),
        [
            ("", "the file must be a map with the one key 'metrics'"),
            ("[a]", "the file must be a map with the one key 'metrics'"),
            (
                "metrics: {}",
                "metrics: must be a map of metric name to definition, with at least one metric",
            ),
            (
                "{metrics: {m: {unit: x}}, metricz: 1}",
                "metricz: unknown key 'metricz'; did you mean 'metrics'?",
            ),
            ("metrics: {m: []}", "metrics -> m: must have at least one definition"),
            (
                "metrics: {m: {}}",
                "metrics -> m -> unit: missing; name what one of it is called, like GiB",
            ),
            (
                "metrics: {3: {unit: x}}",
                "metrics -> 3: the name of a metric must be a text; put it in quotes",
            ),
            (
                "metrics: {m: [{unit: x}, {unit: y}]}",
                "metrics -> m -> [1]: has the same alt_name as [0]: definitions of one metric "
                "need different ones, or different collectors",
            ),
            (
                "metrics: {m: {unit: x, alt_name: s, skip_datapoints_expression: 'True'}, "
                "n: {unit: x, alt_name: s, skip_datapoints_expression: 'False'}}",
                "metrics -> n -> skip_datapoints_expression: differs from that of m: both are "
                "the service s, which can have only one",
            ),
            (
                "metrics:\n  m: {unit: x}\n  m: {unit: y}",
                "line 3: m is given twice, first on line 2",
            ),
            (
                "metrics: [",
                "line 1, column 11: expected the node content, but found '<stream end>'",
            ),
            ("a: b: c", "line 1, column 5: mapping values are not allowed here"),
        ],
    )
    def test_in_the_file(self, written: str, expected: str) -> None:
        assert expected in problems(written)

    def test_all_are_reported_at_once_and_in_the_order_of_the_file(self) -> None:
        found = problems(
            "metrics: {a: {factor: 1/0}, b: {unit: x, offset: y}, "
            "c: {unt: x}, d: {unit: x, skip_datapoints_expression: a}, "
            "e: {unit: x, skip_datapoints_expression: b, factor: c}}"
        )
        assert [problem.split(":")[0] for problem in found] == [
            "metrics -> a -> factor",
            "metrics -> a -> unit",
            "metrics -> b -> offset",
            "metrics -> c -> unt",
            "metrics -> c -> unit",
            "metrics -> d -> skip_datapoints_expression",
            "metrics -> e -> skip_datapoints_expression",
            "metrics -> e -> factor",
        ]

    def test_a_missing_file_names_the_option(self, tmp_path: pathlib.Path) -> None:
        path = tmp_path / "none.yml"
        with pytest.raises(MetricsError) as caught:
            metrics.load(path, "project_id", check_extra_args)
        assert str(caught.value) == (
            f"[collect] metrics_conf: cannot read {path}: No such file or directory"
        )

    def test_a_file_that_is_not_text(self, tmp_path: pathlib.Path) -> None:
        path = tmp_path / "metrics.yml"
        path.write_bytes(b"\xff\xfe\x00")
        with pytest.raises(MetricsError, match=r"\[collect\] metrics_conf: cannot read"):
            metrics.load(path, "project_id", check_extra_args)


def check_region(extra_args: Mapping[str, object]) -> Mapping[str, object]:
    return REGION(extra_args)


REGION = schema.record({vol.Required("region"): schema.text})


class Others(dict[str, metrics.CheckExtraArgs]):
    """The collectors that are installed, of which one cannot be imported."""

    def __getitem__(self, name: str) -> metrics.CheckExtraArgs:
        if name == "broken":
            raise ConfigurationError("collector 'broken' cannot be loaded: ImportError: no such")
        return super().__getitem__(name)


OTHERS = Others(csv=check_extra_args, gnocchi=check_region, broken=check_extra_args)


class TestCollector:
    """``collector:`` of a definition, beside the one that is configured."""

    @staticmethod
    def read(written: str) -> metrics.MetricsFile:
        return metrics.read(
            f"metrics: {written}",
            "project_id",
            check_extra_args,
            name="metrics.yml",
            collector="csv",
            others=OTHERS,
        )

    def problems(self, written: str) -> list[str]:
        with pytest.raises(MetricsError) as caught:
            self.read(written)
        return [problem.removeprefix("metrics.yml: ") for problem in caught.value.problems]

    def test_each_definition_has_one_and_its_checked_arguments(self) -> None:
        found = self.read(
            "{a: {unit: x}, b: {unit: x, collector: gnocchi, extra_args: {region: north}}, "
            "c: {unit: x, collector: csv, extra_args: {kind: amount}}}"
        )
        assert [(one.collector, one.extra_args, one.written_args) for one in found] == [
            ("csv", {"kind": "level"}, {}),
            ("gnocchi", {"region": "north"}, {"region": "north"}),
            ("csv", {"kind": "amount"}, {"kind": "amount"}),
        ]
        assert found.collectors == ("csv", "gnocchi")

    @pytest.mark.parametrize(
        ("written", "expected"),
        [
            (
                "{m: {unit: x, collector: gnochi}}",
                "metrics -> m -> collector: unknown collector 'gnochi'; did you mean 'gnocchi'?",
            ),
            (
                "{m: [{unit: x, collector: zzz}]}",
                "metrics -> m -> [0] -> collector: unknown collector 'zzz'; "
                "there are: broken, csv, gnocchi",
            ),
            (
                "{m: {unit: x, collector: broken}}",
                "metrics -> m -> collector: collector 'broken' cannot be loaded: "
                "ImportError: no such",
            ),
            (
                "{m: {unit: x, collector: 3}}",
                "metrics -> m -> collector: must be a text, not 3; put it in quotes",
            ),
            ("{m: {unit: x, collector: ''}}", "metrics -> m -> collector: must not be empty"),
            (
                "{m: {unit: x, collector: gnocchi}}",
                "metrics -> m -> extra_args -> region: required key not provided",
            ),
            (
                "{m: {unit: x, collector: gnocchi, extra_args: {kind: level, region: a}}}",
                "metrics -> m -> extra_args -> kind: unknown key 'kind'; there are: region",
            ),
            (
                "{m: [{unit: x}, {unit: x, collector: csv}]}",
                "metrics -> m -> [1]: has the same alt_name as [0]: definitions of one metric "
                "need different ones, or different collectors",
            ),
        ],
    )
    def test_mistakes_are_named_with_their_path(self, written: str, expected: str) -> None:
        assert self.problems(written) == [expected]

    def test_one_metric_may_come_from_two_collectors(self) -> None:
        found = self.read(
            "{m: [{unit: x}, {unit: x, collector: gnocchi, extra_args: {region: a}}]}"
        )
        assert [(one.service, one.collector) for one in found] == [("m", "csv"), ("m", "gnocchi")]

    def test_without_others_there_is_but_the_configured_one(self) -> None:
        written = "metrics: {m: {unit: x, collector: gnocchi}}"
        with pytest.raises(MetricsError, match="unknown collector 'gnocchi'; there are: csv"):
            metrics.read(written, "project_id", check_extra_args, collector="csv")


MAPPED = "mutate: MAP, mutate_map: {0: 1, 11: 1, 1.5: 7, 0.1: 3}"


class TestQuantity:
    @pytest.mark.parametrize(
        ("raw", "body", "expected"),
        [
            ("0.1", "", "0.1"),
            ("9.9", "factor: 10, mutate: CEIL", "99"),
            ("41943040", "factor: 1/1048576", "40"),
            ("12345.678", "factor: 3600/1000000", "44.4444408"),
            ("1500", "factor: 1/1000, offset: 0.5, mutate: FLOOR", "2"),
            ("5", "factor: 2, offset: -3", "7"),
            ("-1.5", "mutate: CEIL", "-1"),
            ("-1.5", "mutate: FLOOR", "-2"),
            ("0", "mutate: NUMBOOL", "0"),
            ("3.2", "mutate: NUMBOOL", "1"),
            ("-1", "mutate: NUMBOOL", "1"),
            ("0", "mutate: NOTNUMBOOL", "1"),
            ("4", "mutate: NOTNUMBOOL", "0"),
            ("0", MAPPED, "1"),
            ("11", MAPPED, "1"),
            ("4", MAPPED, "0"),
            ("1.5", MAPPED, "7"),
            ("0.1", MAPPED, "3"),
            ("1.50", MAPPED, "7"),
            ("123456789.987", "", "123456789.987"),
            ("10737418241", "factor: 1/1073741824", "10.00000000093132257461547852"),
            ("0.1234567895", "", "0.1234567895"),
            ("1", "factor: 1/3", "0.3333333333333333333333333333"),
            ("3", "factor: 1/3", "1"),
            ("12345678901234567890123456789", "", "12345678901234567890123456790"),
        ],
    )
    def test_conversion(self, raw: str, body: str, expected: str) -> None:
        assert money.text(definition(body).quantity(Decimal(raw))) == expected

    @pytest.mark.parametrize("raw", ["NaN", "sNaN", "Infinity", "-Infinity"])
    @pytest.mark.parametrize("body", ["", "factor: 2", "mutate: CEIL", "mutate: NUMBOOL", MAPPED])
    def test_what_is_not_finite_is_no_quantity(self, raw: str, body: str) -> None:
        with pytest.raises(money.NotAnAmount):
            definition(body).quantity(Decimal(raw))

    def test_a_quantity_that_cannot_be_kept_is_refused(self) -> None:
        with pytest.raises(money.NotAnAmount):
            definition("factor: 1000").quantity(Decimal(10) ** 38)

    def test_a_fraction_is_rounded_once(self) -> None:
        assert definition("factor: 3").quantity(Fraction(1, 3)) == 1

    @given(
        raw=st.decimals(
            min_value=-(10**12), max_value=10**12, places=6, allow_nan=False, allow_infinity=False
        ),
        factor=st.fractions(min_value=-1000, max_value=1000, max_denominator=10**6),
        offset=st.fractions(min_value=-1000, max_value=1000, max_denominator=10**6),
    )
    def test_it_is_the_exact_ratio_rounded_to_28_digits(
        self, raw: Decimal, factor: Fraction, offset: Fraction
    ) -> None:
        one = MetricDefinition("m", "m", "x", factor=factor, offset=offset)
        exact = Fraction(raw) * factor + offset
        error = abs(Fraction(one.quantity(raw)) - exact)
        assert error <= abs(exact) * Fraction(5, 10**28)
