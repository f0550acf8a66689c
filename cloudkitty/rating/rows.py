# SPDX-License-Identifier: Apache-2.0
"""What the tables of rating modules have in common, and the statements on them.

Invariant: a deleted rule keeps its row, and not its live name, which is unique.
"""

import contextlib
import dataclasses
import datetime
from collections.abc import Iterator
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from cloudkitty import period
from cloudkitty.db.engine import Database
from cloudkitty.db.schema import Instant
from cloudkitty.rating import errors
from cloudkitty.rating.dated import DatedFilter, DatedRule
from cloudkitty.rating.state import move_revision


def dated_columns() -> list[sa.Column[Any]]:
    """Return new columns for the name, the validity and the audit of a rule."""
    return [
        sa.Column("name", sa.String(255), nullable=False),
        # The name while the rule is live, so that a deleted one's is free again.
        sa.Column("live_name", sa.String(255), unique=True),
        sa.Column("description", sa.String(256)),
        sa.Column("start", Instant, nullable=False),
        sa.Column("end", Instant),
        sa.Column("created_at", Instant, nullable=False),
        sa.Column("created_by", sa.String(255), nullable=False),
        sa.Column("updated_by", sa.String(255)),
        sa.Column("deleted", Instant),
        sa.Column("deleted_by", sa.String(255)),
    ]


_DATED = [field.name for field in dataclasses.fields(DatedRule)]


def dated_values(row: sa.Row[Any]) -> dict[str, Any]:
    """Return what a ``DatedRule`` is made of."""
    return {name: getattr(row, name) for name in _DATED}


def mark_deleted(now: datetime.datetime, user: str) -> dict[str, Any]:
    """Return what deleting a rule writes."""
    return {"deleted": period.utc(now), "deleted_by": user, "live_name": None}


@contextlib.contextmanager
def writer(database: Database, module: str) -> Iterator[Connection]:
    """A transaction that changes the rules of *module*; such transactions happen one after the
    other."""
    with database.writer() as connection:
        move_revision(connection, module)
        yield connection


def find(
    connection: Connection, statement: sa.Select[Any], column: sa.Column[str], wanted: str
) -> sa.Row[Any] | None:
    """Return the row whose public id is *wanted*."""
    if "\0" in wanted:
        return None  # PostgreSQL refuses to look for it.
    return connection.execute(statement.where(column == wanted)).first()


def refuse_taken(
    connection: Connection,
    noun: str,
    id_column: sa.Column[str],
    name_column: sa.Column[str],
    name: str,
    *among: sa.ColumnElement[bool],
) -> None:
    """:raises Conflict: there is an object with that name."""
    statement = sa.select(id_column).where(name_column == name, *among)
    taken_by = connection.execute(statement).scalar()
    if taken_by is not None:
        raise errors.name_taken(noun, name, taken_by)


def dated_conditions(
    rules: sa.Table, wanted: DatedFilter, now: datetime.datetime
) -> list[sa.ColumnElement[bool]]:
    """Return the filter of rules with dates, but for the description."""
    columns = rules.c
    conditions: list[sa.ColumnElement[bool]] = []
    if not wanted.deleted or wanted.is_active:
        conditions.append(columns.deleted.is_(None))
    if wanted.is_active:
        conditions.append(columns.start <= now)
        conditions.append(sa.or_(columns.end.is_(None), columns.end > now))
    if wanted.start is not None:
        conditions.append(columns.start >= wanted.start)
    if wanted.end is not None:
        conditions.append(columns.end < wanted.end)
    for name in ("created_by", "updated_by", "deleted_by"):
        value = getattr(wanted, name)
        if value is not None:
            conditions.append(columns[name] == value)
    return conditions


def searchable(wanted: Any) -> bool:
    """Whether anything can match a filter; no database keeps a null character, and PostgreSQL
    fails on being asked for one."""
    values = (getattr(wanted, name) for name in wanted.__dataclass_fields__)
    return not any(isinstance(value, str) and "\0" in value for value in values)
