# SPDX-License-Identifier: Apache-2.0
"""The rating modules one after the other, as one step from usage to prices.

Invariants: every enabled module rates every frame, or rating fails; the highest priority
rates first, equal priorities by name; rules are read again only when their revision has
moved; scopes whose rules are the same share one rule set.
"""

import contextlib
import datetime
import threading
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, NamedTuple, ParamSpec, TypeVar, cast

from oslo_config import cfg
from oslo_log import log
from stevedore import ExtensionManager

from cloudkitty.dataframe import DataFrame, Points, Series
from cloudkitty.db.engine import Database
from cloudkitty.rating.base import Matching, RatingError, RatingModule, RuleBook, RuleSet
from cloudkitty.rating.legacy import adapt
from cloudkitty.rating.state import ModuleState, ModuleStates

LOG = log.getLogger(__name__)

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")

NAMESPACE = "cloudkitty.rating.processors"

SCOPES_KEPT = 100_000
"""Most scopes of which the rule set in force is remembered, for each module."""


@dataclass(frozen=True, slots=True)
class Broken:
    """A module that is installed and cannot be loaded, and why."""

    name: str
    reason: str


def load_modules(conf: cfg.ConfigOpts, database: Database) -> dict[str, RatingModule | Broken]:
    """Return every installed rating module by name, in the order of names."""
    modules: dict[str, RatingModule | Broken] = {}

    def broken(_manager: object, entry_point: Any, error: BaseException) -> None:
        modules[entry_point.name] = _broken(entry_point.name, error)

    manager: ExtensionManager[Any] = ExtensionManager(NAMESPACE, on_load_failure_callback=broken)
    for extension in manager:
        try:
            modules[extension.name] = adapt(extension.plugin)(conf, database)
        except Exception as error:  # noqa: BLE001 - a guest may fail in any way
            modules[extension.name] = _broken(extension.name, error)
    return {name: modules[name] for name in sorted(modules)}


def _broken(name: str, error: BaseException) -> Broken:
    LOG.error("Rating module %s cannot be loaded: %s: %s", name, type(error).__name__, error)
    return Broken(name, f"{type(error).__name__}: {error}")


class _Window(NamedTuple):
    """A rule set, and the stretch over which it is known to be the right one."""

    begin: datetime.datetime
    until: datetime.datetime | None
    rules: RuleSet


@dataclass(frozen=True, slots=True)
class Matcher:
    """The rules that can tell whether they act on a point, and the first instant at which they
    may be others (``None``: never)."""

    rules: Sequence[tuple[str, Matching]]
    until: datetime.datetime | None
    lock: contextlib.AbstractContextManager[Any]

    def matches(self, series: Series, qty: Decimal) -> bool:
        """Return whether one of the rules acts on a point, whatever it costs.

        :raises RatingError: that cannot be said.
        """
        with self.lock:
            for name, rules in self.rules:
                if _guarded(name, rules.matches, series, qty):
                    return True
        return False

    def unmatched(self, points: Points) -> int:
        """Return on how many points of a price of 0 no rule acts.

        :raises RatingError: that cannot be said.
        """
        free = [(series, qty) for series, qty, price in points if not price]
        with self.lock:
            for name, rules in self.rules:
                free = _guarded(name, _not_matched, rules, free)
        return len(free)


def _not_matched(
    rules: Matching, points: Sequence[tuple[Series, Decimal]]
) -> list[tuple[Series, Decimal]]:
    matches = rules.matches
    return [point for point in points if not matches(*point)]


@dataclass(slots=True)
class _Loaded:
    """A module with its rules at one revision."""

    module: RatingModule
    name: str
    revision: int
    book: RuleBook
    windows: dict[str | None, _Window] = field(default_factory=dict)

    def rules(self, scope_id: str | None, at: datetime.datetime) -> RuleSet:
        return self.window(scope_id, at).rules

    def window(self, scope_id: str | None, at: datetime.datetime) -> _Window:
        window = self.windows.get(scope_id)
        if (
            window is not None
            and window.begin <= at
            and (window.until is None or at < window.until)
        ):
            return window
        rules, until = self.book.compile(scope_id, at)
        if len(self.windows) >= SCOPES_KEPT:
            self.windows.clear()
        window = self.windows[scope_id] = _Window(at, until, rules)
        return window


