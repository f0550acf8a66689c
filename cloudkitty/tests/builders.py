# SPDX-License-Identifier: Apache-2.0
"""Builders of the things that tests are about."""

import datetime
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from cloudkitty.dataframe import DataFrame, Registry
from cloudkitty.db.engine import Database
from cloudkitty.db.scopes import ScopeStore
from cloudkitty.period import UTC, Period
from cloudkitty.scope import Scope, ScopeState

HOUR = datetime.timedelta(hours=1)
NEW_YEAR = datetime.datetime(2026, 1, 1, tzinfo=UTC)


def hour(number: int) -> Period:
    """The hour of that number, counted from New Year 2026."""
    return Period(NEW_YEAR + number * HOUR, NEW_YEAR + (number + 1) * HOUR)


def frame(
    stretch: Period,
    points: list[tuple[str, Mapping[str, Any], Any, Any]],
    registry: Registry | None = None,
) -> DataFrame:
    """A frame of (metric, attributes, quantity, price); every attribute is a groupby one, but
    for those whose name begins with ``meta_``."""
    registry = registry or Registry()
    result = DataFrame(stretch)
    for metric, attributes, qty, price in points:
        series = registry.series(
            metric,
            unit="unit",
            groupby={k: v for k, v in attributes.items() if not k.startswith("meta_")},
            metadata={k: v for k, v in attributes.items() if k.startswith("meta_")},
        )
        result.add(series, Decimal(str(qty)), Decimal(str(price)))
    return result


def scope(identifier: str) -> Scope:
    return Scope(identifier, "project_id", "source", "csv")


def states(database: Database, *identifiers: str) -> dict[str, ScopeState]:
    """The states of these scopes, added where they are missing."""
    store = ScopeStore(database)
    wanted = [scope(identifier) for identifier in identifiers]
    store.ensure(wanted, starts_at=NEW_YEAR, now=NEW_YEAR)
    found = store.states(scope_key="project_id", fetcher="source", collector="csv", active=None)
    by_id = {state.scope.identifier: state for state in found}
    return {identifier: by_id[identifier] for identifier in identifiers}
