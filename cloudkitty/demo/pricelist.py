# SPDX-License-Identifier: Apache-2.0
"""The price list of the demo: read from prices.yml, and entered as hashmap rules.

The file is part of the package; that it is right is a matter of tests, not of error messages.
"""

import datetime
import importlib.resources
from collections.abc import Iterator, Mapping
from typing import Any

import yaml

from cloudkitty import money
from cloudkitty.rating.hashmap.records import NewMapping, NewThreshold
from cloudkitty.rating.hashmap.rules import RuleType
from cloudkitty.rating.hashmap.store import HashmapStore

Rule = NewMapping | NewThreshold


def load() -> list[dict[str, Any]]:
    """Return the services of the shipped price list as they stand in the file."""
    written = importlib.resources.files("cloudkitty.demo").joinpath("prices.yml").read_text()
    services: list[dict[str, Any]] = yaml.safe_load(written)["services"]
    return services


def enter(store: HashmapStore, *, start: datetime.datetime, now: datetime.datetime) -> int:
    """Create every service, field and rule, in force from *start*; return the number of rules."""
    count = 0
    for service in load():
        service_id = store.create_service(service["name"]).service_id
        rules = list(_rules(service, start, service_id=service_id))
        for field in service.get("fields", []):
            field_id = store.create_field(service_id, field["name"]).field_id
            rules += _rules(field, start, field_id=field_id)
        for rule in rules:
            if isinstance(rule, NewMapping):
                store.create_mapping(rule, now=now, user="demo", force=True)
            else:
                store.create_threshold(rule)
        count += len(rules)
    return count


def _rules(parent: Mapping[str, Any], start: datetime.datetime, **parent_id: Any) -> Iterator[Rule]:
    for form in parent.get("mappings", []):
        yield NewMapping(
            value=form.get("value"),
            type=RuleType(form["type"]),
            cost=money.amount(form["cost"]),
            tenant_id=form.get("project"),
            start=start,
            **parent_id,
        )
    for form in parent.get("thresholds", []):
        yield NewThreshold(
            level=money.amount(form["level"]),
            type=RuleType(form["type"]),
            cost=money.amount(form["cost"]),
            tenant_id=form.get("project"),
            **parent_id,
        )
