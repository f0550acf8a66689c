# SPDX-License-Identifier: Apache-2.0
"""Reprocessing tasks in the database.

Invariants: unfinished tasks of one scope do not overlap; several tasks are added together or not
at all; a task that was cancelled is not changed any more.
"""

import datetime
import json
from collections.abc import Collection, Mapping, Sequence
from decimal import Decimal
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from cloudkitty import money
from cloudkitty.db.engine import Database
from cloudkitty.db.models import reprocessing_tasks, scopes
from cloudkitty.period import Period
from cloudkitty.scope import Scope, ScopeState
from cloudkitty.task import Difference, Mode, NewTask, Task, TaskState

_TASK = reprocessing_tasks.c
_SCOPE = scopes.c


class TaskConflict(Exception):
    """An unfinished task of the same scope overlaps."""

    def __init__(self, wanted: NewTask, window: Period) -> None:
        super().__init__(
            f"{wanted.scope.scope.identifier}: {wanted.window} overlaps the unfinished task "
            f"of {window}"
        )


class TaskStore:
    """Adds, lists and moves tasks on."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, wanted: Sequence[NewTask], now: datetime.datetime) -> None:
        """Add the tasks.

        :raises TaskConflict: one overlaps an unfinished task; none has been added.
        """
        if not wanted:
            return
        with self._database.writer() as connection:
            ids = sorted({new.scope.id for new in wanted})
            # One after the other: two callers must not add what overlaps.
            connection.execute(
                sa.select(_SCOPE.id).where(_SCOPE.id.in_(ids)).order_by(_SCOPE.id).with_for_update()
            ).all()
            _refuse_overlaps(connection, wanted, ids)
            connection.execute(reprocessing_tasks.insert(), [_row(new, now) for new in wanted])

    def unfinished(self) -> Sequence[Task]:
        """Return the tasks that have something left to do, oldest first."""
        with self._database.reader() as connection:
            return _tasks(connection, _select().where(_TASK.state == TaskState.WAITING))

    def list(
        self,
        identifiers: Collection[str] | None = None,
        *,
        newest_first: bool = True,
        offset: int = 0,
        limit: int | None = None,
        after: int | None = None,
    ) -> Sequence[Task]:
        """Return a page of tasks, finished ones too, of some scopes or of all; *offset* counts
        from behind the task with the id *after*."""
        statement = _select(newest_first).offset(offset).limit(limit)
        if after is not None:
            statement = statement.where(_TASK.id < after if newest_first else _TASK.id > after)
        if identifiers is not None:
            statement = statement.where(_SCOPE.identifier.in_(identifiers))
        with self._database.reader() as connection:
            return _tasks(connection, statement)

    def get(self, task_id: int) -> Task | None:
        with self._database.reader() as connection:
            found = _tasks(connection, _select().where(_TASK.id == task_id))
        return found[0] if found else None

    def cancel(self, task_id: int, now: datetime.datetime) -> bool:
        """Let nothing more of a task be done; return whether anything was left."""
        with self._database.writer() as connection:
            changed = connection.execute(
                reprocessing_tasks.update()
                .where(_TASK.id == task_id, _TASK.state == TaskState.WAITING)
                .values(state=TaskState.CANCELLED, finished_at=now)
            )
        return changed.rowcount > 0

    def progress(
        self,
        task: Task,
        current: datetime.datetime,
        now: datetime.datetime,
        *,
        note: str | None = None,
        result: Mapping[str, Difference] | None = None,
    ) -> None:
        """Note that everything before *current* is done, and maybe the whole task."""
        done = current >= task.window.end
        values: dict[str, Any] = {"current": current}
        if note is not None:
            values["note"] = note
        if result is not None:
            values["result"] = _result_text(result)
        if done:
            values |= {"state": TaskState.DONE, "finished_at": now}
        with self._database.writer() as connection:
            connection.execute(
                reprocessing_tasks.update()
                .where(_TASK.id == task.id, _TASK.state == TaskState.WAITING)
                .values(**values)
            )

    def note(self, task: Task, note: str) -> None:
        """Say what an operator should know of a task."""
        with self._database.writer() as connection:
            connection.execute(
                reprocessing_tasks.update().where(_TASK.id == task.id).values(note=note)
            )


def _select(newest_first: bool = False) -> sa.Select[Any]:
    order = _TASK.id.desc() if newest_first else _TASK.id.asc()
    return (
        sa.select(
            reprocessing_tasks,
            _SCOPE.identifier,
            _SCOPE.scope_key,
            _SCOPE.fetcher,
            _SCOPE.collector,
            _SCOPE.starts_at,
            _SCOPE.horizon,
            _SCOPE.version,
            _SCOPE.active,
            _SCOPE.toggled_at,
        )
        .join_from(reprocessing_tasks, scopes)
        .order_by(order)
    )


def _tasks(connection: Connection, statement: sa.Select[Any]) -> list[Task]:
    return [
        Task(
            id=row.id,
            scope=ScopeState(
                id=row.scope_id,
                scope=Scope(row.identifier, row.scope_key, row.fetcher, row.collector),
                starts_at=row.starts_at,
                horizon=row.horizon,
                version=row.version,
                active=row.active,
                toggled_at=row.toggled_at,
            ),
            window=Period(row.begin, row.end),
            current=row.current,
            reason=row.reason,
            mode=Mode(row.mode),
            dry_run=row.dry_run,
            state=TaskState(row.state),
            note=row.note,
            result=_result_of(row.result),
        )
        for row in connection.execute(statement)
    ]


def _row(new: NewTask, now: datetime.datetime) -> dict[str, Any]:
    return {
        "scope_id": new.scope.id,
        "begin": new.window.begin,
        "end": new.window.end,
        "reason": new.reason,
        "mode": new.mode.value,
        "dry_run": new.dry_run,
        "state": TaskState.WAITING.value,
        "created_at": now,
    }


def _refuse_overlaps(connection: Connection, wanted: Sequence[NewTask], ids: Sequence[int]) -> None:
    rows = connection.execute(
        sa.select(_TASK.scope_id, _TASK.begin, _TASK.end).where(
            _TASK.scope_id.in_(ids), _TASK.state == TaskState.WAITING
        )
    )
    waiting: dict[int, list[Period]] = {}
    for scope_id, begin, end in rows:
        waiting.setdefault(scope_id, []).append(Period(begin, end))
    for new in wanted:
        windows = waiting.setdefault(new.scope.id, [])
        for window in windows:
            if new.window.begin < window.end and window.begin < new.window.end:
                raise TaskConflict(new, window)
        windows.append(new.window)


def _result_text(result: Mapping[str, Difference]) -> str:
    return json.dumps(
        {metric: [money.text(amount) for amount in pair] for metric, pair in result.items()}
    )


def _result_of(text: str | None) -> dict[str, Difference]:
    pairs = json.loads(text) if text else {}
    return {
        metric: Difference(Decimal(before), Decimal(after))
        for metric, (before, after) in pairs.items()
    }
