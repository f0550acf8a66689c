# SPDX-License-Identifier: Apache-2.0
"""Named points on a period's way, at which a process can be made to do something.

Nothing in the processor knows of them: a child of the test puts them around functions of its own
copy of the program, and dies with them.
"""

import functools
import itertools
from collections.abc import Callable
from typing import Any

from cloudkitty.processor.collecting import Collecting
from cloudkitty.processor.rounds import Rounds
from cloudkitty.processor.worker import Worker
from cloudkitty.storage.sqlalchemy import statements
from cloudkitty.storage.sqlalchemy.driver import SqlAlchemyStorage
from cloudkitty.storage.sqlalchemy.ids import SeriesIds
from cloudkitty.storage.sqlalchemy.keys import SeriesKeys

BEFORE, AFTER = False, True

POINTS: dict[str, tuple[Any, str, bool]] = {
    "before collecting": (Collecting, "usage", BEFORE),
    "after collecting": (Collecting, "usage", AFTER),
    "after rating": (SqlAlchemyStorage, "replace", BEFORE),
    "after reserving keys": (SeriesIds, "reserve", AFTER),
    "after locking the scopes": (statements, "lock", AFTER),
    "after inserting series": (SeriesKeys, "each", AFTER),
    "after closing runs": (statements, "close_runs", AFTER),
    "after inserting runs": (statements, "move_horizon", BEFORE),
    "after moving the horizon": (statements, "move_horizon", AFTER),
    "before the commit": (statements, "move_version", AFTER),
    "after the commit": (SqlAlchemyStorage, "replace", AFTER),
    "between periods": (Worker, "rate", AFTER),
}
"""In the order in which a period comes across them."""

IN_TRANSACTION = (
    "after locking the scopes",
    "after inserting series",
    "after closing runs",
    "after inserting runs",
    "after moving the horizon",
    "before the commit",
)
"""The points at which rows of scopes are locked."""

BEGINNING: dict[str, tuple[Any, str, bool]] = {"before a round": (Rounds, "run", BEFORE)}
"""Comes once a round, whatever there is to rate."""

BATCH = 15
"""The batch that meets the fault: the first of the cloud's eighth hour, in which every kind of
statement has rows to write."""


def at(point: str, action: Callable[[], None], nth: int = BATCH) -> None:
    """Have this process do *action* when it comes to the point for the *nth* time."""
    owner, name, after = (POINTS | BEGINNING)[point]
    function = getattr(owner, name)
    passed = itertools.count(1)

    @functools.wraps(function)
    def passing(*args: Any, **kwargs: Any) -> Any:
        here = next(passed) == nth
        if here and not after:
            action()
        result = function(*args, **kwargs)
        if here and after:
            action()
        return result

    setattr(owner, name, passing)
