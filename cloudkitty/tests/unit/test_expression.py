# SPDX-License-Identifier: Apache-2.0
"""Conditions on points: what may be written, what it means, what is refused."""

import contextlib
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloudkitty.dataframe import Registry
from cloudkitty.expression import DEEPEST, LONGEST, Expression, ExpressionError, Needs
from cloudkitty.operations import EvaluationError, View
from cloudkitty.tests.expression_model import python

REGISTRY = Registry()

INSTANCE = REGISTRY.series(
    "instance",
    unit="instance",
    groupby={"id": "i-1", "project_id": "web", "vcpus": 4, "count": "17"},
    metadata={"flavor_name": " M1.tiny ", "load": 0.1, "spot": True, "host": None},
    description="A machine",
)
"""The series that the examples are about."""

QTY, PRICE = 'datapoint["vol"]["qty"]', 'datapoint["rating"]["price"]'
FLAVOR = 'datapoint["metadata"]["flavor_name"]'


def view(qty: str = "2.5", price: str = "0") -> View:
    earlier = View(INSTANCE, Decimal(7), Decimal(3)).form()
    return View(INSTANCE, Decimal(qty), Decimal(price), [earlier, earlier], [])


def holds(source: str, seen: View | None = None) -> bool:
    return Expression.read(source).holds(seen or view())


class TestForms:
    @pytest.mark.parametrize(
        ("source", "expected"),
        [
            # Both of the point's numbers, in the forms of the documentation.
            (f"{QTY} == 0 or {PRICE} == 0", True),
            (f"{QTY} == 0 and {PRICE} == 0", False),
            (f"{QTY} == 2.5", True),
            (f"{QTY} * 2 == 5", True),
            (f"0 < {QTY} <= 2.50", True),
            (f"0 < {QTY} < 2 < {PRICE}", False),
            (f"not {PRICE}", True),
            (f"-{QTY} == -2.5", True),
            (f"({QTY} + 1.5) / 2 - 1 == 1", True),
            (f"{PRICE} is None", False),
            ('datapoint["vol"]["unit"] == "instance"', True),
            ('datapoint.get("vol").get("qty") == 2.5', True),
            ('datapoint["description"] == "A machine"', True),
            ('datapoint.get("description", "") == ""', False),
            # Attributes.
            ('datapoint["groupby"]["project_id"] == "web"', True),
            ('datapoint["groupby"]["vcpus"] > 3', True),
            ('datapoint["groupby"]["vcpus"] / 8 == 0.5', True),
            ('datapoint["metadata"]["load"] == 0.1', True),
            ('datapoint["metadata"]["load"] * 3 == 0.3', True),
            ('datapoint["metadata"]["spot"]', True),
            ('datapoint["metadata"]["spot"] is True', True),
            ('datapoint["metadata"].get("host") is None', True),
            ('datapoint["metadata"].get("host", "x") is not None', False),
            ('datapoint["metadata"].get("none")', False),
            ('datapoint["metadata"].get("none", "x") == "x"', True),
            ('datapoint["metadata"].get("none", datapoint["groupby"]["id"]) == "i-1"', True),
            ('datapoint.get("metadata", {}).get("none", 0) == 0', True),
            ('"host" in datapoint["metadata"]', True),
            ('"groupby" not in datapoint', False),
            ('len(datapoint["groupby"]) == 4', True),
            ('datapoint["groupby"]["id"] in ("i-0", "i-1")', True),
            ('datapoint["groupby"]["id"] not in ["i-0", "i-1"]', False),
            ('datapoint["groupby"]["id"] in ()', False),
            ('"tiny" in datapoint["metadata"]["flavor_name"]', True),
            # Texts.
            (f'{FLAVOR}.strip().lower().startswith("m1.")', True),
            (f'{FLAVOR}.upper().endswith(("TINY", "TINY "))', True),
            (f'{FLAVOR}.strip(" My")[0] == "1"', True),
            (f"len({FLAVOR}) == 9", True),
            ('str(datapoint["groupby"]["vcpus"]) == "4"', True),
            ('str(datapoint["metadata"]["host"]) == "None"', True),
            ('int(datapoint["groupby"]["count"]) == 17', True),
            (f"int({QTY}) == 2", True),
            ("int(-2.5) == -2", True),
            ('Decimal("0.10") == float("0.1")', True),
            # The other variables.
            ('usage_data_metric_name in ("instance", "volume.size")', True),
            ('usage_data_metric_name == "volume.size"', False),
            ("len(filtered_datapoints) == 2", True),
            ("len(excluded_datapoints) > 0", False),
            ("excluded_datapoints", False),
            ('filtered_datapoints[-1]["vol"]["qty"] == 7', True),
            ("datapoint in filtered_datapoints", False),
            ("'len(' in skip_datapoint_expression", True),
            # Literals, and how they are written.
            ("False", False),
            ("True", True),
            ("None", False),
            ("0", False),
            ("0.1 + 0.2 == 0.3", True),
            ("1_000 == 1e3", True),
            ("0x10 == 16", True),
            ("'a' 'b' == \"ab\"", True),
            ("  True  ", True),
            ("(False or\n True)\n", True),
        ],
    )
    def test_of_the_field(self, source: str, expected: bool) -> None:
        assert holds(source) is expected
        assert python(source, view()) is expected

    def test_a_number_is_read_as_it_is_written(self) -> None:
        assert holds("0.1234567890123456789012345678901 != 0.12345678901234567890123456789011")

    def test_operands_that_decide_nothing_are_not_computed(self) -> None:
        assert holds(f'{QTY} > 1 or datapoint["metadata"]["none"]')
        assert not holds(f'{QTY} > 3 and datapoint["metadata"]["none"]')
        assert not holds(f'3 < {QTY} < datapoint["metadata"]["none"]')


