# SPDX-License-Identifier: Apache-2.0
"""Values as JSON and query strings give them, and as answers show them."""

import datetime
from decimal import Decimal
from typing import Any

import pytest
import wsme.types
from hypothesis import given
from hypothesis import strategies as st

from cloudkitty import money
from cloudkitty.period import UTC
from cloudkitty.rest import types


@pytest.mark.parametrize("word", ["true", "T", "Yes", "y", "on", "1", 1, True])
def test_words_for_yes(word: Any) -> None:
    assert types.Flag.validate(word) is True


@pytest.mark.parametrize("word", ["false", "F", "No", "n", "off", "0", 0, False])
def test_words_for_no(word: Any) -> None:
    assert types.Flag.validate(word) is False


@pytest.mark.parametrize("word", ["perhaps", "2", 2, 1.0, [], {}])
def test_other_words_are_no_answer(word: Any) -> None:
    with pytest.raises(ValueError, match="boolean"):
        types.Flag.validate(word)


@given(st.decimals(allow_nan=False, allow_infinity=False, places=28, max_value=10**6))
def test_an_amount_comes_back_as_it_went_in(amount: Decimal) -> None:
    shown = types.Amount.tobasetype(types.Amount.validate(str(amount)))
    assert Decimal(shown) == amount
    assert "E" not in shown


@pytest.mark.parametrize("value", ["", "much", "NaN", "Infinity", [], {}, "1e999999999"])
def test_what_is_no_amount(value: Any) -> None:
    with pytest.raises(money.NotAnAmount):
        types.Amount.validate(value)


@pytest.mark.parametrize(
    "written",
    [
        "2015-01-01",
        "2015-01-01T00:00:00",
        "2015-01-01 00:00:00",
        "20150101T000000Z",
        "2015-01-01T02:00:00+02:00",
    ],
)
def test_forms_of_an_instant(written: str) -> None:
    moment = types.Instant.validate(written)
    assert moment == datetime.datetime(2015, 1, 1, tzinfo=UTC)
    assert types.Instant.tobasetype(moment) == "2015-01-01T00:00:00"


@pytest.mark.parametrize("value", ["", "soon", 12, 2015.5, True, [], "2015-13-01"])
def test_what_is_no_instant(value: Any) -> None:
    with pytest.raises(ValueError, match=r"instant|Wrong type"):
        types.Instant.validate(value)


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        ("3000-01-01", "3000-01-01T23:59:59"),
        ("30000101", "3000-01-01T23:59:59"),
        ("3000-01-01T10:00:00", "3000-01-01T10:00:00"),
        ("3000-01-01 10:00:00", "3000-01-01T10:00:00"),
    ],
)
def test_a_day_ends_with_its_last_second(written: str, shown: str) -> None:
    assert types.naive(types.LastInstant.validate(written)) == shown


@pytest.mark.parametrize("value", [1, None, "\ud800", "a\0b", "abcd"])
def test_what_is_no_text(value: Any) -> None:
    with pytest.raises(ValueError, match="text"):
        types.TextType(max_length=3).validate(value)


def test_a_uuid_has_one_form() -> None:
    plain = "6A0A707C45EF4758B533E55ADDDBA8CE"
    assert types.Uuid.validate(plain) == "6a0a707c-45ef-4758-b533-e55adddba8ce"


@pytest.mark.parametrize("value", ["42", 42, None, []])
def test_what_is_no_uuid(value: Any) -> None:
    with pytest.raises(ValueError, match="Invalid UUID, got"):
        types.Uuid.validate(value)


@pytest.mark.parametrize(("value", "number"), [(3, 3), ("3", 3), (Decimal("3.7"), 3), (-2, -2)])
def test_whole_numbers(value: Any, number: int) -> None:
    assert types.WholeNumber.validate(value) == number


@pytest.mark.parametrize("value", ["high", 2**31, "1e30"])
def test_what_is_no_whole_number(value: Any) -> None:
    with pytest.raises(ValueError, match=r"number|fit"):
        types.WholeNumber.validate(value)


def test_members_come_as_they_are_written_and_those_of_a_base_behind() -> None:
    class Base(types.Form):
        zone = types.Text
        area = types.Text

    class Middle(Base):
        name = types.Text
        area = types.WholeNumber

        def method(self) -> None:
            pass

    class Last(Middle):
        other = types.Flag

    orders = {
        form: [member.name for member in wsme.types.list_attributes(form)]
        for form in (Base, Middle, Last)
    }
    assert orders == {
        Base: ["zone", "area"],
        Middle: ["name", "area", "zone"],
        Last: ["other", "name", "area", "zone"],
    }
