# SPDX-License-Identifier: Apache-2.0
"""Hashmap's arithmetic."""

import enum


class RuleType(enum.StrEnum):
    """What a rule's cost does: ``flat`` is a price for one unit, ``rate`` a factor."""

    FLAT = "flat"
    RATE = "rate"


class Book:
    """All rules."""
