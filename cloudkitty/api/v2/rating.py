# SPDX-License-Identifier: Apache-2.0
"""``/v2/rating/modules``: which rating modules take part in rating, and in which order."""

from typing import Any

from cloudkitty.api.context import ApiContext
from cloudkitty.api.modules import Modules, ModuleView, UnknownModule
from cloudkitty.api.v2.arguments import Argument, json_whole, worded_flag
from cloudkitty.api.v2.node import Node, expose
from cloudkitty.rest import errors
from cloudkitty.rest.request import Request

LOWEST, HIGHEST = -(2**31), 2**31 - 1


class RatingController(Node):
    def __init__(self, context: ApiContext) -> None:
        super().__init__(context)
        self.children = {"modules": ModulesController(context)}


class ModulesController(Node):
    def __init__(self, context: ApiContext) -> None:
        super().__init__(context)
        self._modules = Modules(context.pipeline)

    @expose()
    def get_all(self, request: Request) -> dict[str, Any]:
        self.authorize(request, "v2_rating:list_modules")
        return {"modules": [_shown(view) for view in self._modules.list()]}

    @expose(path=1)
    def get_one(self, request: Request, module_id: str) -> dict[str, Any]:
        self.authorize(request, "v2_rating:get_module")
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
    )
    def put(
        self,
        request: Request,
        module_id: str,
        enabled: bool | None,
        priority: int | None,
    ) -> None:
        self.authorize(request, "v2_rating:update_module")
        try:
            self._modules.update(module_id, enabled=enabled, priority=priority)
        except UnknownModule:
            raise errors.NamedModuleNotFound(name=module_id) from None


def _shown(view: ModuleView) -> dict[str, Any]:
    return {
        "module_id": view.module_id,
        "description": view.description,
        "enabled": view.enabled,
        "hot_config": view.hot_config,
        "priority": view.priority,
    }
