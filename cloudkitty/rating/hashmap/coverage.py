# SPDX-License-Identifier: Apache-2.0
"""What hashmap's rules are about: which metrics, and which attributes of them. Pure."""

import datetime
from collections import Counter
from collections.abc import Iterable

from cloudkitty.rating.base import Coverage, Target
from cloudkitty.rating.hashmap.prices import LOWEST_LEVEL
from cloudkitty.rating.hashmap.rules import Mapping, RuleType, Threshold

Parent = tuple[str, str | None]


def coverage(
    services: Iterable[str],
    fields: Iterable[tuple[str, str]],
    mappings: Iterable[Mapping],
    thresholds: Iterable[Threshold],
    at: datetime.datetime,
) -> Coverage:
    """Return the services and fields that exist, each with its rules in force at *at* or later."""
    parents: dict[Parent, None] = dict.fromkeys((name, None) for name in services)
    parents |= dict.fromkeys(fields)
    rules: Counter[Parent] = Counter()
    pricing: Counter[Parent] = Counter()
    for mapping in mappings:
        if mapping.end is None or mapping.end > at:
            parent = (mapping.service, mapping.field)
            rules[parent] += 1
            pricing[parent] += mapping.in_force(at) and _mapping_prices(mapping)
    for threshold in thresholds:
        parent = (threshold.service, threshold.field)
        rules[parent] += 1
        pricing[parent] += _threshold_prices(threshold)
    parents |= dict.fromkeys(rules)
    return Coverage(tuple(Target(*one, rules[one], pricing[one]) for one in parents))


def _mapping_prices(mapping: Mapping) -> bool:
    """A factor has nothing to multiply, and a negative cost is never the largest."""
    return mapping.type is RuleType.FLAT and mapping.cost > 0


def _threshold_prices(threshold: Threshold) -> bool:
    flat = threshold.type is RuleType.FLAT and threshold.cost != 0
    return flat and threshold.level > LOWEST_LEVEL
