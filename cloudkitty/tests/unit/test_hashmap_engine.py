# SPDX-License-Identifier: Apache-2.0
"""Hashmap prices, example by example, and against the rules applied word by word."""

import datetime
from collections.abc import Mapping as Map
from decimal import Decimal
from typing import Any, NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cloudkitty.dataframe import DataFrame, Registry
from cloudkitty.period import UTC, Period
from cloudkitty.rating.hashmap.book import Book
from cloudkitty.rating.hashmap.rules import Mapping, RuleType, Threshold
from cloudkitty.tests import hashmap_model

NINE = datetime.datetime(2026, 1, 5, 9, tzinfo=UTC)
HOUR = datetime.timedelta(hours=1)

Rule = Mapping | Threshold


def mapping(
    kind: str,
    cost: str,
    at: str = "service",
    group: str | None = None,
    tenant: str | None = None,
    **validity: datetime.datetime,
) -> Mapping:
    """``at`` is ``service``, or ``field=value``."""
    field, _, value = at.partition("=")
    return Mapping(
        service="instance",
        field=field if value else None,
        value=value,
        type=RuleType(kind),
        cost=Decimal(cost),
        group=group,
        tenant=tenant,
        **validity,
    )


def threshold(
    level: str,
    kind: str,
    cost: str,
    at: str = "service",
    group: str | None = None,
    tenant: str | None = None,
) -> Threshold:
    """``at`` is ``service``, or the name of a field."""
    return Threshold(
        service="instance",
        field=None if at == "service" else at,
        level=Decimal(level),
        type=RuleType(kind),
        cost=Decimal(cost),
        group=group,
        tenant=tenant,
    )


M, T = mapping, threshold


def price(
    book: Book,
    qty: str | Decimal,
    attributes: Map[str, Any] | None = None,
    *,
    scope: str | None = None,
    at: datetime.datetime = NINE,
    incoming: Decimal = Decimal(0),
    registry: Registry | None = None,
) -> Decimal:
    """Rate one point in the period that begins at *at*."""
    registry = registry or Registry()
    series = registry.series("instance", groupby={}, metadata=attributes or {})
    frame = DataFrame(Period(at, at + HOUR))
    frame.add(series, Decimal(qty), incoming)
    rules, _ = book.rules(scope, at)
    return next(iter(rules.rate(frame))).price


def book(*rules: Rule, fields: tuple[str, ...] = ()) -> Book:
    return Book(
        [rule for rule in rules if isinstance(rule, Mapping)],
        [rule for rule in rules if isinstance(rule, Threshold)],
        [("instance", field) for field in fields],
    )


class Case(NamedTuple):
    name: str
    rules: tuple[Rule, ...]
    qty: str
    attributes: dict[str, Any]
    expected: str
    scope: str | None = None
    at: datetime.datetime = NINE
    incoming: str = "0"


H3 = (M("flat", "0.12", "flavor=small"), M("flat", "0.48", "flavor=large"))
H10 = (
    M("flat", "0.002", group="v"),
    T("40", "rate", "0.9", group="v"),
    T("150", "rate", "0.8", group="v"),
)
H11 = (*H10, T("40", "rate", "0.85", group="v", tenant="P"))
H12 = (M("flat", "0.1"), T("10", "flat", "5"))
H15 = (M("flat", "0.1"), T("5", "rate", "0.9"), T("8", "rate", "0.5", "vcpus"))
H20 = (M("flat", "0.5", "flavor=a"), M("flat", "0.4", "flavor=a", tenant="P"))
H23 = (
    M("flat", "1", end=NINE + HOUR),
    M("flat", "2", start=NINE + HOUR, end=NINE + 3 * HOUR),
)
H30 = M("flat", "1")
H32 = (M("flat", "3", "vcpus=4"),)

A, X, WIN = {"flavor": "a"}, {"a": "x"}, {"flavor": "a", "image": "win", "zone": "z2"}

