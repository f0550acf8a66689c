# SPDX-License-Identifier: Apache-2.0
"""Rows that are inserted in bulk come back as they were, on every database."""

import pytest
import sqlalchemy as sa

from cloudkitty.db.engine import Database
from cloudkitty.storage.sqlalchemy import bulk, keys, models
from cloudkitty.tests.builders import states

TEXTS = [
    "",
    "plain",
    'it\'s "quoted" `twice`',
    "'; DROP TABLE series; --",
    "\\",
    "back\\slash, \\' and \\\\",
    "100 % of %s, %(name)s, :name and ?",
    "line\nbreak, carriage\rreturn, tab\t, \x1a and \x01",
    "naïve — 日本語 — 🙂 — e\u0301",
    "NULL",
    "\\N",
]


def check(database: Database, texts: list[str]) -> None:
    """Insert a series for each text, and compare it with what is found."""
    state = states(database, "scope")["scope"]
    rows: list[bulk.Row] = [
        (number, state.id, number.to_bytes(16, "big"), "m", "unit", text or None, text, text)
        for number, text in enumerate(texts)
    ]
    with database.writer() as connection:
        bulk.insert(connection, models.series, keys.SERIES_COLUMNS, rows)
    columns = [models.series.c[name] for name in keys.SERIES_COLUMNS]
    with database.reader() as connection:
        found = connection.execute(sa.select(*columns).order_by(models.series.c.id))
        assert [(*row[:2], bytes(row[2]), *row[3:]) for row in found] == rows


def test_every_text_comes_back_as_it_was(database: Database) -> None:
    check(database, TEXTS)


def test_statements_are_cut_where_they_would_be_too_long(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bulk, "STATEMENT_LENGTH", 300)
    check(database, [text * times for text in TEXTS for times in (1, 9)])


def test_a_server_for_which_a_backslash_is_a_letter(database: Database) -> None:
    if database.dialect != "mysql":
        pytest.skip("only MariaDB and MySQL have this mode")

    @sa.event.listens_for(database.engine, "connect")
    def prepare(connection, _record) -> None:
        with connection.cursor() as cursor:
            cursor.execute("SET SESSION sql_mode = CONCAT(@@sql_mode, ',NO_BACKSLASH_ESCAPES')")

    check(database, TEXTS)


def test_what_is_no_integer_text_bytes_or_null_is_refused(database: Database) -> None:
    if database.dialect != "mysql":
        pytest.skip("other drivers know more types")
    with database.writer() as connection, pytest.raises(TypeError, match=r"0\.5 is no integer"):
        bulk.insert(connection, models.series, ["id"], [(0.5,)])
