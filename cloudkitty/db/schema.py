# SPDX-License-Identifier: Apache-2.0
"""The one ``MetaData`` that every table belongs to, and the column types they share."""

import datetime
from decimal import Decimal
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import mysql
from sqlalchemy.engine import Dialect

from cloudkitty import money, period

METADATA = sa.MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
        "pk": "pk_%(table_name)s",
    }
)

TABLE_OPTIONS: dict[str, Any] = {
    "mysql_engine": "InnoDB",
    "mysql_charset": "utf8mb4",
    # Names and attribute values are compared byte by byte, as SQLite and PostgreSQL do.
    "mysql_collate": "utf8mb4_bin",
    "mariadb_engine": "InnoDB",
    "mariadb_charset": "utf8mb4",
    "mariadb_collate": "utf8mb4_bin",
}
"""To be passed to every ``Table``."""


class Amount(sa.types.TypeDecorator[Decimal]):
    """An exact decimal, kept as its canonical text on every database.

    Native numeric types either round (SQLite) or fix the number of decimals; a text keeps every
    digit, and equal amounts are equal texts.
    """

    impl = sa.String(money.TEXT_LENGTH)
    cache_ok = True

    def process_bind_param(self, value: Decimal | None, dialect: Dialect) -> str | None:
        return None if value is None else money.text(value)

    def process_result_value(self, value: Any | None, dialect: Dialect) -> Decimal | None:
        return None if value is None else Decimal(value)


class Sum(Amount):
    """What many amounts add up to: as ``Amount``, with room for the digits of their number."""

    impl = sa.String(money.TEXT_LENGTH + 20)
    cache_ok = True

    def process_bind_param(self, value: Decimal | None, dialect: Dialect) -> str | None:
        return None if value is None else money.digits(value)


class Instant(sa.types.TypeDecorator[datetime.datetime]):
    """An aware UTC instant, kept as whole seconds since 1970: no zone of a driver, session or
    server can shift it."""

    impl = sa.BigInteger
    cache_ok = True

    def process_bind_param(self, value: datetime.datetime | None, dialect: Dialect) -> int | None:
        return None if value is None else period.epoch(value)

    def process_result_value(self, value: Any | None, dialect: Dialect) -> datetime.datetime | None:
        return None if value is None else period.from_epoch(value)


BigId = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
"""A 64-bit key; only ``INTEGER`` counts up by itself on SQLite."""

Digest = sa.LargeBinary(16).with_variant(mysql.BINARY(16), "mysql", "mariadb")
"""A 128-bit digest that can be indexed."""

Blob = sa.LargeBinary().with_variant(mysql.MEDIUMBLOB(), "mysql", "mariadb")
"""Bytes, up to some mebibytes."""
