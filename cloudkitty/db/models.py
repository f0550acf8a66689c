# SPDX-License-Identifier: Apache-2.0
"""The tables of the core: scopes, state of rating modules, collector mappings."""

import sqlalchemy as sa

from cloudkitty.db.schema import METADATA, TABLE_OPTIONS, Instant

scopes = sa.Table(
    "scopes",
    METADATA,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("identifier", sa.String(255), nullable=False),
    sa.Column("scope_key", sa.String(64), nullable=False),
    sa.Column("fetcher", sa.String(64), nullable=False),
    sa.Column("collector", sa.String(64), nullable=False),
    sa.Column("active", sa.Boolean, nullable=False, default=True),
    sa.Column("toggled_at", Instant, nullable=False),
    # Start of the first period that is, or was, to be rated.
    sa.Column("starts_at", Instant, nullable=False),
    # Everything before this instant has been rated; null before the first period.
    sa.Column("horizon", Instant),
    # Moves with every change of the scope's part of the ledger.
    sa.Column("version", sa.BigInteger, nullable=False, default=0),
    sa.Column("failures", sa.Integer, nullable=False, default=0),
    sa.Column("retry_at", Instant),
    sa.Column("last_error", sa.Text),
    # When the fetcher first did not list it any more; null while it does.
    sa.Column("gone_at", Instant),
    sa.UniqueConstraint("identifier", "scope_key", "collector", "fetcher"),
    **TABLE_OPTIONS,
)

modules_state = sa.Table(
    "modules_state",
    METADATA,
    sa.Column("name", sa.String(255), primary_key=True),
    sa.Column("state", sa.Boolean, nullable=False, default=False),
    sa.Column("priority", sa.Integer),
    # Moves with every change of the module's rules, so that others know to read them again.
    sa.Column("revision", sa.BigInteger, nullable=False, default=0),
    **TABLE_OPTIONS,
)

service_to_collector_mappings = sa.Table(
    "service_to_collector_mappings",
    METADATA,
    sa.Column("service", sa.String(255), primary_key=True),
    sa.Column("collector", sa.String(255), nullable=False),
    **TABLE_OPTIONS,
)

collector_states = sa.Table(
    "collector_states",
    METADATA,
    sa.Column("name", sa.String(255), primary_key=True),
    sa.Column("enabled", sa.Boolean, nullable=False),
    **TABLE_OPTIONS,
)

coverage_troubles = sa.Table(
    "coverage_troubles",
    METADATA,
    sa.Column("scope_id", sa.Integer, sa.ForeignKey("scopes.id"), primary_key=True),
    # As rating and storage know it; empty for the scope as a whole.
    sa.Column("metric", sa.String(255), primary_key=True),
    sa.Column("state", sa.String(16), nullable=False),
    # Of the period that could not be rated: a row about a period of the past says nothing.
    sa.Column("begin", Instant, nullable=False),
    sa.Column("since", Instant, nullable=False),
    sa.Column("error", sa.Text, nullable=False),
    **TABLE_OPTIONS,
)

reprocessing_tasks = sa.Table(
    "reprocessing_tasks",
    METADATA,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("scope_id", sa.Integer, sa.ForeignKey("scopes.id"), nullable=False, index=True),
    # The window, half-open, and the instant up to which it has been done.
    sa.Column("begin", Instant, nullable=False),
    sa.Column("end", Instant, nullable=False),
    sa.Column("current", Instant),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("mode", sa.String(16), nullable=False),
    sa.Column("dry_run", sa.Boolean, nullable=False),
    sa.Column("state", sa.String(16), nullable=False, index=True),
    # What an operator should know of it.
    sa.Column("note", sa.Text),
    # JSON: by metric, the total before and after.
    sa.Column("result", sa.Text),
    sa.Column("created_at", Instant, nullable=False),
    sa.Column("finished_at", Instant),
    **TABLE_OPTIONS,
)
