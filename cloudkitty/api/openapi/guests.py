# SPDX-License-Identifier: Apache-2.0
"""Routes of controllers that were written for the web framework itself.

Invariant: only what the framework has marked as exposed is found. Such functions say nothing of
what they take and give, but for the names of their arguments in the path.
"""

import inspect
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from pecan.rest import RestController

_FUNCTIONS = (
    ("GET", "get_all"),
    ("GET", "get_one"),
    ("GET", "get"),
    ("POST", "post"),
    ("PUT", "put"),
    ("PATCH", "patch"),
    ("DELETE", "delete"),
)

_WITHOUT_ID = ("get_all", "post")

DEPTH = 3
"""Most levels of controllers that are looked at."""


@dataclass(frozen=True)
class Found:
    """A method at a path below the controller."""

    method: str
    path: str
    in_path: Sequence[str]
    told: str


def walk(controller: Any, path: str = "", depth: int = DEPTH) -> Iterator[Found]:
    """Yield the routes of a controller."""
    if isinstance(controller, RestController):
        for method, name in _FUNCTIONS:
            function = getattr(controller, name, None)
            if function is not None and getattr(function, "exposed", False):
                yield from _found(method, path, function)
    elif getattr(getattr(controller, "index", None), "exposed", False):
        yield Found("GET", path, (), inspect.getdoc(controller.index) or "")
    if depth and not path.count("{"):
        for name, child in inspect.getmembers(controller):
            if isinstance(child, RestController) and not name.startswith("_"):
                yield from walk(child, f"{path}/{name}", depth - 1)


def _found(method: str, path: str, function: Callable[..., Any]) -> Iterator[Found]:
    told = inspect.getdoc(function) or ""
    arguments = [
        argument
        for argument in inspect.signature(function).parameters.values()
        if argument.kind is argument.POSITIONAL_OR_KEYWORD
    ]
    if function.__name__ in _WITHOUT_ID:
        arguments = []
    needed = [one.name for one in arguments if one.default is one.empty]
    yield Found(method, _below(path, needed), needed, told)
    if arguments and not needed:
        # What has a default may be in the path, or not.
        yield Found(method, _below(path, [arguments[0].name]), [arguments[0].name], told)


def _below(path: str, names: Sequence[str]) -> str:
    return path + "".join(f"/{{{name}}}" for name in names)
