# SPDX-License-Identifier: Apache-2.0
"""``/v1``: the first version of the API; all of its nodes on one screen."""

from cloudkitty.api import versions
from cloudkitty.api.context import ApiContext
from cloudkitty.api.v1.collector import CollectorController
from cloudkitty.api.v1.info import InfoController
from cloudkitty.api.v1.rating import RatingController
from cloudkitty.api.v1.report import ReportController
from cloudkitty.api.v1.storage import StorageController
from cloudkitty.rest import types
from cloudkitty.rest.controller import Controller, expose
from cloudkitty.rest.request import Request


class V1Controller(Controller):
    answers_head = True
    name = "v1"
    old_names = frozenset({"billing", "collector"})
    status: versions.Status = "CURRENT"

    def __init__(self, context: ApiContext) -> None:
        super().__init__(context)
        rating = RatingController(context)
        self.children = {
            "rating": rating,
            # What rating was called in 2014.
            "billing": rating,
            "collector": CollectorController(context),
            "info": InfoController(context),
            "report": ReportController(context),
            "storage": StorageController(context),
        }

    def entry(self, request: Request) -> versions.Version:
        """Return what the version document says about this version."""
        return versions.entry(self.name, self.status, request)

    @expose(types.Json)
    def get_all(self, request: Request) -> versions.Version:
        """Show the first version of the API."""
        return self.entry(request)
