# SPDX-License-Identifier: Apache-2.0
"""Runs rating modules that were written for the interface of OpenStack's rating service.

Such a module subclasses ``RatingProcessorBase`` and rates in ``process``, in one of two forms:
since 2019 it is given a frame and returns one; before, it was given a list of frames in their
dictionary form and changed the points in them. ``Handover`` can be used in both, and notices which.

Invariants: a module is built for each scope and period, and reads its rules before each period, as
it was promised; a point that it leaves alone stays what it was, and one of which it changes only
the price stays of the same series.
"""

import abc
import datetime
import importlib
import inspect
from collections.abc import Callable, Iterator, Mapping
from typing import Any, ClassVar, cast

from oslo_config import cfg

from cloudkitty.dataframe import DataFrame
from cloudkitty.db.engine import Database
from cloudkitty.rating.base import Compiled, RatingError, RatingModule, RuleBook
from cloudkitty.rating.state import ModuleState, ModuleStates, move_revision


class RatingProcessorBase(abc.ABC):
    """Base of modules; ``enabled`` and ``priority`` are what the API has set, unless a module has
    properties of its own for them."""

    module_name: ClassVar[str]
    description: ClassVar[str] = ""
    hot_config: ClassVar[bool] = False
    config_controller: ClassVar[Any] = None

    # Named so that modules have nothing of the same name.
    _rating_database: ClassVar[Database]

    def __init__(self, tenant_id: str | None = None) -> None:
        self._tenant_id = tenant_id

    @property
    def enabled(self) -> bool:
        return _state(self).enabled

    @property
    def priority(self) -> int:
        return _state(self).priority

    @property
    def module_info(self) -> dict[str, Any]:
        return {
            "name": self.module_name,
            "description": self.description,
            "hot_config": self.hot_config,
            "enabled": self.enabled,
            "priority": self.priority,
        }

    def set_state(self, enabled: bool) -> None:
        ModuleStates(self._rating_database).set(self.module_name, enabled=enabled)

    def set_priority(self, priority: int) -> None:
        ModuleStates(self._rating_database).set(self.module_name, priority=priority)

    def notify_reload(self) -> None:
        """Tell everybody who rates that the rules have changed."""
        with self._rating_database.writer() as connection:
            move_revision(connection, self.module_name)

    def nodata(  # noqa: B027 - nothing to do unless a module says so
        self, begin: datetime.datetime, end: datetime.datetime
    ) -> None:
        """A period in which nothing was used."""

    def reload_config(  # noqa: B027 - a module may have no rules
        self, start: datetime.datetime | None = None
    ) -> None:
        """Read the rules again, as they are in force at *start*."""

    def quote(self, data: Any) -> Any:
        """Rate what is not there yet."""
        return self.process(data)

    @abc.abstractmethod
    def process(self, data: Any) -> Any:
        """Return *data* with prices."""


def _state(processor: RatingProcessorBase) -> ModuleState:
    return ModuleStates(processor._rating_database).get(processor.module_name)


class Handover(DataFrame):
    """A frame as a module of either age is given it: also a list with one frame in the dictionary
    form, in which every point has its attributes as ``groupby`` and ``metadata`` and merged as
    ``desc``."""

    __slots__ = ("_form",)

    def __init__(self, frame: DataFrame) -> None:
        super().__init__(frame.period, frame.usage)
        self._form: dict[str, Any] | None = None

    def _dictionary(self) -> dict[str, Any]:
        if self._form is None:
            self._form = self.as_dict()
            for metric, forms in self._form["usage"].items():
                for form, point in zip(forms, self.usage[metric], strict=True):
                    form["desc"] = point.desc
        return self._form

    def __iter__(self) -> Iterator[Any]:
        return iter((self._dictionary(),))

    def __getitem__(self, place: int) -> dict[str, Any]:
        return (self._dictionary(),)[place]

    def __len__(self) -> int:
        return 1

    def returned(self, result: object) -> DataFrame:
        """Return the frame that a module means by its *result*.

        :raises FrameError: it is not a frame.
        :raises RatingError: it is something else.
        """
        if result is self and self._form is not None:
            result = self._form
        if isinstance(result, DataFrame):
            return DataFrame(result.period, result.usage)
        if isinstance(result, Mapping):
            result = [result]
        if not isinstance(result, list | tuple):
            raise RatingError(f"returned {type(result).__name__}, no frame")
        merged = DataFrame(self.period)
        for form in result:
            for metric, point in _read(form).iterpoints():
                merged.add_point(point, metric)
        return merged


