# SPDX-License-Identifier: Apache-2.0
"""The tables of the old service that are read, and the schema heads that they are known at.

Columns have the types that reading needs: amounts have none, so that they come as the driver has
them and no type rounds them on the way.
"""

from typing import Any, NamedTuple

import sqlalchemy as sa

METADATA = sa.MetaData()


class Part(NamedTuple):
    """Tables that share one version table."""

    head: str
    tables: tuple[str, ...]
    needed: bool = False


PARTS = {
    "cloudkitty_alembic": Part(
        "385e33fef139", ("modules_state", "service_to_collector_mappings"), needed=True
    ),
    "storage_states_alembic": Part(
        "9feccd32",
        ("cloudkitty_storage_states", "storage_scope_reprocessing_schedule"),
        needed=True,
    ),
    "hashmap_alembic": Part(
        "8a591f85865f",
        (
            "hashmap_services",
            "hashmap_fields",
            "hashmap_groups",
            "hashmap_mappings",
            "hashmap_thresholds",
        ),
    ),
    "pyscripts_alembic": Part("c6e4cda29654", ("pyscripts_scripts",)),
    "storage_sqlalchemy_alembic": Part("d875621d0384", ("rated_data_frames",)),
}
"""By version table."""


def _table(name: str, *columns: str | sa.Column[Any]) -> sa.Table:
    made = [sa.Column(column) if isinstance(column, str) else column for column in columns]
    return sa.Table(name, METADATA, *made)


def _moments(*names: str) -> list[sa.Column[Any]]:
    return [sa.Column(name, sa.DateTime) for name in names]


def _dated() -> list[str | sa.Column[Any]]:
    names = ("name", "description", "created_by", "updated_by", "deleted_by")
    return [*names, *_moments("start", "end", "created_at", "deleted")]


def _text(name: str) -> sa.Column[Any]:
    return sa.Column(name, sa.Text)


modules_state = _table("modules_state", "name", "state", "priority")
collectors = _table("service_to_collector_mappings", "service", "collector")
services = _table("hashmap_services", "id", "service_id", "name")
fields = _table("hashmap_fields", "id", "field_id", "name", "service_id")
groups = _table("hashmap_groups", "id", "group_id", "name")
mappings = _table(
    "hashmap_mappings",
    *("id", "mapping_id", "value", "cost", "map_type"),
    *("service_id", "field_id", "group_id", "tenant_id"),
    *_dated(),
)
thresholds = _table(
    "hashmap_thresholds",
    *("id", "threshold_id", "level", "cost", "map_type"),
    *("service_id", "field_id", "group_id", "tenant_id"),
)
scripts = _table("pyscripts_scripts", "id", "script_id", "data", *_dated())
states = _table(
    "cloudkitty_storage_states",
    *("id", "identifier", "scope_key", "fetcher", "collector", "active"),
    *_moments("last_processed_timestamp", "scope_activation_toggle_date"),
)
schedule = _table(
    "storage_scope_reprocessing_schedule",
    *("id", "identifier", "reason"),
    *_moments("start_reprocess_time", "end_reprocess_time", "current_reprocess_time"),
)
rated = _table(
    "rated_data_frames",
    *("id", _text("tenant_id"), _text("unit"), "qty", _text("res_type"), "rate", _text("desc")),
    *_moments("begin", "end"),
)
