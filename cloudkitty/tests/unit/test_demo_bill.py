# SPDX-License-Identifier: Apache-2.0
"""The bill is exact inside and readable outside."""

from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloudkitty.demo.bill import Bill, Line, quantity, render, rounded
from cloudkitty.demo.month import MONTH

PRICES = st.decimals(min_value=0, max_value=10**12, allow_nan=False, places=28)


def bill(*prices: str | Decimal) -> Bill:
    """A bill of projects a, b, ... with one line each."""
    lines = [
        Line(chr(ord("a") + number), "instance", Decimal(1), "hour", Decimal(price))
        for number, price in enumerate(prices)
    ]
    return Bill(MONTH, lines)


@given(st.lists(PRICES, max_size=9))
def test_the_total_loses_no_digit(prices: list[Decimal]) -> None:
    assert Fraction(bill(*prices).total) == sum(map(Fraction, prices))


@pytest.mark.parametrize(
    ("price", "shown"),
    [("0", "0.00"), ("0.005", "0.00"), ("0.015", "0.02"), ("1234567.891", "1,234,567.89")],
)
def test_prices_are_rounded_to_cents_half_to_even(price: str, shown: str) -> None:
    assert rounded(Decimal(price)) == shown


def test_quantities_have_three_decimals() -> None:
    assert quantity(Decimal("10812923.5004")) == "10,812,923.500"


def test_columns_are_aligned() -> None:
    text = render(bill("0.5", "1234.5"))
    amounts = [line for line in text.splitlines() if line.endswith(("0.50", "1,234.50"))]
    assert len(amounts) == 4
    assert len({len(line) for line in amounts}) == 1


def test_the_exact_total_is_shown_beside_the_rounded_one() -> None:
    text = render(bill("0.005", "0.005"))
    assert "exactly 0.01 EUR" in text
    assert text.count("0.01") == 2


def test_nothing_used_is_a_bill_of_nothing() -> None:
    assert "exactly 0 EUR" in render(bill())