def _read(form: object) -> DataFrame:
    """Read the dictionary form of a frame, in which points may be changed, gone or new."""
    if not isinstance(form, Mapping) or not isinstance(form.get("usage"), Mapping):
        return DataFrame.from_dict(form)
    usage = {
        metric: [_plain(point) for point in points] if isinstance(points, list) else points
        for metric, points in form["usage"].items()
    }
    return DataFrame.from_dict({**form, "usage": usage})


def _plain(form: Any) -> Any:
    """Return a point whose attributes are either merged or not. Who changes points in this form
    knows the merged ones only, so those win."""
    if not isinstance(form, dict) or not {"desc", "groupby", "metadata"} <= form.keys():
        return form
    plain = {name: value for name, value in form.items() if name != "desc"}
    desc, groupby, metadata = form["desc"], form["groupby"], form["metadata"]
    if desc != {**metadata, **groupby}:
        plain["groupby"] = {key: desc[key] for key in groupby if key in desc}
        plain["metadata"] = {key: desc[key] for key in desc if key not in groupby}
    return plain


class _Rules:
    """A module built for one scope and one period."""

    def __init__(self, processor: RatingProcessorBase, own_switch: bool) -> None:
        self._processor = processor
        self._own_switch = own_switch

    def rate(self, frame: DataFrame) -> DataFrame:
        return self._run(self._processor.process, frame)

    def quote(self, frame: DataFrame) -> DataFrame:
        return self._run(self._processor.quote, frame)

    def _run(self, step: Callable[[Any], Any], frame: DataFrame) -> DataFrame:
        if self._own_switch and not self._processor.enabled:
            return frame
        handed = Handover(frame)
        try:
            return handed.returned(step(handed))
        except RatingError as error:
            raise RatingError(f"rating module {self._processor.module_name} {error}") from error


class _Book:
    """Builds a module anew each time that it is asked for."""

    def __init__(self, processor: type[RatingProcessorBase], own_switch: bool) -> None:
        self._class = processor
        self._own_switch = own_switch

    def compile(self, scope_id: str | None, at: datetime.datetime) -> Compiled:
        processor = self._class(scope_id)
        _reload(processor, at)
        # Not valid at any other time, nor at the same one again: only the module knows its rules.
        return Compiled(_Rules(processor, self._own_switch), valid_until=at)


def _reload(processor: RatingProcessorBase, at: datetime.datetime) -> None:
    reload: Any = processor.reload_config
    # Rules have had times at which they are in force since 2025; before, nothing was said.
    if inspect.signature(reload).parameters:
        reload(at)
    else:
        reload()


class _Adapter(RatingModule):
    """A module of the pipeline in front of a class of modules."""

    processor: ClassVar[type[RatingProcessorBase]]

    def __init__(self, conf: cfg.ConfigOpts, database: Database) -> None:
        super().__init__(conf, database)
        name = self.processor.__name__
        # The constructors of modules are not handed a database.
        self._bound = cast(
            type[RatingProcessorBase], type(name, (self.processor,), {"_rating_database": database})
        )

    def load(self) -> RuleBook:
        own_switch = self.processor.enabled is not RatingProcessorBase.enabled
        return _Book(self._bound, own_switch)

    def config_controller(self, context: Any) -> Any | None:
        root = self.processor.config_controller
        if root is None:
            return None
        # Late, so that the processor needs no web framework.
        return importlib.import_module("cloudkitty.rest.guest").GuestController(context, root)


def adapt(plugin: Any) -> type[RatingModule]:
    """Return the class of pipeline modules for what an entry point names.

    A module with an ``enabled`` of its own needs nobody to enable it.
    """
    if not (isinstance(plugin, type) and issubclass(plugin, RatingProcessorBase)):
        return cast(type[RatingModule], plugin)
    members = {
        "processor": plugin,
        "module_name": plugin.module_name,
        "description": plugin.description or "",
        "hot_config": plugin.hot_config,
        "always_enabled": plugin.enabled is not RatingProcessorBase.enabled,
    }
    return cast(type[RatingModule], type(f"{plugin.__name__}Module", (_Adapter,), members))
