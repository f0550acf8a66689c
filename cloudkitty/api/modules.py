# SPDX-License-Identifier: Apache-2.0
"""Rating modules as every version of the API shows and changes them."""

from dataclasses import dataclass

from cloudkitty.rating.base import RatingModule
from cloudkitty.rating.pipeline import Broken, Pipeline
from cloudkitty.rating.state import DEFAULT_PRIORITY, ModuleState


class UnknownModule(Exception):
    """No module of this name is installed."""


@dataclass(frozen=True, slots=True)
class ModuleView:
    """A rating module and whether, and when, it takes part in rating.

    ``hot_config`` is whether its rules can be changed while it rates.
    """

    module_id: str
    description: str | None
    enabled: bool
    hot_config: bool
    priority: int


class Modules:
    """The installed modules."""

    def __init__(self, pipeline: Pipeline) -> None:
        self._pipeline = pipeline

    def list(self) -> list[ModuleView]:
        """Return every module, by name."""
        installed = self._pipeline.modules
        states = self._pipeline.states.read(installed)
        return [_view(module, states[name]) for name, module in installed.items()]

    def get(self, name: str) -> ModuleView:
        """Return one module.

        :raises UnknownModule: it is not installed.
        """
        return _view(self._installed(name), self._pipeline.states.get(name))

    def update(self, name: str, *, enabled: bool | None, priority: int | None) -> None:
        """Change what is not ``None``. A module that is always enabled stays as it is.

        :raises UnknownModule: it is not installed.
        """
        installed = self._installed(name)
        if not (isinstance(installed, RatingModule) and installed.always_enabled):
            self._pipeline.states.set(name, enabled=enabled, priority=priority)

    def _installed(self, name: str) -> RatingModule | Broken:
        installed = self._pipeline.modules.get(name)
        if installed is None:
            raise UnknownModule(name)
        return installed


def _view(installed: RatingModule | Broken, state: ModuleState) -> ModuleView:
    if isinstance(installed, Broken):
        return ModuleView(
            module_id=installed.name,
            description=f"cannot be loaded: {installed.reason}",
            enabled=state.enabled,
            hot_config=False,
            priority=state.priority,
        )
    always = installed.always_enabled
    return ModuleView(
        module_id=installed.module_name,
        description=installed.description,
        enabled=always or state.enabled,
        hot_config=installed.hot_config,
        priority=DEFAULT_PRIORITY if always else state.priority,
    )
