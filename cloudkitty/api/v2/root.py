# SPDX-License-Identifier: Apache-2.0
"""``/v2``: the second version of the API; all of its nodes on one screen."""

from collections.abc import Sequence
from typing import Any

from cloudkitty.api import versions
from cloudkitty.api.context import ApiContext
from cloudkitty.api.v2.dataframes import DataFramesController
from cloudkitty.api.v2.node import Node, expose
from cloudkitty.api.v2.rating import RatingController
from cloudkitty.api.v2.scope import ScopeController
from cloudkitty.api.v2.summary import SummaryController
from cloudkitty.api.v2.task import TaskController
from cloudkitty.rest import errors
from cloudkitty.rest.controller import Handler
from cloudkitty.rest.request import Request


class V2Controller(Node):
    name = "v2"
    status = "EXPERIMENTAL"

    def __init__(self, context: ApiContext) -> None:
        super().__init__(context)
        self.children = {
            "dataframes": DataFramesController(context),
            "rating": RatingController(context),
            "scope": ScopeController(context),
            "summary": SummaryController(context),
            "task": TaskController(context),
        }

    def route(self, path: Sequence[str], request: Request) -> tuple[Handler, Sequence[str]]:
        if path and request.path_info.endswith("/"):
            raise errors.NotFound()
        return super().route(path, request)

    def entry(self, request: Request) -> dict[str, Any]:
        """Return what the version document says about this version."""
        return versions.entry(self.name, self.status, request)

    @expose()
    def get_all(self, request: Request) -> dict[str, Any]:
        return self.entry(request)
