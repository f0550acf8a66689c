# SPDX-License-Identifier: Apache-2.0
"""``/v2/task/reprocesses``: have windows of the past rated again.

Invariants: what is asked for is checked for every scope before anything is kept; windows are
half-open, lie on the scope's own periods and before its horizon.
"""

import datetime
from collections.abc import Sequence
from decimal import Decimal
from typing import Annotated, Any, Literal, NotRequired, TypedDict

from cloudkitty import period
from cloudkitty.api.context import ApiContext
from cloudkitty.api.v2 import paging
from cloudkitty.api.v2.arguments import (
    Argument,
    choice,
    flag,
    instant,
    listed,
    reads,
    single,
    text,
)
from cloudkitty.api.v2.node import Node, Nothing, expose
from cloudkitty.api.v2.several import several
from cloudkitty.db.scopes import ScopeStore
from cloudkitty.db.tasks import TaskConflict, TaskStore
from cloudkitty.period import Period
from cloudkitty.rest import errors, schema
from cloudkitty.rest.request import Request
from cloudkitty.rest.streams import Streamed
from cloudkitty.scope import ScopeState
from cloudkitty.storage.base import Marker
from cloudkitty.task import Mode, NewTask, Task, TaskState

LISTING = "reprocesses"

ALL = "ALL"

LONGEST_REASON = 4096


@reads({"type": "string", "enum": ["asc", "desc"]})
def _order(value: str) -> str:
    return str(choice("asc", "desc")(value.lower()))


@reads({**text(1, LONGEST_REASON).schema, "pattern": r"\S"})
def _reason(value: Any) -> str:
    if not isinstance(value, str) or not value.strip():
        raise ValueError("is empty; say why")
    return str(text(1, LONGEST_REASON)(value))


Instant = Annotated[str, schema.Told(schema.GIVEN_NAIVE_INSTANT)]


class DifferenceForm(TypedDict):
    """Exact totals of a metric before and after a task."""

    before: Decimal
    after: Decimal
    difference: Decimal


class TaskForm(TypedDict):
    """A reprocessing task; ``current_reprocess_time`` is empty until it has begun."""

    id: int
    scope_id: str
    reason: str
    start_reprocess_time: Instant
    end_reprocess_time: Instant
    current_reprocess_time: Instant | Literal[""]
    mode: Mode
    dry_run: bool
    state: TaskState
    note: str | None
    result: dict[str, DifferenceForm]


class Tasks(TypedDict):
    """A page of reprocessing tasks; ``next`` is the ``marker`` of the page that follows."""

    results: list[TaskForm]
    next: NotRequired[str]


class TaskController(Node):
    def __init__(self, context: ApiContext) -> None:
        super().__init__(context)
        self.children = {"reprocesses": ReprocessesController(context)}


