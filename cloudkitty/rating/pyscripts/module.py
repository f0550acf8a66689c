# SPDX-License-Identifier: Apache-2.0
"""The rating module ``pyscripts``: prices by programs of the administrator."""

import datetime
import importlib
from collections.abc import Sequence
from typing import Any

from oslo_config import cfg

from cloudkitty.dataframe import DataFrame, FrameError
from cloudkitty.db.engine import Database, DatabaseErrors
from cloudkitty.rating.base import Compiled, Coverage, RatingError, RatingModule, RuleBook
from cloudkitty.rating.pyscripts import engine
from cloudkitty.rating.pyscripts.engine import Script
from cloudkitty.rating.pyscripts.runner import Runner, ScriptFailed
from cloudkitty.rating.pyscripts.sandbox import Limits
from cloudkitty.rating.pyscripts.store import MODULE, ScriptStore


class _Acting:
    """The scripts that act at one instant, for one scope."""

    def __init__(self, runner: Runner, scripts: Sequence[Script], scope_id: str | None) -> None:
        self._runner = runner
        self._scripts = scripts
        self._whose = "a quote for everybody" if scope_id is None else f"scope {scope_id}"

    def rate(self, frame: DataFrame) -> DataFrame:
        if not self._scripts:
            return frame
        try:
            return engine.taken_back(frame, self._runner.run(self._scripts, frame.as_dict()))
        except ScriptFailed as error:
            raise RatingError(f"pyscripts: {error} ({self._whose})") from error
        except FrameError as error:
            name = self._scripts[-1].name
            raise RatingError(f"pyscripts: script {name}: {error} ({self._whose})") from error


class _Book:
    """All scripts, as the pipeline asks for them."""

    def __init__(self, runner: Runner, scripts: Sequence[Script]) -> None:
        self._runner = runner
        self._scripts = scripts

    def compile(self, scope_id: str | None, at: datetime.datetime) -> Compiled:
        acting, until = engine.in_force(self._scripts, at)
        return Compiled(_Acting(self._runner, acting, scope_id), until)


class Pyscripts(RatingModule):
    """Replaces a frame by what scripts make of it."""

    module_name = MODULE
    description = "PyScripts rating module."
    hot_config = True
    has_schema = True
    concurrent = True

    def __init__(self, conf: cfg.ConfigOpts, database: Database) -> None:
        super().__init__(conf, database)
        options = conf.pyscripts
        limits = Limits(options.cpu_time, options.wall_time, options.memory)
        self.runner = Runner(limits, options.workers)

    def load(self) -> RuleBook:
        return _Book(self.runner, self._scripts())

    def coverage(self, at: datetime.datetime) -> Coverage:
        live = [script for script in self._scripts() if script.end is None or script.end > at]
        return Coverage(general=len(live))

    def _scripts(self) -> Sequence[Script]:
        try:
            return ScriptStore(self.database).load()
        except (*DatabaseErrors, ValueError) as error:
            raise RatingError(f"pyscripts: the scripts cannot be read: {error}") from error

    def config_controller(self, context: Any) -> Any | None:
        # Late, so that the processor needs no web framework.
        controllers = importlib.import_module("cloudkitty.rating.pyscripts.controllers")
        return controllers.PyscriptsController(context)
