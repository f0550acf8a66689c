# SPDX-License-Identifier: Apache-2.0
"""Runs behave as the rows of points that they stand for."""

import collections
import itertools
from decimal import Decimal

from hypothesis import given, settings
from hypothesis import strategies as st

from cloudkitty.storage.sqlalchemy import runs
from cloudkitty.storage.sqlalchemy.runs import Run

STEP = 10

amounts = st.sampled_from([Decimal(0), Decimal("0.1"), Decimal("0.3333333333"), Decimal(7)])
instants = st.integers(min_value=-5, max_value=60)


@st.composite
def ledgers(draw: st.DrawFn, step: int = STEP) -> dict[int, tuple[Decimal, Decimal]]:
    """The points of one series: start -> quantity and price."""
    starts = draw(st.sets(st.integers(min_value=0, max_value=20)))
    return {start * step: (draw(amounts), draw(amounts)) for start in sorted(starts)}


def runs_of(points: dict[int, tuple[Decimal, Decimal]], step: int = STEP) -> list[Run]:
    return runs.merge(Run(start, start + step, step, *point) for start, point in points.items())


def points_of(many: list[Run]) -> dict[int, tuple[Decimal, Decimal]]:
    return {
        start: (run.qty, run.price) for run in many for start in range(run.begin, run.end, run.step)
    }


@given(ledgers())
def test_merging_keeps_every_point_and_leaves_nothing_to_join(points) -> None:
    merged = runs_of(points)
    assert points_of(merged) == points
    for before, after in itertools.pairwise(merged):
        assert before.end < after.begin or before[3:] != after[3:]


@given(ledgers(), instants, instants)
def test_cutting_removes_what_starts_in_the_window(points, first, last) -> None:
    begin, end = first * 5, last * 5
    kept = [piece for run in runs_of(points) for piece in runs.cut(run, begin, end)]
    assert points_of(kept) == {s: p for s, p in points.items() if not begin <= s < end}


@given(ledgers(), instants, instants)
def test_clipping_counting_and_summing_see_what_starts_in_the_window(points, first, last) -> None:
    begin, end = first * 5, last * 5
    inside = {s: p for s, p in points.items() if begin <= s < end}
    many = runs_of(points)
    clipped = [piece for run in many if (piece := runs.clip(run, begin, end))]
    assert points_of(clipped) == inside
    assert sum(runs.count(run, begin, end) for run in many) == len(inside)
    assert [s for run in many for s in runs.starts(*run[:3], begin, end)] == list(inside)
    qty, price = runs.total(many, begin, end)
    assert qty == sum((p[0] for p in inside.values()), Decimal(0))
    assert price == sum((p[1] for p in inside.values()), Decimal(0))


@given(ledgers(), ledgers(), instants, instants)
def test_replacing_a_window_swaps_its_points(points, others, first, last) -> None:
    begin, end = sorted((first * STEP, last * STEP))
    content = {s: p for s, p in others.items() if begin <= s < end}
    swapped = runs.replace(runs_of(points), begin, end, runs_of(content))
    expected = {s: p for s, p in points.items() if not begin <= s < end} | content
    assert points_of(swapped) == expected
    assert swapped == runs_of(expected)


@given(
    st.dictionaries(st.integers(0, 5), st.tuples(amounts, amounts)),
    st.dictionaries(st.integers(0, 5), st.tuples(amounts, amounts)),
)
def test_advancing_closes_and_opens_exactly_what_changed(before, content) -> None:
    current = {key: runs.Open(key, 0, STEP, *point) for key, point in before.items()}
    closed, opened = runs.advance(current, content, STEP)
    changed = {key for key in before if content.get(key) != before[key]}
    assert {key for key, _run in closed} == changed
    assert set(opened) == {key for key in content if content[key] != before.get(key)}


def test_a_period_of_another_length_does_not_continue_a_run() -> None:
    current = {"a": runs.Open(1, 0, STEP, Decimal(1), Decimal(1))}
    closed, opened = runs.advance(current, {"a": (Decimal(1), Decimal(1))}, STEP * 2)
    assert [key for key, _run in closed] == opened == ["a"]


