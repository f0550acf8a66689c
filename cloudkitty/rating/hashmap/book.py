# SPDX-License-Identifier: Apache-2.0
"""All of hashmap's rules, compiled for one scope and one instant when somebody asks.

Invariants: scopes without rules of their own share one rule set, and scopes with some share
the rules of every service that they have none for; a rule set says until when it is right;
compiled rules are kept for the last few stretches only.
"""

import bisect
import datetime
import functools
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from cloudkitty.rating.hashmap.engine import SERIES_KEPT, FieldRules, Room, RuleSet, ServiceRules
from cloudkitty.rating.hashmap.rules import Mapping, Threshold, chosen

WINDOWS_KEPT = 4
"""For how many stretches between two changes of validity compiled rules are kept: the one
being rated and a few that reprocessing may be in."""

Thing = TypeVar("Thing")


def nobody(_service: str, _field: str) -> None:
    """Is told of a field whose thresholds do not act where its value is no number."""


class _Windows(Generic[Thing]):
    """What was compiled for the stretches between instants at which rules begin or end."""

    def __init__(self, boundaries: Iterable[datetime.datetime]) -> None:
        self._boundaries = sorted(boundaries)
        self._kept: dict[int, Thing] = {}

    def at(
        self, at: datetime.datetime, make: Callable[[], Thing]
    ) -> tuple[Thing, datetime.datetime | None]:
        """Return the thing for the stretch that *at* is in, and where that stretch ends."""
        index = bisect.bisect_right(self._boundaries, at)
        thing = self._kept.pop(index) if index in self._kept else make()
        self._kept[index] = thing
        if len(self._kept) > WINDOWS_KEPT:
            del self._kept[next(iter(self._kept))]
        return thing, self._boundaries[index] if index < len(self._boundaries) else None


def _boundaries(
    mappings: Iterable[Mapping],
) -> dict[str | None, set[datetime.datetime]]:
    """Return by tenant when rules that concern it begin or end; those for everybody concern all."""
    own: dict[str | None, set[datetime.datetime]] = {None: set()}
    for mapping in mappings:
        instants = own.setdefault(mapping.tenant, set())
        instants.update(moment for moment in (mapping.start, mapping.end) if moment is not None)
    return {tenant: instants | own[None] for tenant, instants in own.items()}


@dataclass(slots=True)
class _Parent:
    """All rules of a service or of a field, in order of creation."""

    mappings: list[Mapping] = field(default_factory=list)
    thresholds: list[Threshold] = field(default_factory=list)


class _ServiceBook:
    """All rules of one service."""

    def __init__(self, on_skipped: Callable[[str], None], room: Room) -> None:
        self._on_skipped = on_skipped
        self._room = room
        self.own = _Parent()
        self.fields: dict[str, _Parent] = {}
        self._windows: dict[str | None, _Windows[ServiceRules]] = {}

    def parent(self, name: str | None) -> _Parent:
        return self.own if name is None else self.fields.setdefault(name, _Parent())

    def _parents(self) -> list[_Parent]:
        return [self.own, *self.fields.values()]

    def close(self) -> None:
        """Work out who has rules of its own, and when rules begin and end."""
        boundaries = _boundaries(m for parent in self._parents() for m in parent.mappings)
        for parent in self._parents():
            for threshold in parent.thresholds:
                boundaries.setdefault(threshold.tenant, boundaries[None])
        self._windows = {tenant: _Windows(instants) for tenant, instants in boundaries.items()}

    @property
    def tenants(self) -> Iterable[str | None]:
        return self._windows.keys()

    def rules(self, tenant: str | None, at: datetime.datetime) -> ServiceRules:
        tenant = tenant if tenant in self._windows else None
        rules, _ = self._windows[tenant].at(at, lambda: self._compile(tenant, at))
        return rules

    def _compile(self, tenant: str | None, at: datetime.datetime) -> ServiceRules:
        fields = []
        for name, parent in self.fields.items():
            mappings = chosen(parent.mappings, tenant, at)
            thresholds = chosen(parent.thresholds, tenant, at)
            if mappings or thresholds:
                fields.append(FieldRules(name, mappings, thresholds))
        return ServiceRules(
            chosen(self.own.mappings, tenant, at),
            chosen(self.own.thresholds, tenant, at),
            fields,
            self._on_skipped,
            self._room,
        )


class Book:
    """All rules, for every scope and instant.

    Rules come in order of creation; *fields* are pairs of service and field name in order of
    creation, and a field that is not among them comes after those that are. *on_skipped* is told,
    once for each rule set, of a service and field of which a value that is not a number keeps a
    threshold from acting. Of *series_kept* series at most it is remembered what they cost.
    """

    def __init__(
        self,
        mappings: Iterable[Mapping] = (),
        thresholds: Iterable[Threshold] = (),
        fields: Iterable[tuple[str, str]] = (),
        on_skipped: Callable[[str, str], None] = nobody,
        series_kept: int = SERIES_KEPT,
    ) -> None:
        self._on_skipped = on_skipped
        self._room = Room(series_kept)
        mappings = list(mappings)
        self._services: dict[str, _ServiceBook] = {}
        for service, name in fields:
            self._service(service).parent(name)
        for mapping in mappings:
            self._service(mapping.service).parent(mapping.field).mappings.append(mapping)
        for threshold in thresholds:
            self._service(threshold.service).parent(threshold.field).thresholds.append(threshold)
        boundaries = _boundaries(mappings)
        for book in self._services.values():
            book.close()
            for tenant in book.tenants:
                boundaries.setdefault(tenant, boundaries[None])
        self._windows: dict[str | None, _Windows[RuleSet]] = {
            tenant: _Windows(instants) for tenant, instants in boundaries.items()
        }

    def _service(self, name: str) -> _ServiceBook:
        if name not in self._services:
            self._services[name] = _ServiceBook(
                functools.partial(self._on_skipped, name), self._room
            )
        return self._services[name]

    def rules(
        self, scope_id: str | None, at: datetime.datetime
    ) -> tuple[RuleSet, datetime.datetime | None]:
        """Return the rules in force for *scope_id* (``None``: only those for everybody) at *at*,
        and until when they are.

        Scopes without rules of their own get the same object.
        """
        tenant = scope_id if scope_id in self._windows else None
        return self._windows[tenant].at(
            at,
            lambda: RuleSet(
                {name: book.rules(tenant, at) for name, book in self._services.items()}
            ),
        )
