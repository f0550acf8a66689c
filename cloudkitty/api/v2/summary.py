# SPDX-License-Identifier: Apache-2.0
"""``/v2/summary``: what was used and spent, by group."""

import datetime
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any, Literal, NotRequired, TypedDict

from cloudkitty.api.v2 import columns as grammar
from cloudkitty.api.v2 import exact, paging, selection
from cloudkitty.api.v2.arguments import WINDOW, choice, listed, pairs, single, text
from cloudkitty.api.v2.columns import Column
from cloudkitty.api.v2.node import CSV, Node, expose
from cloudkitty.rest.controller import JSON
from cloudkitty.rest.request import Request
from cloudkitty.rest.streams import Streamed, streamed
from cloudkitty.storage.base import GROUP_TIME, Marker, TotalRow, Totals

LISTING = "summary"

TABLE, OBJECT = "table", "object"

Cell = str | int | Decimal | bool | None
"""An instant, an exact number, or the value of an attribute."""


class Table(TypedDict):
    """A page of rows, in the order of ``columns``; ``total`` counts those of all pages.

    ``next`` is the ``marker`` of the page that follows.
    """

    total: int
    columns: list[str]
    results: list[list[Cell]]
    format: NotRequired[Literal["table"]]
    next: NotRequired[str]


class Objects(TypedDict):
    """A page of rows, by column; ``total`` counts those of all pages, ``next`` is the ``marker`` of
    the page that follows."""

    total: int
    results: list[dict[str, Cell]]
    format: Literal["object"]
    next: NotRequired[str]


NOTHING: Table = {"total": 0, "columns": [], "results": []}
"""What a caller without a project is told."""


class SummaryController(Node):
    @expose(
        *paging.page(LISTING),
        *WINDOW,
        pairs("filters", repeat=True),
        listed("groupby", text()),
        single("response_format", choice(TABLE, OBJECT), TABLE),
        single("custom_fields", grammar.read_fields, grammar.DEFAULT),
        rule="summary:get_summary",
        csv=True,
    )
    def get_all(
        self,
        request: Request,
        offset: int,
        limit: int,
        marker: Marker | None,
        begin: datetime.datetime | None,
        end: datetime.datetime | None,
        filters: Mapping[str, list[str]],
        groupby: Sequence[str] | None,
        response_format: str,
        custom_fields: Sequence[Column],
        as_csv: bool,
    ) -> Table | Streamed[Table | Objects]:
        """Show what was used and spent, by group."""
        groups = grammar.storage_groups(groupby or (), self.context.conf.collect.scope_key)
        grammar.check_unique(custom_fields, groups)
        caller = request.caller
        self.authorize(request, project_id=caller.project_id)
        query = selection.select(self.context, caller, begin, end, filters)
        found = Totals(0, [])
        if query is not None:
            with paging.checked(), self.context.telemetry.query("sums"):
                found = self.context.storage.total(
                    query,
                    list(groups.values()),
                    offset,
                    limit,
                    zone=selection.zone_of(self.context),
                    extremes=any(column.needs_extremes for column in custom_fields),
                    after=marker,
                )
        # Of periods, a row shows only begin and end.
        shown = [name for name, word in groups.items() if word != GROUP_TIME]
        columns = ["begin", "end", *(column.name for column in custom_fields), *shown]
        rows = ([*_cells(row, custom_fields), *row.group] for row in found.rows)
        following = paging.token(LISTING, found.next)
        if as_csv:
            answer = streamed(exact.csv_lines(columns, rows), CSV)
            return paging.linked(answer, request, following, query)
        if query is None:
            return NOTHING
        if response_format == OBJECT:
            results = (exact.dumps(dict(zip(columns, row, strict=True))) for row in rows)
            head = f'{{"total": {found.total}, "results": ['
        else:
            results = (exact.dumps(row) for row in rows)
            named = exact.dumps(columns if found.rows else [])
            head = f'{{"total": {found.total}, "columns": {named}, "results": ['
        marked = "" if following is None else f', "next": {exact.dumps(following)}'
        tail = f'], "format": "{response_format}"{marked}}}'
        answer = streamed(_document(head, results, tail), JSON)
        return paging.linked(answer, request, following, query)


def _cells(row: TotalRow, fields: Sequence[Column]) -> list[Any]:
    return [row.begin, row.end, *(column.value(row) for column in fields)]


def _document(head: str, items: Iterator[str], tail: str) -> Iterator[str]:
    yield head
    separator = ""
    for item in items:
        yield f"{separator}{item}"
        separator = ", "
    yield tail