class TestNeeds:
    @pytest.mark.parametrize(
        ("source", "needs"),
        [
            ("False", Needs.NOTHING),
            ("not (1 + 1 == 2) or len('a') > 1", Needs.NOTHING),
            (f"{QTY} == 0", Needs.QTY),
            (f"{PRICE} == 0", Needs.PRICE),
            (f"{QTY} == 0 or {PRICE} == 0", Needs.QTY | Needs.PRICE),
            ('datapoint["metadata"].get("a", 1) == 1', Needs.SERIES),
            ('"a" in datapoint["groupby"]', Needs.SERIES),
            (f'datapoint["metadata"].get("a", {QTY}) == 1', Needs.SERIES | Needs.QTY),
            ('datapoint["vol"]["unit"] == "GiB"', Needs.SERIES),
            ("usage_data_metric_name == 'a'", Needs.SERIES),
            ("datapoint == 1", Needs.SERIES | Needs.QTY | Needs.PRICE),
            ("len(filtered_datapoints) > 1", Needs.HISTORY),
        ],
    )
    def test_only_what_is_named_is_read(self, source: str, needs: Needs) -> None:
        assert Expression.read(source).needs == needs

    @pytest.mark.parametrize(
        ("source", "constant"), [("False", False), ("1 < 2", True), (f"{QTY} == 0", None)]
    )
    def test_what_no_point_changes_is_known_at_once(
        self, source: str, constant: bool | None
    ) -> None:
        assert Expression.read(source).constant is constant


