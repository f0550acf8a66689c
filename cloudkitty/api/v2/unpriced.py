# SPDX-License-Identifier: Apache-2.0
"""``/v2/unpriced``: usage that no rule has priced.

Invariant: a point is here when the ledger has it at a price of 0 and no rule of an enabled module,
in force when its period begins, acts on it; one that a rule has priced at 0 is not.
"""

import datetime
from collections.abc import Sequence
from decimal import Decimal
from typing import Any, NotRequired, TypedDict

from cloudkitty.api.v2 import paging, selection
from cloudkitty.api.v2.arguments import WINDOW, choice, listed, text
from cloudkitty.api.v2.node import Node, expose
from cloudkitty.rating import unpriced
from cloudkitty.rating.base import RatingError
from cloudkitty.rating.unpriced import Tally, Unpriced
from cloudkitty.rest import errors
from cloudkitty.rest.request import Request
from cloudkitty.rest.streams import Streamed
from cloudkitty.storage.base import Marker, Query

SCOPE = "scope"

LISTING = "unpriced"


class UnpricedForm(TypedDict):
    """Points of a metric with one value of an attribute that rules of the metric look at.

    ``value`` is empty where the attribute is missing, ``field`` where rules look at none. ``qty``
    is the sum of their quantities, ``scopes`` how many scopes they are of; ``scope_id`` is there
    when they are grouped by it. They lie between ``begin`` and ``end``.
    """

    metric: str
    field: str
    value: str
    scope_id: NotRequired[str]
    points: int
    qty: Decimal
    scopes: int
    begin: datetime.datetime
    end: datetime.datetime


class UnpricedUsage(TypedDict):
    """A page of unpriced usage, by metric, field and value; ``total`` counts the rows of all pages.

    ``points`` has each point once, by metric: a point is in one row for every attribute that rules
    of its metric look at. ``next`` is the ``marker`` of the page behind this one.
    """

    total: int
    points: dict[str, int]
    results: list[UnpricedForm]
    next: NotRequired[str]


class UnpricedController(Node):
    @expose(
        *paging.page(LISTING),
        *WINDOW,
        listed("scope_id", text()),
        listed("metric", text()),
        listed("groupby", choice(SCOPE)),
        rule="unpriced:get_unpriced",
    )
    def get_all(
        self,
        request: Request,
        offset: int,
        limit: int,
        marker: Marker | None,
        begin: datetime.datetime | None,
        end: datetime.datetime | None,
        scope_id: Sequence[str] | None,
        metric: Sequence[str] | None,
        groupby: Sequence[str] | None,
    ) -> Streamed[UnpricedUsage]:
        """List usage that no rule has priced."""
        self.authorize_scopes(request, scope_id)
        named = {self.context.conf.collect.scope_key: scope_id, selection.METRIC: metric}
        filters = {name: list(one) for name, one in named.items() if one is not None}
        query = selection.select(self.context, request.caller, begin, end, filters)
        found = Tally((), {}) if query is None else self._tally(query, by_scope=bool(groupby))
        rows = found.rows
        after: Any = paging.of_form(marker, str, str, str, str)
        if after is not None:
            rows = [row for row in rows if row.key > after]
        page = slice(offset, offset + limit)
        results = rows[page]
        shown = {
            "total": len(found.rows),
            "points": dict(found.points),
            "results": [_shown(row) for row in results],
        }
        last = results[-1].key if page.stop < len(rows) else None
        return paging.document(request, LISTING, shown, last, query)

    def _tally(self, query: Query, *, by_scope: bool) -> Tally:
        """:raises errors.RatingFailed: the rules cannot be had."""
        pipeline = self.context.pipeline
        try:
            pipeline.refresh()
            fields = pipeline.fields(query.begin)
            with (
                self.context.telemetry.query("unpriced"),
                self.context.storage.free(query) as runs,
            ):
                return unpriced.tally(runs, pipeline.matcher, fields, by_scope=by_scope)
        except RatingError as error:
            raise errors.RatingFailed(module=error.module) from error


def _shown(row: Unpriced) -> UnpricedForm:
    shown: UnpricedForm = {
        "metric": row.metric,
        "field": row.field,
        "value": row.value,
        "points": row.points,
        "qty": row.qty,
        "scopes": len(row.scopes),
        "begin": row.begin,
        "end": row.end,
    }
    if row.scope_id is not None:
        shown["scope_id"] = row.scope_id
    return shown