CASES = [
    Case("H1", (M("flat", "0.002"),), "75", {}, "0.150"),
    Case("H2", (M("rate", "2"),), "75", {}, "0"),
    Case("H3", H3, "1", {"flavor": "large"}, "0.48"),
    Case("H4 no match", H3, "1", {"flavor": "huge"}, "0"),
    Case("H4 no key", H3, "1", {}, "0"),
    Case("H5", (M("flat", "0.5"), M("flat", "0.3", "flavor=a")), "2", A, "1.0"),
    Case("H6", (M("flat", "0.5"), M("flat", "0.8", "flavor=a")), "2", A, "1.6"),
    Case("H7", (M("flat", "0.5", group="A"), M("flat", "0.3", "flavor=a", "B")), "2", A, "1.6"),
    Case(
        "H8",
        (M("flat", "0.64", "flavor=a"), M("rate", "1.5", "image=win"), M("rate", "0.9", "zone=z2")),
        "3",
        WIN,
        "2.592",
    ),
    Case("H9", (M("flat", "0.5", group="A"), M("rate", "3", "a=x", "B")), "2", X, "1.0"),
    Case("H10 20", H10, "20", {}, "0.040"),
    Case("H10 40", H10, "40", {}, "0.072"),
    Case("H10 80", H10, "80", {}, "0.144"),
    Case("H10 200", H10, "200", {}, "0.320"),
    Case("H11 40", H11, "40", {}, "0.068", "P"),
    Case("H11 80", H11, "80", {}, "0.136", "P"),
    Case("H11 200", H11, "200", {}, "0.320", "P"),
    Case("H12 reached", H12, "10", {}, "6.0"),
    Case("H12 not reached", H12, "9", {}, "0.9"),
    Case("H13", (M("flat", "0.1"), T("4", "flat", "0.02", "vcpus")), "2", {"vcpus": 8}, "0.24"),
    Case("H14", (M("flat", "0.1"), T("4", "rate", "0.5", "vcpus")), "2", {"vcpus": 8}, "0.10"),
    Case("H15", H15, "10", {"vcpus": 8}, "0.50"),
    Case("H16", (H15[0], T("9", "rate", "0.9"), H15[2]), "10", {"vcpus": 8}, "0.90"),
    Case("H17", (H15[0], T("8", "rate", "0.9"), H15[2]), "10", {"vcpus": 8}, "0.90"),
    Case(
        "H18",
        (
            M("flat", "0.1", group="A"),
            T("5", "rate", "0.9", group="A"),
            M("flat", "0.1", "vcpus=8", "B"),
            T("8", "rate", "0.5", "vcpus", "B"),
        ),
        "10",
        {"vcpus": 8},
        "1.40",
    ),
    Case(
        "H19",
        (
            M("flat", "1.2", "flavor=a"),
            T("2", "flat", "0.1", "disk"),
            T("10", "flat", "0.3", "disk"),
        ),
        "1",
        {"flavor": "a", "disk": 10},
        "1.5",
    ),
    Case("H20 no scope", H20, "2", A, "1.0"),
    Case("H20 P", H20, "2", A, "0.8", "P"),
    Case("H20 Q", H20, "2", A, "1.0", "Q"),
    Case(
        "H21",
        (M("flat", "0.5", "flavor=a", "A"), M("flat", "0.4", "flavor=a", "B", "P")),
        "2",
        A,
        "1.8",
        "P",
    ),
    Case("H22", (M("flat", "0.5"), M("rate", "2", tenant="P")), "2", {}, "0", "P"),
    Case("H23 09", H23, "1", {}, "1", at=NINE),
    Case("H23 10", H23, "1", {}, "2", at=NINE + HOUR),
    Case("H23 11", H23, "1", {}, "2", at=NINE + 2 * HOUR),
    Case("H23 12", H23, "1", {}, "0", at=NINE + 3 * HOUR),
    Case("H24", (M("flat", "0.1"),), "3", {}, "1.55", incoming="1.25"),
    Case("H25", (M("flat", "-1"),), "3", {}, "0"),
    Case("H26", (M("flat", "1"), M("rate", "-0.5", "a=x")), "3", X, "-1.5"),
    Case("H27", (M("flat", "1"), T("0", "flat", "-0.25", "a")), "3", {"a": 7}, "2.25"),
    Case("H28", (M("flat", "1"), T("0", "flat", "-2")), "3", {}, "1"),
    Case("H29", (M("flat", "0.1"), T("0", "flat", "5")), "0", {}, "5.0"),
    Case("H30 -5", (H30, T("-5", "rate", "0.5")), "3", {}, "3"),
    Case("H30 -0.5", (H30, T("-0.5", "rate", "0.5")), "3", {}, "1.5"),
    Case("H31", (M("flat", "0", "flavor=free"), M("flat", "1")), "2", {"flavor": "free"}, "2"),
    Case("H32 int", H32, "1", {"vcpus": 4}, "3"),
    Case("H32 float", H32, "1", {"vcpus": 4.0}, "0"),
    Case(
        "H33",
        (M("flat", "0.1"), M("rate", "0.3333333333", "a=x")),
        "7.77777777777777777777",
        X,
        "0.2592592592333333333330740741",
    ),
    Case(
        "H34",
        (M("flat", "0.125"),),
        "3.3333333333333333333333333333",
        {},
        "0.4166666666666666666666666667",
    ),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_example_has_the_documented_price(case: Case) -> None:
    rated = price(
        book(*case.rules),
        case.qty,
        case.attributes,
        scope=case.scope,
        at=case.at,
        incoming=Decimal(case.incoming),
    )
    assert rated == Decimal(case.expected)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_the_word_by_word_model_has_the_documented_price(case: Case) -> None:
    assert hashmap_model.price(
        case.rules,
        "instance",
        case.attributes,
        Decimal(case.qty),
        scope=case.scope,
        at=case.at,
        incoming=Decimal(case.incoming),
    ) == Decimal(case.expected)


GROUPS = st.sampled_from([None, "A", "B", "C"])
TENANTS = st.sampled_from([None, "P", "Q"])
KINDS = st.sampled_from(["flat", "rate"])
COSTS = st.one_of(
    st.sampled_from(["0", "1", "-0.5", "0.3333333333333333333333333333", "2"]),
    st.decimals(-5, 5, places=12).map(str),
)
LEVELS = st.sampled_from(["-5", "-1", "-0.5", "0", "2", "4", "4.0", "9"])
FIELDS = ("flavor", "vcpus", "zone")
VALUES: list[Any] = ["a", "b", "4", 4, 4.0, True, None, "2.5", 9, "nan"]
INSTANTS = [NINE + n * HOUR for n in range(4)]


@st.composite
def rules(draw: st.DrawFn) -> list[Rule]:
    """Rules of which no two of one project share parent, group and key at one instant."""
    drawn: list[Rule] = []
    for _ in range(draw(st.integers(0, 14))):
        at = draw(st.sampled_from(["service", *FIELDS]))
        kind, cost, group, tenant = draw(KINDS), draw(COSTS), draw(GROUPS), draw(TENANTS)
        if draw(st.booleans()):
            drawn.append(T(draw(LEVELS), kind, cost, at, group, tenant))
            continue
        place = at if at == "service" else f"{at}={draw(st.sampled_from(['a', 'b', '4', 'True']))}"
        start = draw(st.sampled_from(INSTANTS))
        end = draw(st.sampled_from([start + HOUR, start + 2 * HOUR]))
        drawn.append(M(kind, cost, place, group, tenant, start=start, end=end))
    kept: list[Rule] = []
    for rule in drawn:
        if not any(_collide(rule, other) for other in kept):
            kept.append(rule)
    return kept


def _collide(one: Rule, other: Rule) -> bool:
    if type(one) is not type(other):
        return False
    if any(
        getattr(one, name) != getattr(other, name) for name in ("field", "group", "tenant", "key")
    ):
        return False
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        assert one.start and one.end and other.start and other.end
        return one.start < other.end and other.start < one.end
    return True


POINTS = st.lists(
    st.tuples(
        st.dictionaries(st.sampled_from(FIELDS), st.sampled_from(VALUES)),
        st.decimals(0, 12, places=20),
        st.sampled_from([Decimal(0), Decimal("1.25")]),
    ),
    min_size=1,
    max_size=6,
)


@settings(max_examples=300, deadline=None)
@given(rules(), POINTS, st.sampled_from([None, "P", "Q", "R"]))
def test_compiled_rules_price_like_the_rules_word_by_word(
    acting: list[Rule], points: list[tuple[dict[str, Any], Decimal, Decimal]], scope: str | None
) -> None:
    registry, compiled = Registry(), book(*acting, fields=FIELDS)
    for at in (*INSTANTS, *INSTANTS):  # The second time from caches.
        frame = DataFrame(Period(at, at + HOUR))
        for attributes, qty, incoming in points:
            series = registry.series("instance", groupby={}, metadata=attributes)
            frame.add(series, qty, incoming)
        found, _ = compiled.rules(scope, at)
        expected = [
            hashmap_model.price(
                acting,
                "instance",
                attributes,
                qty,
                scope=scope,
                at=at,
                incoming=incoming,
                fields=FIELDS,
            )
            for attributes, qty, incoming in points
        ]
        assert [point.price for point in found.rate(frame)] == expected


@settings(max_examples=300, deadline=None)
@given(rules(), POINTS, st.sampled_from([None, "P", "Q", "R"]))
def test_a_point_is_matched_when_any_rule_acts_on_it(
    acting: list[Rule], points: list[tuple[dict[str, Any], Decimal, Decimal]], scope: str | None
) -> None:
    registry, compiled = Registry(), book(*acting, fields=FIELDS)
    for at in (*INSTANTS, *INSTANTS):
        found, _ = compiled.rules(scope, at)
        for attributes, qty, _price in points:
            series = registry.series("instance", groupby={}, metadata=attributes)
            expected = hashmap_model.acts(acting, "instance", attributes, qty, scope=scope, at=at)
            assert found.matches(series, qty) == expected


def test_a_rule_that_costs_nothing_matches() -> None:
    series = Registry().series("instance", groupby={}, metadata={"flavor": "a"})
    free, _ = book(M("flat", "0", "flavor=a")).rules(None, NINE)
    assert free.matches(series, Decimal(1))
    other, _ = book(M("flat", "1", "flavor=b")).rules(None, NINE)
    assert not other.matches(series, Decimal(1))
    factor, _ = book(M("rate", "2")).rules(None, NINE)
    assert factor.matches(series, Decimal(1))
    assert not factor.matches(Registry().series("disk", groupby={}, metadata={}), Decimal(1))


def test_service_without_rules_keeps_its_price() -> None:
    frame = DataFrame(Period(NINE, NINE + HOUR))
    incoming = Decimal("1.23456789012345678901234567890123")
    frame.add(Registry().series("volume", groupby={}, metadata={}), Decimal(1), incoming)
    found, _ = book(M("flat", "1")).rules(None, NINE)
    assert [point.price for point in found.rate(frame)] == [incoming]


def test_attribute_of_groupby_hides_that_of_metadata() -> None:
    series = Registry().series("instance", groupby={"flavor": "a"}, metadata={"flavor": "b"})
    frame = DataFrame(Period(NINE, NINE + HOUR))
    frame.add(series, Decimal(1))
    found, _ = book(M("flat", "1", "flavor=a"), M("flat", "2", "flavor=b")).rules(None, NINE)
    assert found.rate(frame).price == 1


def test_float_attribute_reaches_the_level_it_is_written_as() -> None:
    assert price(book(M("flat", "1"), T("0.1", "rate", "2", "ram")), "1", {"ram": 0.1}) == 2


@pytest.mark.parametrize("value", ["large", "", None, True, "nan", "inf"])
def test_threshold_of_a_field_without_number_does_not_act(value: object) -> None:
    assert price(book(M("flat", "1"), T("0", "rate", "2", "vcpus")), "3", {"vcpus": value}) == 3


def test_field_without_number_is_told_once_and_counted_by_series() -> None:
    told: list[tuple[str, str]] = []
    rules = Book(
        [M("flat", "1")],
        [T("0", "rate", "2", "vcpus")],
        on_skipped=lambda service, field: told.append((service, field)),
    )
    registry = Registry()
    for vcpus in ("large", "huge", "large", "4"):
        price(rules, "1", {"vcpus": vcpus}, registry=registry)
    assert rules.rules(None, NINE)[0].skipped == {("instance", "vcpus"): 2}
    assert told == [("instance", "vcpus")]


def test_equal_levels_of_two_fields_go_to_the_field_created_first() -> None:
    ram, vcpus = T("4", "rate", "3", "ram"), T("4", "rate", "2", "vcpus")
    attributes = {"ram": 8, "vcpus": 8}
    one = book(M("flat", "1"), ram, vcpus, fields=("vcpus", "ram"))
    assert price(one, "1", attributes) == 2
    other = book(M("flat", "1"), vcpus, ram, fields=("ram", "vcpus"))
    assert price(other, "1", attributes) == 3


def test_scopes_without_own_rules_share_one_rule_set() -> None:
    rules = book(*H20)
    assert rules.rules("Q", NINE)[0] is rules.rules("R", NINE)[0]
    assert rules.rules(None, NINE)[0] is rules.rules("Q", NINE + HOUR)[0]
    assert rules.rules("P", NINE)[0] is not rules.rules("Q", NINE)[0]


def test_rule_set_is_valid_until_a_rule_begins_or_ends() -> None:
    rules = book(*H23)
    assert rules.rules(None, NINE - HOUR)[1] == NINE + HOUR
    assert rules.rules(None, NINE + HOUR)[1] == NINE + 3 * HOUR
    assert rules.rules(None, NINE + 3 * HOUR)[1] is None


def test_validity_ignores_rules_of_other_scopes() -> None:
    rules = book(M("flat", "1", tenant="P", start=NINE, end=NINE + HOUR), M("flat", "2"))
    assert rules.rules("Q", NINE - HOUR)[1] is None
    assert rules.rules("P", NINE - HOUR)[1] == NINE


def test_prices_stay_right_when_dead_series_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cloudkitty.rating.hashmap.engine.SERIES_SLACK", 2)
    monkeypatch.setattr("cloudkitty.rating.hashmap.engine.PRICES_KEPT", 2)
    rules = book(M("flat", "1"), T("5", "rate", "2", "vcpus"))
    for hour in range(30):
        at = NINE + hour * HOUR
        assert price(rules, "1", {"vcpus": hour}, at=at) == (1 if hour < 5 else 2)
    found, _ = rules.rules(None, NINE)
    service = found._services["instance"]
    assert len(service._bound) <= 6
    assert len(service._prices) <= 2


def test_all_rules_together_remember_so_many_series_at_most() -> None:
    # A and B have rules of their own, so they have prices of their own to remember.
    rules = Book(
        [
            M("flat", cost, "vcpus=1", tenant=tenant)
            for cost, tenant in (("1", None), ("2", "A"), ("3", "B"))
        ],
        series_kept=5,
    )
    for hour in range(4):
        for scope, expected in (("A", 2), ("B", 3), ("C", 1)):
            for number in range(4):
                attributes = {"vcpus": 1, "number": number}
                at = NINE + hour * HOUR
                assert price(rules, "1", attributes, scope=scope, at=at) == expected
            held = sum(rules.rules(one, NINE)[0]._services["instance"].remembered for one in "ABC")
            assert held <= 5
