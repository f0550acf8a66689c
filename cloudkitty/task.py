# SPDX-License-Identifier: Apache-2.0
"""Reprocessing tasks: a window of a scope's past that is to be rated again."""

import datetime
import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import NamedTuple

from cloudkitty.period import Period
from cloudkitty.scope import ScopeState


class Mode(enum.StrEnum):
    """Where the usage comes from: the source is asked again, or the ledger's is priced anew."""

    COLLECT = "collect"
    RATE = "rate"


class TaskState(enum.StrEnum):
    WAITING = "waiting"
    DONE = "done"
    CANCELLED = "cancelled"


class Difference(NamedTuple):
    """Exact totals of a metric before and after."""

    before: Decimal
    after: Decimal


@dataclass(frozen=True, slots=True)
class NewTask:
    """What is asked for: *window* is aligned to the scope's periods and lies before its horizon."""

    scope: ScopeState
    window: Period
    reason: str
    mode: Mode = Mode.COLLECT
    dry_run: bool = False


@dataclass(frozen=True, slots=True)
class Task:
    """A task as it stands. Everything before ``current`` has been done."""

    id: int
    scope: ScopeState
    window: Period
    current: datetime.datetime | None
    reason: str
    mode: Mode
    dry_run: bool
    state: TaskState
    note: str | None = None
    result: Mapping[str, Difference] = field(default_factory=dict, hash=False)

    @property
    def next_begin(self) -> datetime.datetime:
        return self.current or self.window.begin
