# SPDX-License-Identifier: Apache-2.0
"""Checks that the database answers and has the schema that this program needs.

Invariant: nothing is made: a SQLite file that is missing stays missing.
"""

import os

from oslo_config import cfg
from sqlalchemy.engine import make_url

from cloudkitty.config import ConfigurationError
from cloudkitty.db import migration
from cloudkitty.db.engine import Database, DatabaseErrors, explain
from cloudkitty.db.migration import SchemaError
from cloudkitty.doctor.bounded import Deadline, TookTooLong
from cloudkitty.doctor.finding import Finding, error, ok

SUBJECT = "database"

SECONDS = 60
"""Within which the database has to answer."""


def check(conf: cfg.ConfigOpts, deadline: Deadline) -> tuple[Finding, Database | None]:
    """Return the finding, and the database if it can be used."""
    try:
        database = Database(conf)
        problem = _missing_file(database) or deadline.call(lambda: _problem(database), SECONDS)
    except (ConfigurationError, cfg.Error, ValueError) as failure:
        return error(SUBJECT, str(failure)), None
    except TookTooLong as late:
        return error(SUBJECT, f"[database] connection {_hidden(database)}: {late}"), None
    if problem:
        return error(SUBJECT, problem), None
    text = f"{_hidden(database)} answers and is at schema {migration.head()}"
    return ok(SUBJECT, text), database


def _problem(database: Database) -> str | None:
    try:
        migration.require_head(database)
    except SchemaError as failure:
        return f"[database] connection {_hidden(database)}: {failure}"
    except DatabaseErrors as failure:
        return explain(failure, database.url)
    return None


def _missing_file(database: Database) -> str | None:
    path = make_url(database.url).database
    if database.dialect != "sqlite" or not path or path == ":memory:" or os.path.exists(path):
        return None
    if not os.path.isdir(os.path.dirname(os.path.abspath(path))):
        return explain(FileNotFoundError(path), database.url)
    return (
        f"[database] connection {_hidden(database)}: there is no such file; "
        "run cloudkitty-dbsync upgrade"
    )


def _hidden(database: Database) -> str:
    return make_url(database.url).render_as_string(hide_password=True)
