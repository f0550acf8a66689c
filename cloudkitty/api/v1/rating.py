# SPDX-License-Identifier: Apache-2.0
"""``/v1/rating``: rating modules, their configuration, and quotes.

Invariant: no module is named here; each brings its own controller, mounted when the application
is built.
"""

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

from wsme.types import wsattr

from cloudkitty.api import modules
from cloudkitty.api.context import ApiContext
from cloudkitty.dataframe import DataFrame, Registry
from cloudkitty.period import Period
from cloudkitty.rating.base import RatingError, RatingModule
from cloudkitty.rating.pipeline import Broken
from cloudkitty.rest import errors, objects, types
from cloudkitty.rest.controller import SEE, Controller, Handler, Reply, expose
from cloudkitty.rest.request import Request

CONFIG_RULE = "rating:module_config"
UNIT = "undef"


class Module(types.Form):
    """A rating module and whether, and when, it takes part in rating."""

    module_id = wsattr(types.Text, mandatory=True)
    description = wsattr(types.Text, default=None)
    enabled = types.Flag
    hot_config = wsattr(types.Flag, name="hot-config")
    priority = types.WholeNumber


class Modules(types.Form):
    modules = [Module]


class QuotedResource(types.Form):
    """Something that is not there yet, to be priced."""

    service = wsattr(types.Text, default=None)
    desc = wsattr(types.Attributes, default=None)
    volume = wsattr(types.Amount, mandatory=True)


class RatingController(Controller):
    def __init__(self, context: ApiContext) -> None:
        super().__init__(context)
        self.children = {
            "modules": ModulesController(context),
            "module_config": ModuleConfigController(context),
            "reload_modules": ReloadController(context),
            "quote": QuoteController(context),
        }


class ModulesController(Controller):
    def __init__(self, context: ApiContext) -> None:
        super().__init__(context)
        self._modules = modules.Modules(context.pipeline)

    @expose(Modules, rule="rating:list_modules")
    def get_all(self, request: Request) -> dict[str, list[modules.ModuleView]]:
        """List the rating modules that are installed."""
        return {"modules": self._modules.list()}

    @expose(Module, types.Text, path=1, rule="rating:get_module")
    def get_one(self, request: Request, module_id: str) -> modules.ModuleView:
        """Show a rating module."""
        try:
            return self._modules.get(module_id)
        except modules.UnknownModule:
            raise errors.ModuleNotFound() from None

    @expose(types.Null, types.Text, body=Module, path=1, rule="rating:update_module", status=SEE)
    def put(
        self, request: Request, module_id: str | None = None, module_data: Module | None = None
    ) -> Reply:
        """Enable, disable or move a rating module."""
        assert module_data is not None
        name = module_id or module_data.module_id
        said = objects.said(module_data, ("enabled", "priority"))
        try:
            self._modules.update(name, enabled=said.get("enabled"), priority=said.get("priority"))
        except modules.UnknownModule:
            raise errors.ModuleNotFound() from None
        return Reply.see(request.object_url(name))


class ReloadController(Controller):
    @expose(None, status=204, rule=CONFIG_RULE)
    def get_all(self, request: Request) -> None:
        """Nothing is left to do: whoever rates follows the revisions of the rules."""


class ModuleConfigController(Controller):
    """Where the modules' own controllers are mounted, behind one policy for all of them, which is
    asked before anything else."""

    def __init__(self, context: ApiContext) -> None:
        super().__init__(context)
        self.children = {
            name: self._mounted(context, module)
            for name, module in context.pipeline.modules.items()
        }

    @staticmethod
    def _mounted(context: ApiContext, module: RatingModule | Broken) -> Controller:
        if isinstance(module, RatingModule):
            own = module.config_controller(context)
            if own is not None:
                own.gate = CONFIG_RULE
                return own  # type: ignore[no-any-return]
        return UnconfigurableController(context)

    def route(self, path: Sequence[str], request: Request) -> tuple[Handler, Sequence[str]]:
        node = self.children.get(path[0]) if path else None
        if node is not None and node.gate is not None:
            self.context.policy.authorize(request.caller, node.gate)
        return super().route(path, request)


class UnconfigurableController(Controller):
    """A module without configuration says so, whatever the method."""

    def handler(self, method: str, path: Sequence[str]) -> Handler:
        if path:
            raise errors.NotFound()
        raise errors.ModuleNotConfigurable()


class QuoteController(Controller):
    context: ApiContext

    @expose(types.Amount, [QuotedResource], rule="rating:quote")
    def post(self, request: Request, resources: list[QuotedResource]) -> Decimal:
        """Return what *resources* would cost the caller's project for one period from now."""
        frame = DataFrame(Period.of(types.now(), self.context.conf.collect.period))
        registry = Registry()
        for resource in resources:
            groupby, metadata = _attributes(resource.desc or {})
            series = registry.series(
                resource.service or "", unit=UNIT, groupby=groupby, metadata=metadata
            )
            frame.add(series, resource.volume)
        try:
            self.context.pipeline.refresh()
            with self.context.telemetry.quote():
                return self.context.pipeline.quote(frame, request.caller.project_id).price
        except RatingError as error:
            raise errors.RatingFailed(module=error.module) from error


def _attributes(desc: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return groupby and metadata of a description: those it names, and every other member of it
    as metadata."""
    rest = dict(desc)
    named = {
        key: rest.pop(key) for key in ("groupby", "metadata") if isinstance(rest.get(key), dict)
    }
    return named.get("groupby", {}), rest | named.get("metadata", {})