class ReprocessesController(Node):
    def __init__(self, context: ApiContext) -> None:
        super().__init__(context)
        self._scopes = ScopeStore(context.database)
        self._tasks = TaskStore(context.database)

    @expose(
        *paging.page(LISTING),
        listed("scope_ids", text()),
        single("order", _order, "desc"),
        rule="schedule:get_task_reprocesses",
    )
    def get_all(
        self,
        request: Request,
        scope_ids: Sequence[str] | None,
        **more: Any,
    ) -> Streamed[Tasks]:
        """List reprocessing tasks, finished ones too."""
        about = ",".join(scope_ids) if scope_ids else request.caller.project_id
        self.authorize(request, tenant_id=about, project_id=about)
        return self._page(request, scope_ids, **more)

    @expose(
        *paging.page(LISTING),
        listed("scope_ids", text()),
        single("order", _order, "desc"),
        path=1,
        rule="schedule:get_task_reprocesses",
    )
    def get_one(
        self, request: Request, scope_id: str, scope_ids: object, **more: Any
    ) -> Streamed[Tasks]:
        """List the reprocessing tasks of one scope; *scope_ids* is ignored here."""
        self.authorize(request, tenant_id=scope_id, project_id=scope_id)
        try:
            wanted = [text()(scope_id)]
        except ValueError as error:
            raise errors.InvalidData(problems=f"{error} (path: 'scope_id')") from None
        return self._page(request, wanted, **more)

    def _page(
        self,
        request: Request,
        scope_ids: Sequence[str] | None,
        *,
        order: str,
        offset: int,
        limit: int,
        marker: Marker | None,
    ) -> Streamed[Tasks]:
        found = self._tasks.list(
            scope_ids,
            newest_first=order == "desc",
            offset=offset,
            limit=limit + 1,
            after=paging.key(marker),
        )
        return paging.keyed(request, LISTING, found, limit, lambda task: task.id, self._shown)

    @expose(
        body=[
            Argument("scope_ids", several, required=True),
            Argument("start_reprocess_time", instant, required=True),
            Argument("end_reprocess_time", instant, required=True),
            Argument("reason", _reason, required=True),
            Argument("mode", choice(*Mode), Mode.COLLECT.value),
            Argument("dry_run", flag, False),
        ],
        status=202,
        rule="schedule:task_reprocesses",
    )
    def post(
        self,
        request: Request,
        scope_ids: Sequence[str],
        start_reprocess_time: datetime.datetime,
        end_reprocess_time: datetime.datetime,
        reason: str,
        mode: str,
        dry_run: bool,
    ) -> Nothing:
        """Have a window of the past of scopes rated again, or only say what that would change."""
        about = request.caller.project_id
        self.authorize(request, tenant_id=about, project_id=about)
        if ALL in scope_ids and len(scope_ids) > 1:
            raise errors.InvalidData(
                problems="'ALL' stands for every scope; leave the others out (path: 'scope_ids')"
            )
        if end_reprocess_time <= start_reprocess_time:
            raise errors.InvalidData(
                problems="the end is not after the start; the period that starts at the end is "
                "not rated again (path: 'end_reprocess_time')"
            )
        window = Period(start_reprocess_time, end_reprocess_time)
        states = self._chosen(scope_ids)
        cuts = self.context.storage.purged_until([state.id for state in states])
        problems = [
            problem
            for state in states
            if (problem := self._problem(state, window, cuts.get(state.id)))
        ]
        if problems:
            raise errors.InvalidData(problems="; ".join(problems[:20]))
        wanted = [NewTask(state, window, reason, Mode(mode), dry_run) for state in states]
        try:
            self._tasks.add(wanted, period.utc(datetime.datetime.now(period.UTC)))
        except TaskConflict as error:
            raise errors.InvalidData(problems=str(error)) from None
        return {}

    @expose(path=1, status=204, rule="schedule:task_reprocesses")
    def delete(self, request: Request, task_id: str) -> None:
        """Let nothing more of a task be done; what has been done stays."""
        about = request.caller.project_id
        self.authorize(request, tenant_id=about, project_id=about)
        key = int(task_id) if task_id.isascii() and task_id.isdigit() else 0
        if not 0 < key < 2**31 or self._tasks.get(key) is None:
            raise errors.NothingFound()
        if not self._tasks.cancel(key, period.utc(datetime.datetime.now(period.UTC))):
            raise errors.TaskFinished(task_id=task_id)

    def _chosen(self, scope_ids: Sequence[str]) -> Sequence[ScopeState]:
        """Return the scopes with these ids.

        :raises errors.InvalidData: one does not exist.
        """
        if list(scope_ids) == [ALL]:
            return self._scopes.find({}, active=[True])
        found = self._scopes.find({"identifier": scope_ids})
        missing = sorted(set(scope_ids) - {state.scope.identifier for state in found})
        if missing:
            raise errors.InvalidData(
                problems=f"scopes {', '.join(missing)[:500]} do not exist. (path: 'scope_ids')"
            )
        return found

    def _problem(
        self, state: ScopeState, window: Period, cut: datetime.datetime | None
    ) -> str | None:
        """Return what is wrong with the window for this scope, whose points before *cut* have been
        purged."""
        name = state.scope.identifier
        if cut is not None and window.begin < cut:
            return (
                f"{name}: the points before {cut.isoformat()} have been purged and stay as they "
                "are; only what begins then or later can be rated again"
            )
        if state.horizon is None or state.horizon < window.end:
            reached = "nothing yet" if state.horizon is None else state.horizon.isoformat()
            return f"{name}: the window reaches beyond what has been rated ({reached})"
        length = self.context.conf.collect.period
        first = period.epoch(state.starts_at)
        begin, end = period.epoch(window.begin), period.epoch(window.end)
        if (begin - first) % length == 0 == (end - first) % length:
            return None
        valid = begin - (begin - first) % length
        until = max(end - (end - first) % length, valid + length)
        return (
            f"{name}: the window does not lie on periods of {length} s; the nearest that does is "
            f"{period.from_epoch(valid).isoformat()} to {period.from_epoch(until).isoformat()}"
        )

    def _shown(self, task: Task) -> TaskForm:
        length = datetime.timedelta(seconds=self.context.conf.collect.period)
        last = None if task.current is None else task.current - length
        return {
            "id": task.id,
            "scope_id": task.scope.scope.identifier,
            "reason": task.reason,
            "start_reprocess_time": _naive(task.window.begin),
            "end_reprocess_time": _naive(task.window.end),
            "current_reprocess_time": "" if last is None else _naive(last),
            "mode": task.mode,
            "dry_run": task.dry_run,
            "state": task.state,
            "note": task.note,
            "result": {
                metric: {
                    "before": pair.before,
                    "after": pair.after,
                    "difference": pair.after - pair.before,
                }
                for metric, pair in task.result.items()
            },
        }


def _naive(moment: datetime.datetime) -> str:
    return moment.replace(tzinfo=None).isoformat()
