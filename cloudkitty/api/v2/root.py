# SPDX-License-Identifier: Apache-2.0
"""``/v2``: the second version of the API; all of its nodes on one screen."""

from collections.abc import Sequence

from cloudkitty.api import versions
from cloudkitty.api.context import ApiContext
from cloudkitty.api.v2.coverage import CoverageController
from cloudkitty.api.v2.dataframes import DataFramesController
from cloudkitty.api.v2.node import Node, expose
from cloudkitty.api.v2.rating import RatingController
from cloudkitty.api.v2.scope import ScopeController
from cloudkitty.api.v2.summary import SummaryController
from cloudkitty.api.v2.task import TaskController
from cloudkitty.api.v2.unpriced import UnpricedController
from cloudkitty.rest import errors
from cloudkitty.rest.controller import Handler
from cloudkitty.rest.request import Request


class V2Controller(Node):
    name = "v2"
    status: versions.Status = "EXPERIMENTAL"

    def __init__(self, context: ApiContext) -> None:
        super().__init__(context)
        self.children = {
            "coverage": CoverageController(context),
            "dataframes": DataFramesController(context),
            "rating": RatingController(context),
            "scope": ScopeController(context),
            "summary": SummaryController(context),
            "task": TaskController(context),
            "unpriced": UnpricedController(context),
        }

    def route(self, path: Sequence[str], request: Request) -> tuple[Handler, Sequence[str]]:
        if path and request.path_info.endswith("/"):
            raise errors.NotFound()
        return super().route(path, request)

    def entry(self, request: Request) -> versions.Version:
        """Return what the version document says about this version."""
        return versions.entry(self.name, self.status, request)

    @expose()
    def get_all(self, request: Request) -> versions.Version:
        """Show the second version of the API."""
        return self.entry(request)
