# SPDX-License-Identifier: Apache-2.0
"""``/v1/storage/dataframes``: every rated point, one frame a period, project and metric.

Invariant: a frame holds points of one project, the one it is labelled with.
"""

import contextlib
import datetime
import json
from collections.abc import Iterable, Iterator
from typing import Annotated, TypedDict

from cloudkitty import money
from cloudkitty.api.context import ApiContext
from cloudkitty.api.v1.window import Window
from cloudkitty.dataframe import Point, Scalar
from cloudkitty.rest import schema, types
from cloudkitty.rest.controller import JSON, Controller, expose
from cloudkitty.rest.request import Request
from cloudkitty.rest.streams import Streamed, streamed
from cloudkitty.storage.base import ScopedFrame

RULE = "storage:list_data_frames"


Amount = Annotated[str, schema.Told(schema.GIVEN_AMOUNT)]
Instant = Annotated[str, schema.Told(schema.GIVEN_NAIVE_INSTANT)]


class Resource(TypedDict):
    """A rated point: quantity and price of one series in one period."""

    service: str
    desc: dict[str, Scalar]
    volume: Amount
    rating: Amount


class Frame(TypedDict):
    """The points of one project and metric in one period."""

    begin: Instant
    end: Instant
    tenant_id: str
    resources: list[Resource]


class Frames(TypedDict):
    """Rated points."""

    dataframes: list[Frame]


class StorageController(Controller):
    def __init__(self, context: ApiContext) -> None:
        super().__init__(context)
        self.children = {"dataframes": DataFramesController(context)}


class DataFramesController(Controller):
    context: ApiContext

    @expose(types.Json, types.Instant, types.Instant, types.Text, types.Text, asks=RULE)
    def get_all(
        self,
        request: Request,
        begin: datetime.datetime | None = None,
        end: datetime.datetime | None = None,
        tenant_id: str | None = None,
        resource_type: str | None = None,
    ) -> Streamed[Frames]:
        """List rated points, a frame a period, project and metric."""
        scopes = self._scopes(request, tenant_id)
        query = Window.of(begin, end).query(
            self.context.conf.collect.period, scopes, [resource_type] if resource_type else None
        )
        if query is None:
            return streamed(document(()), JSON)
        stack = contextlib.ExitStack()
        with self.context.telemetry.query("frames"):
            scan = stack.enter_context(self.context.storage.scan(query))
        return streamed(document(scan.frames), JSON, stack)

    def _scopes(self, request: Request, tenant_id: str | None) -> list[str] | None:
        """Return the projects to show, ``None`` for all.

        :raises errors.Forbidden: the caller may not see them.
        """
        policy, caller = self.context.policy, request.caller
        own = caller.project_id
        policy.authorize(caller, request.rule, project_id=tenant_id or own)
        if tenant_id:
            return [tenant_id]
        if policy.is_admin(caller):
            return None
        return [own] if own else []


def document(frames: Iterable[ScopedFrame]) -> Iterator[str]:
    """Yield the answer piece by piece, so that a month of a cloud is never held as one text."""
    separator = '{"dataframes": ['
    for scoped in frames:
        for metric, points in scoped.frame.usage.items():
            frame: Frame = {
                "begin": types.naive(scoped.frame.period.begin),
                "end": types.naive(scoped.frame.period.end),
                "tenant_id": scoped.scope.identifier,
                "resources": [_resource(metric, point) for point in points],
            }
            yield f"{separator}{json.dumps(frame)}"
            separator = ", "
    yield '{"dataframes": []}' if separator != ", " else "]}"


def _resource(metric: str, point: Point) -> Resource:
    return {
        "service": metric,
        "desc": point.desc,
        "volume": money.text(point.qty),
        "rating": money.text(point.price),
    }
