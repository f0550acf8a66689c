# SPDX-License-Identifier: Apache-2.0
"""``/v2/rating/modules``: which rating modules take part in rating, and in which order."""

from typing import TypedDict

from cloudkitty.api import modules
from cloudkitty.api.context import ApiContext
from cloudkitty.api.modules import ModuleView, UnknownModule
from cloudkitty.api.v2.arguments import Argument, json_whole, worded_flag
from cloudkitty.api.v2.node import Node, expose
from cloudkitty.rest import errors
from cloudkitty.rest.request import Request

LOWEST, HIGHEST = -(2**31), 2**31 - 1


class Module(TypedDict):
    """A rating module and whether, and when, it takes part in rating."""

    module_id: str
    description: str | None
    enabled: bool
    hot_config: bool
    priority: int


class Modules(TypedDict):
    """All rating modules."""

    modules: list[Module]


class RatingController(Node):
    def __init__(self, context: ApiContext) -> None:
        super().__init__(context)
        self.children = {"modules": ModulesController(context)}


class ModulesController(Node):
    def __init__(self, context: ApiContext) -> None:
        super().__init__(context)
        self._modules = modules.Modules(context.pipeline)

    @expose(rule="v2_rating:list_modules")
    def get_all(self, request: Request) -> Modules:
        """List the rating modules that are installed."""
        self.authorize(request)
        return {"modules": [_shown(view) for view in self._modules.list()]}

    @expose(path=1, rule="v2_rating:get_module")
    def get_one(self, request: Request, module_id: str) -> Module:
        """Show a rating module."""
        self.authorize(request)
        try:
            return _shown(self._modules.get(module_id))
        except UnknownModule:
            raise errors.NamedModuleNotFound(name=module_id) from None

    @expose(
        body=[
            Argument("enabled", worded_flag, null=True),
            Argument("priority", json_whole(LOWEST, HIGHEST), null=True),
        ],
        status=204,
        path=1,
        rule="v2_rating:update_module",
    )
    def put(
        self,
        request: Request,
        module_id: str,
        enabled: bool | None,
        priority: int | None,
    ) -> None:
        """Enable, disable or move a rating module."""
        self.authorize(request)
        try:
            self._modules.update(module_id, enabled=enabled, priority=priority)
        except UnknownModule:
            raise errors.NamedModuleNotFound(name=module_id) from None


def _shown(view: ModuleView) -> Module:
    return {
        "module_id": view.module_id,
        "description": view.description,
        "enabled": view.enabled,
        "hot_config": view.hot_config,
        "priority": view.priority,
    }