class Pipeline:
    """All installed rating modules, of which the enabled ones rate. Safe to be shared by threads.

    ``modules`` has them by name; one that cannot be loaded is ``Broken``, and rating fails
    while such a module is enabled.
    """

    def __init__(
        self,
        conf: cfg.ConfigOpts,
        database: Database,
        modules: Mapping[str, RatingModule | Broken] | None = None,
    ) -> None:
        self.modules = dict(modules) if modules is not None else load_modules(conf, database)
        self.states = ModuleStates(database)
        self._loaded: dict[str, _Loaded] = {}
        self._active: list[_Loaded] | None = None
        self._lock = threading.RLock()

    def refresh(self) -> None:
        """Follow what has changed in the database: one query, and the rules of each module
        whose revision has moved.

        :raises RatingError: an enabled module is broken, or its rules cannot be read; nothing
            is rated until a later call succeeds.
        """
        with self._lock:
            self._active = None
            states = self.states.read(self.modules)
            self._active = [self._load(state) for state in self._enabled(states)]

    def enabled(self, name: str, state: ModuleState) -> bool:
        """Whether a module with this state takes part in rating."""
        module = self.modules.get(name)
        return state.enabled or (isinstance(module, RatingModule) and module.always_enabled)

    def _enabled(self, states: Mapping[str, ModuleState]) -> list[ModuleState]:
        enabled = [state for name, state in states.items() if self.enabled(name, state)]
        return sorted(enabled, key=lambda state: (-state.priority, state.name))

    def _load(self, state: ModuleState) -> _Loaded:
        module = self.modules.get(state.name)
        if module is None:
            raise _error(state.name, f"rating module {state.name} is enabled and not installed")
        if isinstance(module, Broken):
            problem = f"rating module {state.name} cannot be loaded: {module.reason}"
            raise _error(state.name, problem)
        loaded = self._loaded.get(state.name)
        if loaded is None or loaded.revision != state.revision:
            book = _guarded(state.name, module.load)
            loaded = _Loaded(module, state.name, state.revision, book)
            self._loaded[state.name] = loaded
        return loaded

    def rate(
        self, frame: DataFrame, scope_id: str | None, at: datetime.datetime | None = None
    ) -> DataFrame:
        """Return *frame* with prices, by the rules in force for *scope_id* (``None``: only
        rules for everybody) at *at*, by default the begin of the frame's period.

        The given frame may be changed in place. Follows the database only when ``refresh``
        is called, and on first use.

        :raises RatingError: the frame cannot be rated as a whole.
        """
        return self._run(frame, scope_id, at or frame.period.begin, _rate)

    def quote(self, frame: DataFrame, scope_id: str | None) -> DataFrame:
        """Return *frame* with the prices it would have; as ``rate``, so ``refresh`` first."""
        return self._run(frame, scope_id, frame.period.begin, _quote)

    def _run(
        self, frame: DataFrame, scope_id: str | None, at: datetime.datetime, step: "_Step"
    ) -> DataFrame:
        with self._lock:
            if self._active is None:
                self.refresh()
            acting = [
                (loaded, _guarded(loaded.name, loaded.rules, scope_id, at))
                for loaded in self._active or ()
            ]
        for loaded, rules in acting:
            with contextlib.nullcontext() if loaded.module.concurrent else self._lock:
                frame = _guarded(loaded.name, _follow, loaded.name, step, rules, frame)
        return frame

    def matcher(self, scope_id: str | None, at: datetime.datetime) -> Matcher:
        """Return the rules in force for *scope_id* at *at* that can tell which points they are
        about. As ``rate``, it follows the database when ``refresh`` is called.

        :raises RatingError: the rules cannot be compiled.
        """
        with self._lock:
            if self._active is None:
                self.refresh()
            telling = [one for one in self._active or () if one.module.tells_matches]
            windows = [_guarded(one.name, one.window, scope_id, at) for one in telling]
        rules = [
            (one.name, cast(Matching, window.rules))
            for one, window in zip(telling, windows, strict=True)
        ]
        until = min((one.until for one in windows if one.until is not None), default=None)
        return Matcher(rules, until, self._lock)

    def unmatched(self, frame: DataFrame, scope_id: str | None) -> Counter[str]:
        """Return how many points of a rated frame have a price of 0 that no rule has made, by
        metric.

        :raises RatingError: that cannot be said.
        """
        found: Counter[str] = Counter()
        matcher: Matcher | None = None
        for metric, points in frame.usage.items():
            if all(points.price):
                continue
            matcher = matcher or self.matcher(scope_id, frame.period.begin)
            found[metric] += matcher.unmatched(points)
        return +found

    def fields(self, at: datetime.datetime) -> dict[str, list[str]]:
        """Return the attributes of each metric that rules of enabled modules look at, at *at* or
        later.

        :raises RatingError: the rules cannot be read.
        """
        with self._lock:
            if self._active is None:
                self.refresh()
            modules = [(one.name, one.module) for one in self._active or ()]
        found: dict[str, list[str]] = {}
        for name, module in modules:
            known = _guarded(name, module.coverage, at)
            for target in known.targets if known else ():
                if target.field is not None and target.field not in found.get(target.metric, ()):
                    found.setdefault(target.metric, []).append(target.field)
        return found

    def steady_until(self, scope_id: str | None, at: datetime.datetime) -> datetime.datetime | None:
        """Return the first instant after *at* from which on a frame of equal content may get
        other prices than at *at* (``None``: it never does), *at* itself if that cannot be said.

        :raises RatingError: the rules cannot be compiled.
        """
        with self._lock:
            if self._active is None:
                self.refresh()
            windows = [
                _guarded(loaded.name, loaded.window, scope_id, at) for loaded in self._active or ()
            ]
        if not all(getattr(window.rules, "steady", False) for window in windows):
            return at
        return min((w.until for w in windows if w.until is not None), default=None)


_Step = Callable[[RuleSet, DataFrame], DataFrame]


def _rate(rules: RuleSet, frame: DataFrame) -> DataFrame:
    return rules.rate(frame)


def _quote(rules: RuleSet, frame: DataFrame) -> DataFrame:
    # Only modules of other origin may tell the two apart.
    quote: Callable[[DataFrame], DataFrame] = getattr(rules, "quote", rules.rate)
    return quote(frame)


def _follow(name: str, step: _Step, rules: RuleSet, frame: DataFrame) -> DataFrame:
    rated = step(rules, frame)
    if not isinstance(rated, DataFrame):
        raise RatingError(f"rating module {name} returned {type(rated).__name__}, no frame")
    return rated


def _guarded(
    name: str,
    function: Callable[Arguments, Result],
    *args: Arguments.args,
    **kwargs: Arguments.kwargs,
) -> Result:
    """Call a module; whatever it raises becomes a ``RatingError`` that names it."""
    try:
        return function(*args, **kwargs)
    except RatingError as error:
        error.module = name
        raise
    except Exception as error:
        LOG.exception("Rating module %s failed", name)
        raise _error(name, f"rating module {name}: {type(error).__name__}: {error}") from error


def _error(name: str, problem: str) -> RatingError:
    error = RatingError(problem)
    error.module = name
    return error