class TestRefusals:
    @pytest.mark.parametrize(
        "source",
        [
            "datapoint.__class__",
            '"".__class__.__mro__',
            '"{0.__class__}".format(datapoint)',
            "datapoint.keys()",
            "datapoint.items",
            'datapoint["groupby"].pop("id")',
            "lambda: True",
            "(lambda: True)()",
            "[x for x in filtered_datapoints]",
            "{x for x in ()}",
            "len(x for x in ())",
            "2 ** 1000000000",
            "7 % 2",
            "7 // 2",
            "1 << 100",
            "1 | 2",
            "~1",
            "+1",
            "1 if True else 2",
            "(x := 1)",
            'f"{datapoint}"',
            'b"a"',
            "1j",
            "...",
            "{1: 2}",
            "{1}",
            "[*filtered_datapoints]",
            "len(*filtered_datapoints)",
            "filtered_datapoints[0:1]",
            'datapoint["groupby"].get("id", default=1)',
            'datapoint.get("metadata", [x for x in ()])["a"]',
            "await datapoint",
        ],
    )
    def test_of_forms(self, source: str) -> None:
        with pytest.raises(ExpressionError, match=r"^column \d+: .*(is not allowed; allowed are)"):
            Expression.read(source)

    @pytest.mark.parametrize(
        ("source", "message"),
        [
            ("", "is empty; False keeps every point"),
            (" \n", "is empty; False keeps every point"),
            ("qty == 0", "column 1: unknown variable qty; there are datapoint, "),
            ("0 == __builtins__", "column 6: unknown variable __builtins__"),
            ("not open('/etc/passwd')", "column 5: unknown function open; there are len, str, int"),
            ("'é' == x", "column 8: unknown variable x"),
            ("  x", "column 3: unknown variable x"),
            ("(1 or\n  x)", "line 2, column 3: unknown variable x"),
            ("(1 or\r\n  x)", "line 2, column 3: unknown variable x"),
            ("(1 or\r  x)", "line 2, column 3: unknown variable x"),
            ('datapoint["volume"]', "column 1: datapoint has no 'volume'; there are vol, rating"),
            (
                '1 == datapoint["vol"]["qyt"]',
                "column 6: datapoint[\"vol\"] has no 'qyt'; there are",
            ),
            ('datapoint.get("rating").get("cost")', "datapoint[\"rating\"] has no 'cost'"),
            ("len()", "column 1: len takes 1 arguments, not 0"),
            ('datapoint["groupby"].get()', "column 1: get takes 1 or 2 arguments, not 0"),
            ('"a".lower("b")', "column 1: lower takes 0 arguments, not 1"),
            ("1 is 1", "column 6: 'is' goes with None, True or False; use =="),
            (f"{QTY} = 0", "column 25: invalid syntax"),
            ("(1", "column 1: '(' was never closed"),
            ("1 / 0", "column 1: 1 / 0 has no value"),
            ("'a' + 'b'", "column 1: + needs numbers, not a text and a text"),
            ("1 + True", "column 1: + needs numbers, not a number and a truth value"),
            ("2 < 'a'", "column 1: a number cannot be compared with a text by <"),
            ("1 in '1'", "column 1: a number cannot be compared with a text by in"),
            ("len(1)", "column 1: len cannot be applied to a number"),
            ("int('a')", "column 1: 'a' is not a number for int"),
            ("float('nan')", "column 1: NaN is not a finite number"),
            ("1e999", "column 1: 1E+999 has more than 40 digits before the point"),
            ("1" + " or 1" * LONGEST, f"is longer than {LONGEST} characters"),
            ("-" * 2 * DEEPEST + "1", f"more than {DEEPEST} operations inside each other"),
            ("(" * 1000 + "1" + ")" * 1000, "too many nested parentheses"),
        ],
    )
    def test_say_where_and_what_would_be_right(self, source: str, message: str) -> None:
        with pytest.raises(ExpressionError) as caught:
            Expression.read(source)
        assert message in str(caught.value)

    @given(
        st.lists(
            st.sampled_from(
                (
                    *("datapoint", '["vol"]', '["a"]', ".get", "(", ")", "[", "]", "{", "}", ","),
                    *("lambda", ":", "*", "**", "-", "not", "is", "in", "for", "x", "if", "else"),
                    *("1", "0.5", "\r", "'a'", "len", "str", "int", ".lower", "==", "<", " ", "\n"),
                    *("filtered_datapoints", "None", "é", "\\", "\0", "/", "0", "and", ".strip"),
                )
            ),
            max_size=12,
        ).map(" ".join)
        | st.text(max_size=30)
    )
    def test_are_the_only_way_to_fail(self, source: str) -> None:
        try:
            expression = Expression.read(source)
        except ExpressionError:
            return
        with contextlib.suppress(EvaluationError):
            assert isinstance(expression.holds(view()), bool)


class TestPointsWithoutAValue:
    @pytest.mark.parametrize(
        ("source", "message"),
        [
            (
                'datapoint["metadata"]["none"] == 1',
                'the point has no datapoint["metadata"]["none"]',
            ),
            (f"1 / {PRICE} > 1", "1 / 0 has no value"),
            (f"{FLAVOR} < 1", "a text cannot be compared with a number by <"),
            (f"-{FLAVOR}", "- needs a number, not a text"),
            (f"int({FLAVOR})", "' M1.tiny ' is not a number for int"),
            (f"{QTY}.lower()", "lower cannot be applied to a number"),
            (f"{FLAVOR}.get('a')", "get needs a map and a text, not a text and a text"),
            ("excluded_datapoints[0]", "there is no item 0 in 0"),
            ("filtered_datapoints['a']", "a list has no item by a text"),
            ("filtered_datapoints[0]['qty']", "there is no 'qty'"),
            (f"filtered_datapoints[0] < {QTY}", "a map cannot be compared with a number by <"),
        ],
    )
    def test_say_why(self, source: str, message: str) -> None:
        with pytest.raises(EvaluationError) as caught:
            holds(source)
        assert message in str(caught.value)
