# SPDX-License-Identifier: Apache-2.0
"""``/v2/dataframes``: rated points, a frame a period.

Invariant: paging counts points; the points of one period that are on one page make one frame.
"""

import contextlib
import datetime
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import webob

from cloudkitty import money, period
from cloudkitty.api.v2 import exact, posted, selection
from cloudkitty.api.v2.arguments import PAGE, WINDOW, Argument, pairs
from cloudkitty.api.v2.node import CSV, Node, empty, expose, wants_csv
from cloudkitty.dataframe import DataFrame, Point, Series
from cloudkitty.db.scopes import ScopeStore
from cloudkitty.period import Period
from cloudkitty.rest import errors
from cloudkitty.rest.controller import JSON
from cloudkitty.rest.request import Request
from cloudkitty.rest.streams import streamed
from cloudkitty.storage.base import ScopedFrame

COLUMNS = ("begin", "end", "type", "unit", "qty", "price", "groupby", "metadata")
"""Those of CSV; ``groupby`` and ``metadata`` are JSON objects."""

SERIES_KEPT = 20_000
"""Most series whose text is kept for the points of later periods."""


class DataFramesController(Node):
    @expose(*PAGE, *WINDOW, pairs("filters", repeat=False))
    def get_all(
        self,
        request: Request,
        offset: int,
        limit: int,
        begin: datetime.datetime | None,
        end: datetime.datetime | None,
        filters: Mapping[str, list[str]],
    ) -> dict[str, Any] | webob.Response:
        caller = request.caller
        self.authorize(request, "dataframes:get", project_id=caller.project_id)
        query = selection.select(self.context, caller, begin, end, filters)
        as_csv = wants_csv(request)
        if query is None:
            if as_csv:
                return streamed(exact.csv_lines(COLUMNS, ()), CSV)
            return {"total": 0, "dataframes": []}
        with contextlib.ExitStack() as stack:
            scan = stack.enter_context(
                self.context.storage.scan(query, offset, limit, by_metric=True)
            )
            if not scan.total:
                raise errors.NothingFound()
            # From here on, the answer closes it.
            reading = stack.pop_all()
        if as_csv:
            return streamed(exact.csv_lines(COLUMNS, rows(scan.frames)), CSV, reading)
        return streamed(document(scan.total, scan.frames), JSON, reading)

    @expose(body=[Argument("dataframes", posted.read, required=True)])
    def post(self, request: Request, dataframes: list[DataFrame]) -> webob.Response:
        """Add points that have a price already."""
        self.authorize(request, "dataframes:add")
        now = period.utc(datetime.datetime.now(period.UTC))
        scopes = ScopeStore(self.context.database)
        scope_key = self.context.conf.collect.scope_key
        posted.keep(dataframes, scope_key, self.context.storage, scopes, now)
        return empty()


def rows(frames: Iterable[ScopedFrame]) -> Iterator[list[Any]]:
    """Yield the points as rows of a table."""
    for _scope, frame in frames:
        for point in frame:
            yield [
                frame.period.begin,
                frame.period.end,
                point.metric,
                point.unit,
                point.qty,
                point.price,
                point.groupby,
                point.metadata,
            ]


def document(total: int, frames: Iterable[ScopedFrame]) -> Iterator[str]:
    """Yield the answer piece by piece; *frames* come by period and then by metric."""
    yield f'{{"total": {total}, "dataframes": ['
    written = _Points()
    stretch: Period | None = None
    metric: str | None = None
    separator = ""
    for _scope, frame in frames:
        for point in frame:
            if frame.period != stretch:
                if stretch is not None:
                    yield "]}}, "
                stretch, metric = frame.period, None
                yield f'{{"period": {exact.dumps(_period(stretch))}, "usage": {{'
            if point.metric != metric:
                if metric is not None:
                    yield "], "
                metric, separator = point.metric, ""
                yield f"{exact.dumps(metric)}: ["
            yield f"{separator}{written.of(point)}"
            separator = ", "
    yield "]}}]}" if stretch is not None else "]}"


def _period(stretch: Period) -> dict[str, datetime.datetime]:
    return {"begin": stretch.begin, "end": stretch.end}


class _Points:
    """Writes points; what a series always looks like is written once."""

    def __init__(self) -> None:
        self._known: dict[Series, tuple[str, str]] = {}

    def of(self, point: Point) -> str:
        series = point.series
        if series not in self._known:
            if len(self._known) >= SERIES_KEPT:
                self._known = {}
            self._known[series] = (
                exact.dumps(series.unit),
                f'"groupby": {exact.dumps(series.groupby)}, '
                f'"metadata": {exact.dumps(series.metadata)}',
            )
        unit, attributes = self._known[series]
        return (
            f'{{"vol": {{"unit": {unit}, "qty": {money.digits(point.qty)}}}, '
            f'"rating": {{"price": {money.digits(point.price)}}}, {attributes}}}'
        )
