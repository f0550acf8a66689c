# SPDX-License-Identifier: Apache-2.0
"""What version 2 writes: exact numbers, in JSON and in CSV."""

import csv
import io
import json
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloudkitty.api.v2 import exact
from cloudkitty.tests.builders import hour

SCALARS = st.none() | st.booleans() | st.integers() | st.text() | st.floats(allow_nan=False)


@given(
    value=st.recursive(
        SCALARS,
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
        max_leaves=10,
    )
)
def test_json_without_amounts_is_json(value: object) -> None:
    assert json.loads(exact.dumps(value)) == value


@given(amount=st.decimals(allow_nan=False, allow_infinity=False, min_value=-(10**45), places=90))
def test_an_amount_is_its_digits(amount: Decimal) -> None:
    written = exact.dumps({"qty": amount})
    assert "e" not in written.lower()
    assert json.loads(written, parse_float=Decimal, parse_int=Decimal) == {"qty": amount}


@pytest.mark.parametrize(
    ("amount", "written"), [("1.500", "1.5"), ("-0", "0"), ("1E+3", "1000"), ("1E-3", "0.001")]
)
def test_amounts(amount: str, written: str) -> None:
    assert exact.dumps(Decimal(amount)) == written


def test_instants_have_an_offset() -> None:
    assert exact.dumps([hour(0).begin]) == '["2026-01-01T00:00:00+00:00"]'


@given(rows=st.lists(st.lists(st.text(st.characters(codec="utf-8")), min_size=2, max_size=2)))
def test_csv_can_be_read_back(rows: list[list[str]]) -> None:
    text = "".join(exact.csv_lines(["a", "b"], rows))
    assert list(csv.reader(io.StringIO(text, newline=""), strict=True)) == [["a", "b"], *rows]


def test_cells() -> None:
    row = ["x", Decimal("1.50"), hour(0).begin, {"a": 1}]
    [_header, line] = exact.csv_lines(["a", "b", "c", "d"], [row])
    assert line == 'x,1.5,2026-01-01T00:00:00+00:00,"{""a"": 1}"\r\n'