@given(st.lists(ledgers(), max_size=4), ledgers(step=7), instants, instants)
def test_slots_count_the_points_of_each_period(series, other, first, last) -> None:
    begin, end = first * 5, last * 5
    many = [run for points in series for run in runs_of(points)] + runs_of(other, 7)
    expected: dict[tuple[int, int], int] = {}
    for run in many:
        for start in range(run.begin, run.end, run.step):
            if begin <= start < end:
                key = (start, start + run.step)
                expected[key] = expected.get(key, 0) + 1
    slots = runs.slots((run[:3] for run in many), begin, end)
    assert [((s.begin, s.end), s.points) for s in slots] == sorted(expected.items())
    firsts = collections.Counter(
        (clipped.begin, clipped.begin + clipped.step)
        for run in many
        if (clipped := runs.clip(run, begin, end))
    )
    assert {(s.begin, s.end): s.fresh for s in slots if s.fresh} == firsts


@given(st.lists(st.integers(1, 5), max_size=8), st.integers(0, 30), st.integers(1, 10))
def test_pages_cover_every_point_once(sizes, offset, limit) -> None:
    slots = [runs.Slot(i, i + 1, size) for i, size in enumerate(sizes)]
    everything = [(slot.begin, n) for slot in slots for n in range(slot.points)]
    taken = []
    for slot, first, last in runs.page(slots, offset, limit):
        assert 0 <= first < last <= slot.points
        taken += [(slot.begin, n) for n in range(first, last)]
    assert taken == everything[offset : offset + limit]


@given(
    st.lists(st.tuples(st.integers(1, 9), st.integers(0, 9)), max_size=12),
    st.integers(0, 8),
)
def test_pieces_of_a_page_hold_few_runs(sizes, most) -> None:
    slots = [runs.Slot(i, i + 1, points, fresh) for i, (points, fresh) in enumerate(sizes)]
    parts = runs.page(slots, 0, None)
    pieces = list(runs.pieces(parts, most))
    assert [part for piece in pieces for part in piece] == parts
    for piece in pieces:
        at_first, *later = [part.slot for part in piece]
        assert sum(slot.fresh for slot in later) <= max(most, at_first.points)


@given(ledgers(), st.lists(st.integers(1, 200), min_size=1, max_size=6, unique=True))
def test_buckets_count_every_point_once(points, cuts) -> None:
    edges = [0, *sorted(cuts)]
    stretches = [(a, b, a) for a, b in itertools.pairwise(edges)]
    buckets = runs.Buckets(stretches)
    counted: dict[int, int] = {}
    for run in runs_of(points):
        for label, number in buckets.counts(*run[:3]):
            counted[label] = counted.get(label, 0) + number
    expected: dict[int, int] = {}
    for start in points:
        for begin, end, label in stretches:
            if begin <= start < end:
                expected[label] = expected.get(label, 0) + 1
    assert counted == expected


@given(st.lists(st.sampled_from([10, 30]).flatmap(lambda s: st.tuples(st.just(s), ledgers(s)))))
def test_levels_are_the_sums_of_each_period(many) -> None:
    begin, end = 35, 170
    every = [run for step, points in many for run in runs_of(points, step)]
    expected: dict[tuple[int, int], list[tuple[Decimal, Decimal]]] = {}
    for step, points in many:
        for start, point in points.items():
            if begin <= start < end:
                expected.setdefault((start, start + step), []).append(point)
    found = {(level.begin, level.end): level[2:] for level in runs.levels(every, begin, end)}
    assert found == {
        slot: (len(points), sum(q for q, _p in points), sum(p for _q, p in points))
        for slot, points in expected.items()
    }


@settings(deadline=None)
@given(
    st.lists(st.one_of(ledgers(), ledgers(step=3)), min_size=1, max_size=5),
    instants,
    instants,
)
def test_a_sweep_finds_the_runs_of_each_period(many, begin, end) -> None:
    stored = [run for points in many for run in runs_of(points)]
    ordered = runs.slots((run[:3] for run in stored), begin, end)
    found = list(runs.sweep(stored, ordered))
    assert found == [
        [
            place
            for place, run in enumerate(stored)
            if slot.begin in range(run.begin, run.end, run.step)
            and run.step == slot.end - slot.begin
        ]
        for slot in ordered
    ]
    assert [len(places) for places in found] == [slot.points for slot in ordered]
