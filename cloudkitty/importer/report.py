# SPDX-License-Identifier: Apache-2.0
"""What an import says: aligned tables for people, amounts with all their digits."""

from collections.abc import Iterable, Iterator, Sequence

from cloudkitty import money
from cloudkitty.importer.reconcile import Line, Verdict

Rows = Sequence[Sequence[str]]


def table(rows: Rows, right: Iterable[int] = ()) -> Iterator[str]:
    """Yield the rows, of which the first is the head, as aligned lines; the columns *right* to
    the right."""
    to_the_right = set(right)
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = zip(row, widths, strict=True)
        yield "  ".join(
            cell.rjust(width) if number in to_the_right else cell.ljust(width)
            for number, (cell, width) in enumerate(cells)
        ).rstrip()


def reconciliation(lines: Sequence[Line]) -> Iterator[str]:
    """Yield the table of all lines, and then what needs a word."""
    head = (
        "scope",
        "month",
        "metric",
        "points there",
        "here",
        "quantity there",
        "here",
        "price there",
        "here",
        "",
    )
    yield from table([head, *map(_cells, lines), _sum(lines)], range(3, 9))
    yield from _merged([line for line in lines if line.verdict is Verdict.MERGED])
    yield from _binary(
        [line for line in lines if line.explained and line.reported != line.there.price]
    )


def _cells(line: Line) -> tuple[str, ...]:
    there, here = line.there, line.here
    return (
        line.scope,
        line.month,
        line.metric,
        str(there.points),
        str(here.points),
        money.digits(there.qty),
        money.digits(here.qty),
        money.digits(there.price),
        money.digits(here.price),
        line.verdict.value,
    )


def _sum(lines: Sequence[Line]) -> tuple[str, ...]:
    sides = [[line.there for line in lines], [line.here for line in lines]]
    points = [str(sum(sums.points for sums in side)) for side in sides]
    prices = [money.digits(money.total(sums.price for sums in side)) for side in sides]
    bad = sum(line.verdict is Verdict.DIFFERENT for line in lines)
    return ("total", "", "", *points, "", "", *prices, f"{bad} different" if bad else "=")


def _merged(lines: Sequence[Line]) -> Iterator[str]:
    if lines:
        less = sum(line.there.points - line.here.points for line in lines)
        yield ""
        yield f"merged: {less} rows there have attributes and period of another row. Such rows are"
        yield "one point here, with the sums of their quantities and prices."


def _binary(lines: Sequence[Line]) -> Iterator[str]:
    """What the old service's own sums lose, which is no fault of what was brought over."""
    if not lines:
        return
    yield ""
    yield "Prices there are binary fractions, which its own reports add up with rounding. Instead"
    yield "of the exact sum they show, within what rounding explains:"
    yield ""
    rows = [("scope", "month", "metric", "its report", "exact", "off by")]
    for line in lines:
        off = money.EXACT.subtract(line.reported, line.there.price)
        amounts = [money.digits(amount) for amount in (line.reported, line.there.price, off)]
        rows.append((line.scope, line.month, line.metric, *amounts))  # type: ignore[arg-type]
    yield from table(rows, range(3, 6))
