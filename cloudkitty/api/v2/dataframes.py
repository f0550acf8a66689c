# SPDX-License-Identifier: Apache-2.0
"""``/v2/dataframes``: rated points, a frame a period.

Invariant: paging counts points; the points of one period that are on one page make one frame.
"""

import contextlib
import datetime
from collections.abc import Iterable, Iterator, Mapping
from decimal import Decimal
from typing import Any, NotRequired, TypedDict

from cloudkitty import money, period
from cloudkitty.api.v2 import exact, paging, posted, selection
from cloudkitty.api.v2.arguments import WINDOW, Argument, pairs
from cloudkitty.api.v2.node import CSV, Node, expose
from cloudkitty.dataframe import DataFrame, Point, Scalar, Series
from cloudkitty.db.scopes import ScopeStore
from cloudkitty.period import Period
from cloudkitty.rest import errors
from cloudkitty.rest.controller import JSON
from cloudkitty.rest.request import Request
from cloudkitty.rest.streams import Streamed, streamed
from cloudkitty.storage.base import Marker, ScopedFrame

LISTING = "dataframes"

COLUMNS = ("begin", "end", "type", "unit", "qty", "price", "groupby", "metadata")
"""Those of CSV; ``groupby`` and ``metadata`` are JSON objects."""

SERIES_KEPT = 20_000
"""Most series whose text is kept for the points of later periods."""


class Stretch(TypedDict):
    """A half-open stretch of time."""

    begin: datetime.datetime
    end: datetime.datetime


class Volume(TypedDict):
    """How much was used, in which unit."""

    unit: str
    qty: Decimal


class Price(TypedDict):
    """What it costs."""

    price: Decimal


class PointForm(TypedDict):
    """One series in one period."""

    vol: Volume
    rating: Price
    groupby: dict[str, Scalar]
    metadata: dict[str, Scalar]


class Frame(TypedDict):
    """The points of one period, by metric."""

    period: Stretch
    usage: dict[str, list[PointForm]]


class Frames(TypedDict):
    """A page of points; ``total`` counts those of all pages, ``next`` is the ``marker`` of the page
    that follows."""

    total: int
    dataframes: list[Frame]
    next: NotRequired[str]


class DataFramesController(Node):
    @expose(
        *paging.page(LISTING),
        *WINDOW,
        pairs("filters", repeat=False),
        rule="dataframes:get",
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
        as_csv: bool,
    ) -> Frames | Streamed[Frames]:
        """Show rated points, a frame a period."""
        caller = request.caller
        self.authorize(request, project_id=caller.project_id)
        query = selection.select(self.context, caller, begin, end, filters)
        if query is None:
            if as_csv:
                return streamed(exact.csv_lines(COLUMNS, ()), CSV)
            return {"total": 0, "dataframes": []}
        with contextlib.ExitStack() as stack, paging.checked():
            with self.context.telemetry.query("frames"):
                scan = stack.enter_context(
                    self.context.storage.scan(query, offset, limit, by_metric=True, after=marker)
                )
            if not scan.total:
                raise errors.NothingFound()
            # From here on, the answer closes it.
            reading = stack.pop_all()
        following = paging.token(LISTING, scan.next)
        if as_csv:
            answer = streamed(exact.csv_lines(COLUMNS, rows(scan.frames)), CSV, reading)
        else:
            answer = streamed(document(scan.total, scan.frames, following), JSON, reading)
        return paging.linked(answer, request, following, query)

    @expose(
        body=[Argument("dataframes", posted.read, required=True)],
        status=204,
        rule="dataframes:add",
    )
    def post(self, request: Request, dataframes: list[DataFrame]) -> None:
        """Add points that have a price already."""
        self.authorize(request)
        now = period.utc(datetime.datetime.now(period.UTC))
        scopes = ScopeStore(self.context.database)
        scope_key = self.context.conf.collect.scope_key
        posted.keep(dataframes, scope_key, self.context.storage, scopes, now)


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


def document(
    total: int, frames: Iterable[ScopedFrame], following: str | None = None
) -> Iterator[str]:
    """Yield the answer piece by piece; *frames* come by period and then by metric, *following* is
    the marker of the next page."""
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
    yield "]}}]" if stretch is not None else "]"
    yield "}" if following is None else f', "next": {exact.dumps(following)}}}'


def _period(stretch: Period) -> Stretch:
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
