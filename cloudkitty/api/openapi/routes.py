# SPDX-License-Identifier: Apache-2.0
"""Every route of an application, read from its tree of nodes.

Invariant: a path finds its function as ``cloudkitty.rest.controller`` says.
"""

import inspect
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from cloudkitty.api.openapi import guests
from cloudkitty.api.v1.rating import UnconfigurableController
from cloudkitty.rest.controller import Controller, Exposure, TypedExposure
from cloudkitty.rest.guest import GuestController

METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")
MOST_SEGMENTS = 4


@dataclass(frozen=True)
class Route:
    """A method at a path, which names its arguments in braces.

    Without an ``exposure`` nothing is known of what it takes and gives. ``in_path`` are the
    arguments in the path, ``written`` what the path calls them. ``rules`` are the policies that
    have to allow it.
    """

    method: str
    path: str
    node: Controller
    exposure: Exposure | None = None
    in_path: Sequence[str] = ()
    written: Sequence[str] = ()
    rules: Sequence[str] = ()
    old: bool = False
    told: str = ""

    @property
    def configures(self) -> bool:
        """Whether anything can be asked for there."""
        return not isinstance(self.node, UnconfigurableController)


@dataclass(frozen=True)
class _Place:
    """Where in the tree a node is; ``owned`` by an object when it is below an id."""

    path: str = ""
    gate: str | None = None
    old: bool = False
    owned: bool = False


def walk(root: Controller) -> list[Route]:
    """Return every route, HEAD and OPTIONS aside."""
    return list(_agreed(list(_node(root, _Place()))))


def _agreed(routes: list[Route]) -> Iterator[Route]:
    """Yield routes such that no two paths differ in the names of their arguments alone: where
    methods of one place have other words for it, it is an ``id``."""
    names: dict[str, list[set[str]]] = {}
    for route in routes:
        known = names.setdefault(_shape(route), [set() for _ in route.in_path])
        for place, name in enumerate(route.in_path):
            known[place].add(name)
    for route in routes:
        words = [
            name if len(known) == 1 else "id"
            for name, known in zip(route.in_path, names[_shape(route)], strict=True)
        ]
        path = _shape(route).format(*(f"{{{word}}}" for word in words))
        yield replace(route, path=path, written=words)


def _shape(route: Route) -> str:
    return re.sub(r"{\w+}", "{}", route.path)


def _node(node: Controller, place: _Place) -> Iterator[Route]:
    gate = place.gate or node.gate
    yield from _own(node, place, gate)
    for name, child in node.children.items():
        old = place.old or name in node.old_names
        yield from _node(child, _Place(f"{place.path}/{name}", gate, old))
    for name, child in node.members.items():
        yield from _node(child, _Place(f"{place.path}/{{}}/{name}", gate, place.old, owned=True))


def _own(node: Controller, place: _Place, gate: str | None) -> Iterator[Route]:
    told = inspect.getdoc(type(node)) or ""
    if isinstance(node, UnconfigurableController):
        for method in ("GET", "POST", "PUT", "DELETE"):
            yield Route(method, place.path, node, old=place.old, told=told)
    elif isinstance(node, GuestController):
        for found in guests.walk(node.root):
            yield Route(
                found.method,
                place.path + found.path,
                node,
                in_path=found.in_path,
                rules=_rules(gate),
                old=place.old,
                told=found.told,
            )
    else:
        # Below an object of another node, nothing but the node itself is there.
        for segments in range(1 if place.owned else MOST_SEGMENTS):
            for method, handler in node._handlers(segments):
                exposure: Exposure = handler.exposure  # type: ignore[attr-defined]
                if method in METHODS:
                    yield _route(method, exposure, node, place, gate, segments)


def _route(
    method: str,
    exposure: Exposure,
    node: Controller,
    place: _Place,
    gate: str | None,
    segments: int,
) -> Route:
    template = (place.path or "/") + "/{}" * segments
    names = _arguments(exposure)[: template.count("{}")]
    return Route(
        method,
        template.format(*(f"{{{name}}}" for name in names)),
        node,
        exposure,
        in_path=names,
        rules=_rules(gate, exposure.rule),
        old=place.old,
    )


def _rules(*rules: str | None) -> list[str]:
    return [rule for rule in rules if rule is not None]


def _arguments(exposure: Exposure) -> list[str]:
    if isinstance(exposure, TypedExposure):
        return [argument.name for argument in exposure.definition.arguments]
    # After the node and the request.
    return list(inspect.signature(exposure.function).parameters)[2:]
