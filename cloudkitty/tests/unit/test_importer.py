# SPDX-License-Identifier: Apache-2.0
"""What stored binary fractions, attributes, dates and URLs of an existing service stand for."""

import datetime
import struct
from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy.engine import make_url

from cloudkitty import money
from cloudkitty.importer import binary, times
from cloudkitty.importer.notes import Notes
from cloudkitty.importer.rated import attributes
from cloudkitty.importer.source import name_of

PARIS = ZoneInfo("Europe/Paris")


def single(written: str) -> float:
    """What a column of single precision makes of a number."""
    return struct.unpack("<f", struct.pack("<f", float(written)))[0]


@pytest.mark.parametrize(
    ("written", "kept"),
    [
        ("0.1", "0.1"),
        ("0.0125", "0.0125"),
        ("123.456", "123.456"),
        ("0.123456789", "0.12345679"),
        ("16777217", "16777216"),
        ("-0.3", "-0.3"),
        ("0", "0"),
    ],
)
def test_what_single_precision_stands_for(written: str, kept: str) -> None:
    assert binary.amount(single(written), single=True) == Decimal(kept)
    assert binary.amount(repr(single(written)), single=True) == Decimal(kept)


@given(st.decimals(places=5, min_value=-9, max_value=9))
def test_six_digits_survive_single_precision(amount: Decimal) -> None:
    assert binary.amount(single(str(amount)), single=True) == amount


@given(st.floats(width=32, min_value=-(2.0**99), max_value=2.0**99))
def test_singles_stay_apart(value: float) -> None:
    assert single(str(binary.amount(value, single=True))) == value


@given(st.decimals(places=12, min_value=-99, max_value=99))
def test_fourteen_digits_survive_double_precision(amount: Decimal) -> None:
    assert binary.amount(float(amount), single=False) == amount
    assert binary.amount(repr(float(amount)), single=False) == amount


@pytest.mark.parametrize("stored", ["nan", "inf", float("nan"), "nonsense"])
@pytest.mark.parametrize("precision", [True, False])
def test_what_is_no_amount(stored: object, precision: bool) -> None:
    with pytest.raises(money.NotAnAmount):
        binary.amount(stored, precision)


@given(st.lists(st.decimals(places=5, min_value=-9999, max_value=9999), min_size=1, max_size=500))
def test_binary_sums_are_explained(amounts: list[Decimal]) -> None:
    reported = 0.0
    in_single = 0.0
    for amount in amounts:
        reported += float(amount)
        in_single += single(str(amount))
    exact, absolute = sum(amounts), sum(map(abs, amounts))
    number = len(amounts)
    assert binary.explains(Decimal(repr(reported)), exact, absolute, number, single=False)
    assert binary.explains(Decimal(repr(in_single)), exact, absolute, number, single=True)


def test_a_digit_too_many_is_not_explained() -> None:
    assert not binary.explains(Decimal("100.00001"), Decimal(100), Decimal(100), 1000, single=False)
    assert not binary.explains(Decimal("100.001"), Decimal(100), Decimal(100), 1000, single=True)


def test_what_was_made_of_the_period_is_no_attribute() -> None:
    made = '"week_of_the_year": "00", "day_of_the_year": "1", "month": "1", "year": "2026"'
    assert attributes('{"id": "a", ' + made + "}") == {"id": "a"}


def test_an_attribute_that_is_called_month_stays_one() -> None:
    assert attributes('{"id": "a", "month": "1"}') == {"id": "a", "month": "1"}


@pytest.mark.parametrize(
    ("desc", "wanted"),
    [
        ('{"n": 1, "f": 0.5, "b": true, "x": null}', {"n": 1, "f": 0.5, "b": True, "x": None}),
        ('{"metadata": {"b": 1, "a": 2}}', {"metadata": '{"a":2,"b":1}'}),
        ("", {}),
        ('{"id": "cut', {"desc": '{"id": "cut'}),
        ("[1]", {"desc": "[1]"}),
    ],
)
def test_attributes(desc: str, wanted: dict) -> None:
    assert attributes(desc) == wanted


@pytest.mark.parametrize(
    ("local", "utc"),
    [
        ("2026-01-01 12:00:00.500000", "2026-01-01 11:00:00"),
        ("2026-07-01 12:00:00", "2026-07-01 10:00:00"),
        # An hour that the clocks showed twice, and one that they left out.
        ("2026-10-25 02:30:00", "2026-10-25 00:30:00"),
        ("2026-03-29 02:30:00", "2026-03-29 01:30:00"),
    ],
)
def test_local_times(local: str, utc: str) -> None:
    found = times.local(datetime.datetime.fromisoformat(local), PARIS)
    assert f"{found:%Y-%m-%d %H:%M:%S%z}" == f"{utc}+0000"


@pytest.mark.parametrize(
    "url",
    [
        "mysql://u:p@localhost/old",
        "mysql+pymysql://other@127.0.0.1:3306/old?charset=utf8",
        "mariadb://localhost/old",
    ],
)
def test_one_database_has_one_name(url: str) -> None:
    assert name_of(make_url(url)) == "mysql://127.0.0.1:3306/old"


def test_names_tell_databases_apart() -> None:
    urls = ("postgresql://h/old", "postgresql://h/new", "postgresql://h:1/old", "sqlite:////old")
    assert len({name_of(make_url(url)) for url in urls}) == len(urls)


def test_notes_say_how_many_more_there_are() -> None:
    notes = Notes(most=2)
    for number in range(5):
        notes.add(str(number))
    assert notes.lines() == ["0", "1", "and 3 more notes"]
