# SPDX-License-Identifier: Apache-2.0
"""Rates windows of the past again, as tasks ask for it.

Invariants: the content of a window is swapped in one transaction, so a reader sees the old or the
new; what has been done is noted after it, and doing it twice changes nothing; a period of which
the source has nothing any more keeps its content; a dry run writes nothing but its result.
"""

import datetime
import logging
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from typing import NamedTuple

from cloudkitty import money
from cloudkitty.collector.base import CollectError, SourceUnavailable
from cloudkitty.dataframe import DataFrame, Points
from cloudkitty.db.tasks import TaskStore
from cloudkitty.operations import EvaluationError
from cloudkitty.period import Period
from cloudkitty.processor.collecting import NoSource
from cloudkitty.processor.schedule import Batch, back_off
from cloudkitty.processor.worker import Clock, Retry, Worker, raise_if_away
from cloudkitty.rating.base import RatingError
from cloudkitty.rating.pipeline import Pipeline
from cloudkitty.scope import ScopeState
from cloudkitty.storage.base import Storage, StorageError, Stretch
from cloudkitty.task import Difference, Mode, Task

LOG = logging.getLogger(__name__)

PERIODS_AT_ONCE = 744
"""How much of a window is priced anew in one transaction: a bill of a month of hours is the old one
or the new one."""

PERIODS_A_SCOPE = 168
"""How many periods of each scope of a batch are held on average; of longer parts, fewer scopes are
priced together."""

Mine = Callable[[ScopeState], bool]


class _Turn(NamedTuple):
    """A part of their windows that several tasks have next."""

    mode: Mode
    window: Period
    tasks: tuple[Task, ...]


class _Content(NamedTuple):
    """What a task's scope had in a window, and what it is to have."""

    before: Sequence[Stretch]
    after: Sequence[Stretch]
    note: str | None = None


