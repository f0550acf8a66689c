# SPDX-License-Identifier: Apache-2.0
"""Amounts are exact, and equal amounts are written the same."""

from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloudkitty import money

finite = st.decimals(
    allow_nan=False, allow_infinity=False, places=28, min_value=-(10**20), max_value=10**20
)


@pytest.mark.parametrize(
    "given_value, amount",
    [
        (0.121, "0.121"),
        (0.1, "0.1"),
        (4.0, "4"),
        (1e22, "10000000000000000000000"),
        ("  1.50 ", "1.5"),
        ("1e-10", "0.0000000001"),
        (7, "7"),
        (Decimal("-0"), "0"),
        (Fraction(1, 3), "0.3333333333333333333333333333"),
        (Fraction(3600, 1000000), "0.0036"),
        ("0E-28", "0"),
    ],
)
def test_an_amount_is_what_was_written(given_value, amount) -> None:
    assert money.text(money.amount(given_value)) == amount


@pytest.mark.parametrize(
    "value", ["abc", "", None, True, [], "NaN", "Infinity", float("nan"), float("inf"), "1e40", {}]
)
def test_what_is_no_finite_number_is_refused(value) -> None:
    with pytest.raises(money.NotAnAmount):
        money.amount(value)


def test_forty_digits_before_the_point_are_the_most() -> None:
    assert money.text(money.amount("9" * 40)) == "9" * 40
    with pytest.raises(money.NotAnAmount, match="more than 40 digits"):
        money.amount("1" + "0" * 40)


def test_what_lies_beyond_the_last_decimal_is_rounded_half_to_even() -> None:
    assert money.amount(Decimal(25).scaleb(-81)) == Decimal(2).scaleb(-80)
    assert money.amount(Decimal(35).scaleb(-81)) == Decimal(4).scaleb(-80)


@given(finite)
def test_text_is_the_same_number_without_exponent(value) -> None:
    written = money.text(value)
    assert Decimal(written) == value
    assert "E" not in written
    assert not written.endswith(".") and written != "-0"
    assert "." not in written or not written.endswith("0")


@given(finite, st.integers(0, 40))
def test_equal_amounts_have_one_text(value, zeros) -> None:
    padded = Decimal(format(value, "f") + ("" if zeros == 0 else "0" * zeros))
    if "." in format(value, "f"):
        assert money.text(padded) == money.text(value)


@given(st.lists(finite), st.integers(0, 10**6))
def test_sums_and_products_lose_nothing(values, count) -> None:
    assert Fraction(money.total(values)) == sum(map(Fraction, values))
    for value in values:
        assert Fraction(money.times(value, count)) == Fraction(value) * count


@pytest.mark.parametrize("value", ["NaN", "Infinity", "1E+200"])
def test_what_cannot_be_kept_has_no_text(value) -> None:
    with pytest.raises(money.NotAnAmount):
        money.text(Decimal(value))
