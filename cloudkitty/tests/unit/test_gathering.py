# SPDX-License-Identifier: Apache-2.0
"""The texts of gathered runs add up to the last digit, and only when they are whole."""

from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cloudkitty import money
from cloudkitty.storage.sqlalchemy.gathering import Cut, Numbers, added_up

amounts = st.decimals(
    min_value=-(10**39), max_value=10**39, allow_nan=False, allow_infinity=False
).map(money.amount) | st.sampled_from(
    [Decimal(0), Decimal("9" * 40), Decimal(1).scaleb(-80), Decimal(-1).scaleb(-80)]
)
gathered = st.lists(st.tuples(st.integers(0, 10**9), amounts, amounts), min_size=1, max_size=5)


def text_of(many: list[tuple[int, Decimal, Decimal]]) -> str:
    return "".join(f"{n} {money.text(qty)} {money.text(price)} " for n, qty, price in many)


@settings(deadline=None)
@given(gathered)
def test_sums_are_exact(many) -> None:
    points, qty, price = added_up(text_of(many), len(many), Numbers())
    assert points == sum(n for n, _qty, _price in many)
    assert Fraction(qty) == sum(n * Fraction(qty) for n, qty, _price in many)
    assert Fraction(price) == sum(n * Fraction(price) for n, _qty, price in many)


def test_amounts_of_120_digits() -> None:
    text = f"720 {'9' * 40} 0.{'0' * 79}1 1 0.{'9' * 80} -{'9' * 40} "
    points, qty, price = added_up(text, 2, Numbers())
    assert points == 721
    assert money.digits(qty) == f"719{'9' * 37}280.{'9' * 80}"
    assert money.digits(price) == f"-{'9' * 39}8.{'9' * 77}28"


@settings(deadline=None)
@given(gathered, st.data())
def test_a_text_without_its_end_is_noticed(many, data) -> None:
    text = text_of(many)
    short = text[: data.draw(st.integers(0, len(text) - 1))]
    with pytest.raises(Cut):
        added_up(short, len(many), Numbers())
