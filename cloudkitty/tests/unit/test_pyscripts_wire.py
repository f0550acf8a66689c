# SPDX-License-Identifier: Apache-2.0
"""What comes back from scripts is data, whoever has written it."""

import contextlib
import datetime
import os
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloudkitty.rating.pyscripts import wire
from cloudkitty.rating.pyscripts.sandbox import Limits

texts = st.text(st.characters(blacklist_categories=["Cs"], blacklist_characters="\0"))
scalars: st.SearchStrategy[Any] = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | texts
    | st.decimals(allow_nan=False)
    | st.datetimes(timezones=st.just(datetime.UTC))
)
data: st.SearchStrategy[Any] = st.recursive(
    scalars, lambda inner: st.lists(inner) | st.dictionaries(texts, inner)
)


@given(data)
def test_data_come_back_as_they_were(value: Any) -> None:
    assert wire.decode(wire.encode(value)) == value


@given(st.decimals(allow_nan=False))
def test_amounts_keep_every_digit(value: Decimal) -> None:
    assert str(wire.decode(wire.encode([value]))[0]) == str(value)


def test_fraction_is_rounded_once() -> None:
    assert wire.decode(wire.encode(Fraction(2, 3))) == Decimal("0.6666666666666666666666666667")


@given(st.binary())
def test_any_bytes_are_data_or_refused(written: bytes) -> None:
    with contextlib.suppress(ValueError):
        wire.decode(written)


@pytest.mark.parametrize(
    "written",
    [
        b'{"$decimal": "much"}',
        b'{"$decimal": null}',
        b'{"$decimal": [1, 2]}',
        b'{"$instant": 5}',
        b'{"$instant": "tomorrow"}',
        b"[" * 100_000,
        b'"\\ud800"',
        b'"\\\\\\u0000"',
        b"\xff",
        b"9" * 5000,
        b"",
    ],
)
def test_what_nobody_has_encoded_is_refused(written: bytes) -> None:
    with pytest.raises(ValueError):
        wire.decode(written)


def test_escaped_backslash_is_no_escape() -> None:
    assert wire.decode(wire.encode("\\ud800 \\u0000")) == "\\ud800 \\u0000"


@pytest.mark.parametrize("value", [object(), {1, 2}, b"bytes", {(1, 2): 3}, print])
def test_what_is_no_data_is_not_encoded(value: object) -> None:
    with pytest.raises(TypeError):
        wire.encode(value)


def test_requests_are_read_one_after_the_other() -> None:
    order = wire.Order([("a", "c", "pass")], Limits(1, 2, 64), 1000)
    source, sink = os.pipe()
    for value in (1, "two"):
        wire.write(sink, wire.request(order, wire.given(value)))
    os.close(sink)
    received = [wire.receive(source) for _ in range(3)]
    assert received == [(order, wire.given(1)), (order, wire.given("two")), None]
    os.close(source)


def test_request_that_breaks_off_is_none() -> None:
    source, sink = os.pipe()
    order = wire.Order([], Limits(1, 2, 64), 1000)
    wire.write(sink, wire.request(order, b"data")[:-1])
    os.close(sink)
    assert wire.receive(source) is None
    os.close(source)


def test_reply_is_read_as_written() -> None:
    reply = wire.Reply(wire.Verdict.LATE, -9, b"content")
    written = wire.reply(reply)
    header, content = written[: wire.REPLY_HEADER], written[wire.REPLY_HEADER :]
    assert wire.reply_length(header) == len(content)
    assert wire.read_reply(header, content) == reply
    with pytest.raises(ValueError):
        wire.read_reply(b"\xff" * wire.REPLY_HEADER, b"")
