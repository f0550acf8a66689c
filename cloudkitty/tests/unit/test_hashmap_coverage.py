# SPDX-License-Identifier: Apache-2.0
"""Which metrics and attributes hashmap says its rules are about."""

from decimal import Decimal

import pytest

from cloudkitty.rating.base import Coverage, Target
from cloudkitty.rating.hashmap.coverage import coverage
from cloudkitty.rating.hashmap.rules import Mapping, RuleType, Threshold
from cloudkitty.tests.builders import HOUR, NEW_YEAR


def of(*rules: Mapping | Threshold) -> Coverage:
    mappings = [rule for rule in rules if isinstance(rule, Mapping)]
    thresholds = [rule for rule in rules if isinstance(rule, Threshold)]
    return coverage(["cpu"], [("cpu", "flavor")], mappings, thresholds, NEW_YEAR)


def mapping(cost: str = "1", **rule: object) -> Mapping:
    return Mapping(service="cpu", cost=Decimal(cost), **rule)  # type: ignore[arg-type]


def threshold(cost: str = "1", level: str = "0", **rule: object) -> Threshold:
    return Threshold(service="cpu", cost=Decimal(cost), level=Decimal(level), **rule)  # type: ignore[arg-type]


def test_services_and_fields_without_rules() -> None:
    found = of()
    assert found.targets == (Target("cpu"), Target("cpu", "flavor"))
    assert found.rules == 0


def test_rules_are_counted_by_their_parents() -> None:
    found = of(mapping(), mapping(field="flavor", value="a"), mapping(field="flavor", value="b"))
    assert found.targets == (Target("cpu", None, 1, 1), Target("cpu", "flavor", 2, 2))
    assert found.rules == 3


@pytest.mark.parametrize(
    "rule",
    [
        mapping(type=RuleType.RATE),
        mapping("0"),
        mapping("-1"),
        mapping(start=NEW_YEAR + HOUR),
        threshold(type=RuleType.RATE),
        threshold("0"),
        threshold(level="-1"),
    ],
)
def test_rules_that_make_no_price_by_themselves(rule: Mapping | Threshold) -> None:
    assert of(rule).targets[0] == Target("cpu", None, 1, 0)


@pytest.mark.parametrize("rule", [threshold(), threshold("-1"), mapping(end=NEW_YEAR + HOUR)])
def test_rules_that_do(rule: Mapping | Threshold) -> None:
    assert of(rule).targets[0] == Target("cpu", None, 1, 1)


def test_rules_that_have_ended_do_not_count() -> None:
    assert of(mapping(start=NEW_YEAR - HOUR, end=NEW_YEAR)).targets[0] == Target("cpu")
