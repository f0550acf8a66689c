# SPDX-License-Identifier: Apache-2.0
"""The old service's rated rows: counted, and streamed scope by scope in the order of time.

Invariants: rows are read through a cursor on the server, some at a time; amounts come as the
decimals that they were written as; progress marks among the rows are left out.
"""

import hashlib
import json
from collections.abc import Hashable, Iterator
from contextlib import AbstractContextManager
from decimal import Decimal
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import mysql, postgresql
from sqlalchemy.engine import Connection

from cloudkitty import money, period
from cloudkitty.dataframe import Scalar, scalar
from cloudkitty.importer import binary
from cloudkitty.importer.source import Source
from cloudkitty.importer.tables import rated
from cloudkitty.importer.usage import (
    Alike,
    Described,
    Extent,
    Month,
    RatedUsage,
    Row,
    without_calendar,
)

ROWS_AT_ONCE = 5000

MARKER = "_NO_DATA_"
"""Metric of rows that say no more than that a period was without usage."""

_SEPARATOR = "\x01"
_ROW = rated.c


class Rated(RatedUsage):
    """Reads ``rated_data_frames`` of a source that has it."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._kind = source.kind
        with source.reading() as connection:
            inspector = sa.inspect(connection)
            [column] = [c for c in inspector.get_columns(rated.name) if c["name"] == "rate"]
            self.single = _is_single(column["type"], self._kind)
            self._index = next(
                (
                    index["name"]
                    for index in inspector.get_indexes(rated.name)
                    if index["column_names"][:2] == ["tenant_id", "begin"]
                ),
                None,
            )

    # -- expressions that differ between databases --------------------------------------------

    def exact(self, column: sa.ColumnElement[Any]) -> sa.ColumnElement[Any]:
        """The text of a column, compared character by character."""
        if self._kind != "mysql":
            return column
        text = sa.func.convert(sa.text(f"`{column.name}` USING utf8mb4"))  # type: ignore[attr-defined]
        return sa.type_coerce(text, sa.String).collate("utf8mb4_bin")

    def seconds(self, column: sa.ColumnElement[Any]) -> sa.ColumnElement[Any]:
        """Unix seconds of a column with naive UTC."""
        if self._kind == "mysql":
            epoch: sa.ColumnElement[str] = sa.literal_column("'1970-01-01'")
            return sa.func.timestampdiff(sa.text("SECOND"), epoch, column)
        if self._kind == "sqlite":
            return sa.cast(sa.func.strftime("%s", column), sa.Integer)
        return sa.cast(sa.func.floor(sa.extract("epoch", column)), sa.BigInteger)

    def wide_rate(self) -> sa.ColumnElement[Any]:
        """The price in double precision: MariaDB shows no more than six digits of a single."""
        rate = sa.func.coalesce(_ROW.rate, 0)
        if self._kind == "mysql":
            return rate.op("+")(sa.literal_column("0e0"))
        return rate if self._kind == "sqlite" else sa.cast(rate, postgresql.DOUBLE_PRECISION)

    def of(self, tenant: str | None) -> sa.ColumnElement[bool]:
        """The condition that a row belongs to a scope and is no mark."""
        metric = sa.or_(_ROW.res_type.is_(None), _ROW.res_type != MARKER)
        if tenant is None:
            return sa.and_(_ROW.tenant_id.is_(None), metric)
        conditions = [_ROW.tenant_id == tenant, metric]
        if self._kind == "mysql":
            conditions.append(self.exact(_ROW.tenant_id) == tenant)
        return sa.and_(*conditions)

    # -- reading ------------------------------------------------------------------------------

    def reading(self) -> AbstractContextManager[Connection]:
        return self._source.reading()

    def extents(self, connection: Connection) -> list[Extent]:
        tenant = self.exact(_ROW.tenant_id)
        statement = sa.select(
            tenant,
            sa.func.count(),
            self.seconds(sa.func.min(_ROW.begin)),
            self.seconds(sa.func.max(_ROW.end)),
        ).group_by(tenant)
        found = [Extent(*row) for row in connection.execute(statement)]
        return sorted(found, key=lambda extent: extent.tenant or "")

    def period(self, connection: Connection) -> int | None:
        length = self.seconds(_ROW.end) - self.seconds(_ROW.begin)
        seconds: int | None = connection.scalar(sa.select(length).order_by(_ROW.id.desc()).limit(1))
        return seconds

    def count(self, connection: Connection, tenant: str | None, before: int) -> int:
        moment = period.from_epoch(before).replace(tzinfo=None)
        statement = sa.select(sa.func.count()).where(self.of(tenant), _ROW.begin < moment)
        return int(connection.scalar(statement) or 0)

    def stream(
        self, connection: Connection, extent: Extent, since: int | None
    ) -> Iterator[tuple[int, int, Hashable]]:
        begin = self.seconds(_ROW.begin)
        amounts: list[Any] = [sa.func.coalesce(_ROW.qty, 0), self.wide_rate()]
        texts = [sa.func.coalesce(column, "") for column in (_ROW.res_type, _ROW.unit, _ROW.desc)]
        columns: list[Any] = [begin, self.seconds(_ROW.end), *amounts]
        if self._kind == "mysql":
            # The driver takes as long for a column as for a row.
            columns = [sa.func.concat_ws(_SEPARATOR, *columns, *texts)]
        else:
            joined: sa.ColumnElement[str] = sa.literal("", sa.Text)
            for number, text in enumerate(texts):
                joined = joined + (_SEPARATOR if number else "") + text
            columns.append(joined)
        statement = sa.select(*columns).where(self.of(extent.tenant))
        if since is not None:
            moment = period.from_epoch(since).replace(tzinfo=None)
            statement = statement.where(_ROW.begin >= moment)
        if self._index is not None:
            hint = f"FORCE INDEX ({self._index})"
            statement = statement.with_hint(rated, hint, "mysql")
        result = connection.execution_options(stream_results=True).execute(
            statement.order_by(_ROW.begin, _ROW.end)
        )
        for part in result.partitions(ROWS_AT_ONCE):
            if self._kind == "mysql":
                for (text,) in part:
                    first, last, row = text.split(_SEPARATOR, 2)
                    yield int(first), int(last), row
            else:
                for first, last, *row in part:
                    yield first, last, tuple(row)

    def decode(self, raw: Any) -> Row:
        qty, rate, what = raw.split(_SEPARATOR, 2) if isinstance(raw, str) else raw
        return Row(money.amount(qty), binary.amount(rate, self.single), what)

    def described(self, what: Any) -> Described:
        metric, unit, desc = what.split(_SEPARATOR, 2)
        return Described(metric, unit, attributes(desc), {})

    # -- comparing ----------------------------------------------------------------------------

    def alike(self, connection: Connection, extent: Extent) -> Iterator[Alike]:
        groups: list[Any] = [*self._groups()]
        amounts = [sa.func.coalesce(_ROW.qty, 0), self.wide_rate()]
        rows: Any = connection.execute(
            sa.select(*groups, sa.func.count(), *amounts)
            .where(self.of(extent.tenant))
            .group_by(*groups, *amounts)
        )
        for metric, year, month, number, qty, price in rows:
            amount = binary.amount(price, self.single)
            yield Alike(Month(metric, int(year), int(month)), number, money.amount(qty), amount)

    def reported(self, connection: Connection, extent: Extent) -> Iterator[tuple[Month, Decimal]]:
        groups: list[Any] = [*self._groups()]
        rows: Any = connection.execute(
            sa.select(*groups, sa.func.sum(self.wide_rate()))
            .where(self.of(extent.tenant))
            .group_by(*groups)
        )
        for metric, year, month, price in rows:
            yield Month(metric, int(year), int(month)), binary.amount(price or 0, single=False)

    def distinct(self, connection: Connection, tenant: str | None, month: Month) -> int:
        metric, in_year, in_month = self._groups()
        rows = connection.execution_options(stream_results=True).execute(
            sa.select(_ROW.begin, _ROW.end, _ROW.unit, _ROW.desc).where(
                self.of(tenant),
                metric == month.metric,
                in_year == month.year,
                in_month == month.month,
            )
        )
        known = set()
        for begin, end, unit, desc in rows:
            text = json.dumps([str(begin), str(end), unit, attributes(desc)], sort_keys=True)
            known.add(hashlib.blake2b(text.encode(), digest_size=16).digest())
        return len(known)

    def _groups(self) -> tuple[Any, Any, Any]:
        return (
            sa.func.coalesce(self.exact(_ROW.res_type), ""),
            sa.extract("year", _ROW.begin),
            sa.extract("month", _ROW.begin),
        )


def attributes(desc: str) -> dict[str, Scalar]:
    """Return the attributes of a row, without those that the old service made of the period."""
    try:
        known = json.loads(desc) if desc else {}
    except ValueError:
        known = desc  # cut short by the database, say: what is left is kept
    if not isinstance(known, dict):
        known = {"desc": known}
    return {name: scalar(value) for name, value in without_calendar(known).items()}


def _is_single(kind: Any, database: str) -> bool:
    if database == "postgresql":
        return isinstance(kind, sa.REAL)
    if database == "mysql":
        return isinstance(kind, mysql.FLOAT) and (kind.precision or 0) <= 24
    return False
