# SPDX-License-Identifier: Apache-2.0
"""What a process remembers of the ledger is bounded, and has one object for equal things."""

from decimal import Decimal

import pytest

from cloudkitty.dataframe import Registry, Series, Shape
from cloudkitty.storage.sqlalchemy import cache
from cloudkitty.storage.sqlalchemy.cache import Amounts, OpenRuns, ScopeRuns
from cloudkitty.storage.sqlalchemy.runs import Open

SHAPE = Shape("instance", "instance", None, ("id",), ("flavor",))


def scope_runs(count: int) -> ScopeRuns:
    run = Open(1, 0, 3600, Decimal(1), Decimal(1))
    return ScopeRuns(1, {Series(SHAPE, (str(number), "s")): run for number in range(count)})


def test_scopes_are_forgotten_until_the_rest_is_small_enough() -> None:
    known = OpenRuns(max_runs=25)
    for scope_id in range(10):
        known.put(scope_id, scope_runs(10))
    known.shrink()
    assert len(known) == 20
    assert sum(known.get(scope_id) is not None for scope_id in range(10)) == 2


def test_a_scope_that_is_too_large_alone_is_forgotten() -> None:
    known = OpenRuns(max_runs=5)
    known.put(1, scope_runs(6))
    known.shrink()
    assert known.get(1) is None
    assert known.has_history(1)


def test_scopes_used_in_turn_are_found_as_far_as_there_is_room() -> None:
    known = OpenRuns(max_runs=80)
    found = 0
    for turn in range(30):
        for scope_id in range(10):
            found += turn >= 10 and known.get(scope_id) is not None
            known.put(scope_id, scope_runs(10))
            known.shrink()
    assert found > 60  # of 200; those used longest ago would never be found


def test_equal_amounts_are_one_object_with_one_text() -> None:
    amounts = Amounts()
    first, text = amounts.one(Decimal("1.50"))
    second, same = amounts.one(Decimal("1.5"))
    assert first is second
    assert (text, same) == ("1.5", "1.5")


def test_amounts_that_are_remembered_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache, "AMOUNTS_KEPT", 3)
    amounts = Amounts()
    for number in range(20):
        assert amounts.one(Decimal(number)) == (Decimal(number), str(number))
        assert len(amounts._known) <= 3


def test_series_share_equal_texts_and_nothing_else() -> None:
    registry = Registry()
    flavors = ["".join(["m1.", "small"]) for _ in range(2)]
    first, second = (registry.of(SHAPE, (str(n), flavor)) for n, flavor in enumerate(flavors))
    assert flavors[0] is not flavors[1]
    assert first.values[1] is second.values[1]
    values = [("x", 1), ("x", True), ("x", 1.0), ("x", "1")]
    assert [registry.of(SHAPE, pair).values for pair in values] == values
    assert [type(registry.of(SHAPE, pair).values[1]) for pair in values] == [int, bool, float, str]


def test_texts_that_a_registry_remembers_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cloudkitty.dataframe.TEXTS_SHARED", 10)
    registry = Registry()
    for number in range(100):
        assert registry.of(SHAPE, (str(number), "s")).values == (str(number), "s")
        assert len(registry._words) <= 12