class Reprocessor:
    """Works off tasks."""

    def __init__(
        self,
        *,
        worker: Worker,
        pipeline: Pipeline,
        storage: Storage,
        tasks: TaskStore,
        seconds: int,
        clock: Clock,
        retry: Retry,
        batch_size: int,
    ) -> None:
        self._worker = worker
        self._pipeline = pipeline
        self._storage = storage
        self._tasks = tasks
        self._seconds = seconds
        self._clock = clock
        self._retry = retry
        self._batch_size = batch_size
        self._failures: dict[int, tuple[int, datetime.datetime]] = {}

    def step(self, mine: Mine, collected: Mine) -> bool:
        """Do one part of what the unfinished tasks of scopes that are *mine* ask for; return
        whether there was anything to do now.

        Only the usage of scopes that are *collected* here can be asked for again: another source
        would have other usage, or none.
        """
        waiting = [
            task
            for task in self._tasks.unfinished()
            if mine(task.scope) and (task.mode is Mode.RATE or collected(task.scope))
        ]
        turn = self._next([task for task in waiting if not self._pauses(task)])
        if turn is not None:
            self._do(turn)
        return turn is not None

    def _pauses(self, task: Task) -> bool:
        _failures, retry_at = self._failures.get(task.id, (0, None))
        return retry_at is not None and self._clock() < retry_at

    def _next(self, waiting: Iterable[Task]) -> _Turn | None:
        """Return the oldest part of a window that is left, and all tasks that have it next."""
        turns: dict[tuple[Mode, Period], list[Task]] = defaultdict(list)
        for task in waiting:
            if task.scope.horizon is None or task.scope.horizon < task.window.end:
                continue  # the scope has been set back, and is rated up to there first
            turns[task.mode, self._part(task)].append(task)
        if not turns:
            return None
        mode, window = min(turns, key=lambda turn: turn[1])
        periods = max(1, (window.end - window.begin) // datetime.timedelta(seconds=self._seconds))
        most = self._batch_size * min(periods, PERIODS_A_SCOPE) // periods
        return _Turn(mode, window, tuple(turns[mode, window][: max(1, most)]))

    def _part(self, task: Task) -> Period:
        periods = 1 if task.mode is Mode.COLLECT else PERIODS_AT_ONCE
        end = task.next_begin + datetime.timedelta(seconds=periods * self._seconds)
        return Period(task.next_begin, min(end, task.window.end))

    def _do(self, turn: _Turn) -> None:
        try:
            self._pipeline.refresh()
            found = self._collected if turn.mode is Mode.COLLECT else self._priced
            self._finish(turn.window, found(turn))
            return
        except NoSource as error:
            self._wait(turn, error)
            return
        except (CollectError, RatingError, StorageError) as error:
            failure = error
        raise_if_away(failure)
        if len(turn.tasks) == 1 or isinstance(failure, SourceUnavailable):
            self._fail(turn, turn.tasks, failure)
            return
        middle = len(turn.tasks) // 2
        self._do(turn._replace(tasks=turn.tasks[:middle]))
        self._do(turn._replace(tasks=turn.tasks[middle:]))

    # -- usage from the source -----------------------------------------------------------------

    def _collected(self, turn: _Turn) -> dict[Task, _Content]:
        frames = self._worker.collect(Batch(turn.window, tuple(task.scope for task in turn.tasks)))
        contents = {}
        refused: dict[Task, Exception] = {}
        for task in turn.tasks:
            frame = frames[task.scope.scope.identifier]
            before: Sequence[Stretch] = ()
            if task.dry_run or not frame.usage:
                before = self._storage.stretches(task.scope, turn.window)
            if before and not frame.usage:
                contents[task] = _Content(before, before, _gone(turn.window))
                continue
            try:
                contents[task] = _Content(before, [Stretch(self._rated(task, frame), 1)])
            except (RatingError, EvaluationError) as error:
                refused[task] = error
        self._fail_each(turn, refused)
        return contents

    # -- usage from the ledger -----------------------------------------------------------------

    def _priced(self, turn: _Turn) -> dict[Task, _Content]:
        contents = {}
        refused: dict[Task, Exception] = {}
        for task in turn.tasks:
            before = self._storage.stretches(task.scope, turn.window)
            try:
                after = [new for old in before for new in self._priced_anew(task, old)]
            except (RatingError, EvaluationError) as error:
                refused[task] = error
                continue
            contents[task] = _Content(before, after)
        self._fail_each(turn, refused)
        return contents

    def _priced_anew(self, task: Task, old: Stretch) -> Iterator[Stretch]:
        """Yield the stretch with the prices of today's rules, cut where those change."""
        left = old.periods
        stretch = old.frame.period
        while left:
            count = self._alike(task, stretch, left)
            usage = {
                metric: Points(list(points.series), list(points.qty))
                for metric, points in old.frame.usage.items()
            }
            yield Stretch(self._rated(task, DataFrame(stretch, usage)), count)
            left -= count
            stretch = Period.of(
                stretch.begin + count * (stretch.end - stretch.begin), stretch.seconds
            )

    def _alike(self, task: Task, stretch: Period, left: int) -> int:
        """Return for how many periods from *stretch* on the same prices are known to hold."""
        until = self._pipeline.steady_until(task.scope.scope.identifier, stretch.begin)
        if until is None:
            return left
        length = stretch.end - stretch.begin
        return max(1, min(left, -((stretch.begin - until) // length)))

    def _rated(self, task: Task, frame: DataFrame) -> DataFrame:
        return self._worker.price(task.scope, frame)

    # -- results -------------------------------------------------------------------------------

    def _finish(self, window: Period, contents: Mapping[Task, _Content]) -> None:
        writing = {task.scope: c.after for task, c in contents.items() if not task.dry_run}
        overtaken = self._storage.rewrite(window, writing) if writing else ()
        for task, content in contents.items():
            if task.scope in overtaken:
                continue  # its horizon has moved since it was read; the next look finds it there
            self._failures.pop(task.id, None)
            result = _compared(task.result, content) if task.dry_run else None
            self._tasks.progress(
                task, window.end, self._clock(), note=content.note or task.note, result=result
            )

    def _fail_each(self, turn: _Turn, refused: Mapping[Task, Exception]) -> None:
        for task, error in refused.items():
            self._fail(turn, [task], error)

    def _wait(self, turn: _Turn, error: NoSource) -> None:
        """As ``_fail``, but nobody has failed, and what is wrong has been logged already."""
        retry_at = self._clock() + datetime.timedelta(seconds=self._retry.first)
        for task in turn.tasks:
            self._failures[task.id] = self._failures.get(task.id, (0, retry_at))[0], retry_at
            self._tasks.note(task, f"{turn.window}: {error}")

    def _fail(self, turn: _Turn, tasks: Sequence[Task], error: Exception) -> None:
        for task in tasks:
            failures = self._failures.get(task.id, (0, None))[0] + 1
            pause = back_off(failures, self._retry.first, self._retry.longest)
            self._failures[task.id] = failures, self._clock() + pause
            self._tasks.note(task, f"{turn.window}: {error}")
            LOG.error(
                "reprocessing task %d, %s, %s: %s; trying again in %d s",
                task.id,
                task.scope.scope,
                turn.window,
                error,
                pause.total_seconds(),
            )


def _gone(window: Period) -> str:
    return (
        f"the source has no usage any more for {window.begin.isoformat()} and maybe before: such "
        "periods keep their content; mode 'rate' computes prices from the usage in the ledger"
    )


def _compared(known: Mapping[str, Difference], content: _Content) -> dict[str, Difference]:
    """Return the totals by metric, with those of one more part of the window."""
    before, after = _totals(content.before), _totals(content.after)
    nothing = Difference(money.ZERO, money.ZERO)
    return {
        metric: Difference(
            money.total((known.get(metric, nothing).before, before.get(metric, money.ZERO))),
            money.total((known.get(metric, nothing).after, after.get(metric, money.ZERO))),
        )
        for metric in sorted(known.keys() | before.keys() | after.keys())
    }


def _totals(stretches: Iterable[Stretch]) -> dict[str, Decimal]:
    totals: dict[str, Decimal] = {}
    for frame, periods in stretches:
        for metric, points in frame.usage.items():
            price = money.times(money.total(points.price), periods)
            totals[metric] = money.total((totals.get(metric, money.ZERO), price))
    return totals
