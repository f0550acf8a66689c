# SPDX-License-Identifier: Apache-2.0
"""What functions may return, and how it looks as JSON."""

import datetime
from decimal import Decimal
from types import SimpleNamespace
from typing import Any

import pytest
import wsme.types

from cloudkitty.period import UTC
from cloudkitty.rest import types
from cloudkitty.rest.answers import encoder


class Price(wsme.types.Base):  # type: ignore[misc]
    name = types.Text
    cost = wsme.types.wsattr(types.Amount, name="hot-cost")
    start = types.Instant


class Prices(wsme.types.Base):  # type: ignore[misc]
    prices = [Price]


NEW_YEAR = datetime.datetime(2026, 1, 1, tzinfo=UTC)
MEMBERS = {"name": "tiny", "cost": Decimal("1.50"), "start": NEW_YEAR}
SHOWN = {"name": "tiny", "hot-cost": "1.5", "start": "2026-01-01T00:00:00"}


@pytest.mark.parametrize("value", [Price(**MEMBERS), SimpleNamespace(**MEMBERS), MEMBERS])
def test_an_object_is_shown_by_its_declared_members(value: Any) -> None:
    assert encoder(Price)(value) == SHOWN


def test_lists() -> None:
    encode = encoder(wsme.types.registry.resolve_type(Prices))
    assert encode({"prices": [SimpleNamespace(**MEMBERS)]}) == {"prices": [SHOWN]}
    assert encode({"prices": []}) == {"prices": []}


def test_null_is_shown_and_what_was_never_set_is_not() -> None:
    assert encoder(Price)(Price(name=None, cost=Decimal(0))) == {"name": None, "hot-cost": "0"}


def test_a_record_without_a_declared_member_is_a_mistake() -> None:
    with pytest.raises(AttributeError):
        encoder(Price)(SimpleNamespace(name="tiny"))


@pytest.mark.parametrize(
    ("cost", "shown"),
    [("1E-28", "0.0000000000000000000000000001"), ("1E+3", "1000"), ("-0.0", "0"), ("0.10", "0.1")],
)
def test_amounts_have_no_exponent(cost: str, shown: str) -> None:
    assert encoder(types.Amount)(Decimal(cost)) == shown
