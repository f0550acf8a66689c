# SPDX-License-Identifier: Apache-2.0
"""``/v2/summary``: what was used and spent, by group."""

import datetime
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import webob

from cloudkitty.api.v2 import columns as grammar
from cloudkitty.api.v2 import exact, selection
from cloudkitty.api.v2.arguments import PAGE, WINDOW, choice, listed, pairs, single, text
from cloudkitty.api.v2.columns import Column
from cloudkitty.api.v2.node import CSV, Node, expose, wants_csv
from cloudkitty.rest.controller import JSON
from cloudkitty.rest.request import Request
from cloudkitty.rest.streams import streamed
from cloudkitty.storage.base import GROUP_TIME, TotalRow, Totals

TABLE, OBJECT = "table", "object"

NOTHING: dict[str, Any] = {"total": 0, "columns": [], "results": []}
"""What a caller without a project is told."""


class SummaryController(Node):
    @expose(
        *PAGE,
        *WINDOW,
        pairs("filters", repeat=True),
        listed("groupby", text()),
        single("response_format", choice(TABLE, OBJECT), TABLE),
        single("custom_fields", grammar.read_fields, grammar.DEFAULT),
    )
    def get_all(
        self,
        request: Request,
        offset: int,
        limit: int,
        begin: datetime.datetime | None,
        end: datetime.datetime | None,
        filters: Mapping[str, list[str]],
        groupby: Sequence[str] | None,
        response_format: str,
        custom_fields: Sequence[Column],
    ) -> dict[str, Any] | webob.Response:
        groups = grammar.storage_groups(groupby or (), self.context.conf.collect.scope_key)
        grammar.check_unique(custom_fields, groups)
        caller = request.caller
        self.authorize(request, "summary:get_summary", project_id=caller.project_id)
        query = selection.select(self.context, caller, begin, end, filters)
        found = Totals(0, [])
        if query is not None:
            found = self.context.storage.total(
                query,
                list(groups.values()),
                offset,
                limit,
                zone=selection.zone_of(self.context),
                extremes=any(column.needs_extremes for column in custom_fields),
            )
        # Of periods, a row shows only begin and end.
        shown = [name for name, word in groups.items() if word != GROUP_TIME]
        columns = ["begin", "end", *(column.name for column in custom_fields), *shown]
        rows = ([*_cells(row, custom_fields), *row.group] for row in found.rows)
        if wants_csv(request):
            return streamed(exact.csv_lines(columns, rows), CSV)
        if query is None:
            return NOTHING
        if response_format == OBJECT:
            results = (exact.dumps(dict(zip(columns, row, strict=True))) for row in rows)
            head = f'{{"total": {found.total}, "results": ['
        else:
            results = (exact.dumps(row) for row in rows)
            named = exact.dumps(columns if found.rows else [])
            head = f'{{"total": {found.total}, "columns": {named}, "results": ['
        tail = f'], "format": "{response_format}"}}'
        return streamed(_document(head, results, tail), JSON)


def _cells(row: TotalRow, fields: Sequence[Column]) -> list[Any]:
    return [row.begin, row.end, *(column.value(row) for column in fields)]


def _document(head: str, items: Iterator[str], tail: str) -> Iterator[str]:
    yield head
    separator = ""
    for item in items:
        yield f"{separator}{item}"
        separator = ", "
    yield tail
