# SPDX-License-Identifier: Apache-2.0
"""The table of scopes, for people. Pure."""

import datetime
from collections.abc import Iterable, Iterator

from cloudkitty.doctor.progress import Progress

_HEADINGS = (
    "scope",
    "rated up to",
    "behind",
    "active",
    "state",
    "since",
    "metrics",
    "failures",
    "next try",
    "last error",
)

_RIGHT = {"behind", "failures"}


def lines(scopes: Iterable[Progress]) -> Iterator[str]:
    """Yield the lines of a table whose columns are as wide as they have to be."""
    rows = [_HEADINGS, *map(_cells, scopes)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = [
            cell.rjust(width) if name in _RIGHT else cell.ljust(width)
            for name, cell, width in zip(_HEADINGS, row, widths, strict=True)
        ]
        yield "  ".join(cells).rstrip()


def _cells(one: Progress) -> tuple[str, ...]:
    state = one.state
    return (
        state.scope.identifier,
        _instant(state.horizon),
        str(one.behind),
        "yes" if state.active else "no",
        one.whole.state.value,
        _instant(one.whole.since),
        ",".join(noted.metric for noted in one.metrics),
        str(state.failures) if state.failures else "",
        _instant(state.retry_at),
        " ".join((state.last_error or "").split()),
    )


def _instant(moment: datetime.datetime | None) -> str:
    return "" if moment is None else moment.strftime("%Y-%m-%d %H:%M:%SZ")
