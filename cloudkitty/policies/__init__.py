# SPDX-License-Identifier: Apache-2.0
"""Every rule of the core for oslo.policy, one file an API noun; names and defaults are part of
the API."""

from oslo_policy import policy

from cloudkitty.policies import (
    base,
    collector,
    coverage,
    dataframes,
    info,
    rating,
    report,
    schedule,
    scope,
    storage,
    summary,
    unpriced,
    v2_rating,
)

NOUNS = (
    base,
    collector,
    coverage,
    dataframes,
    info,
    rating,
    report,
    schedule,
    scope,
    storage,
    summary,
    unpriced,
    v2_rating,
)


def list_rules() -> list[policy.RuleDefault]:
    """Return every rule, for the enforcer and for ``oslopolicy-sample-generator``."""
    return [rule for noun in NOUNS for rule in noun.list_rules()]
