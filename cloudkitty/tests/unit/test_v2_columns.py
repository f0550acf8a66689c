# SPDX-License-Identifier: Apache-2.0
"""The grammar of custom fields and group-by names."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloudkitty.api.v2 import columns
from cloudkitty.rest import errors
from cloudkitty.storage.base import Extremes, TotalRow
from cloudkitty.tests.builders import hour

ROW = TotalRow(
    hour(0).begin,
    hour(1).begin,
    qty=Decimal(10),
    price=Decimal("2.5"),
    group=(),
    points=3,
    extremes=Extremes(Decimal(1), Decimal(6), Decimal("-0.5"), Decimal(2)),
)


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("SUM(qty) AS x", "10"),
        ("  sum ( price )  as  x ", "2.5"),
        ("COUNT(qty) AS x", "3"),
        ("COUNT(price) AS x", "3"),
        ("AVG(qty) AS x", "3.333333333333333333333333333"),
        ("MEAN(price) AS x", "0.8333333333333333333333333333"),
        ("MIN(qty) AS x", "1"),
        ("MAX(qty) AS x", "6"),
        ("MIN(price) AS x", "-0.5"),
        ("MAX(price) AS x", "2"),
    ],
)
def test_functions(written: str, value: str) -> None:
    [column] = columns.read_fields(written)
    assert (column.name, column.value(ROW)) == ("x", Decimal(value))
    assert column.needs_extremes == written.startswith(("MIN", "MAX"))


@pytest.mark.parametrize(
    "written",
    [
        "",
        "*",
        "qty",
        "SUM(qty)",
        "SUM(qty) AS",
        "SUM(qty) AS 1",
        "SUM(qty) AS a b",
        "SUM(qty) AS a; DROP TABLE x",
        "SUM(id) AS x",
        "FIRST(qty) AS x",
        "SUM(qty) AS é",
        "SUM(qty) AS x\n--",
        "SUM(SUM(qty)) AS x",
        "SUM(qty) AS x,",
        "SUM(qty)AS x",
    ],
)
def test_what_is_not_in_the_grammar(written: str) -> None:
    with pytest.raises(ValueError, match="is not FUNCTION"):
        columns.read_fields(written)


@given(written=st.text())
def test_nothing_but_columns_or_a_refusal(written: str) -> None:
    try:
        found = columns.read_fields(written)
    except ValueError:
        return
    assert all(isinstance(column.value(ROW), Decimal) for column in found)


def test_every_wrong_part_is_named() -> None:
    with pytest.raises(ValueError, match=r"'X\(qty\) AS a'.*'b'"):
        columns.read_fields("X(qty) AS a, SUM(qty) AS ok, b")


def test_groups_have_the_names_of_the_store() -> None:
    names = ["domain_id", "type", "time", "time-d", "month", "day_of_the_year", "", "up-time"]
    assert columns.storage_groups(names, "domain_id") == {
        "domain_id": "scope",
        "type": "type",
        "time": "time",
        "day_of_the_year": "day_of_the_year",
        "month": "month",
        "up-time": "up-time",
    }


@pytest.mark.parametrize("name", ["time-", "time-h", "time-month"])
def test_stretches_of_time_that_there_are_not(name: str) -> None:
    with pytest.raises(errors.InvalidTimeGroup, match=r"^Invalid groupby time option\. "):
        columns.storage_groups([name], "project_id")


def test_columns_have_names_of_their_own() -> None:
    columns.check_unique(columns.DEFAULT, ["type"])
    with pytest.raises(errors.InvalidData, match="several columns are called begin, rate"):
        columns.check_unique(columns.DEFAULT, ["rate", "begin"])
