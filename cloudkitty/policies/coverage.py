# SPDX-License-Identifier: Apache-2.0
"""Who may see what has been rated, and what keeps the rest."""

from oslo_policy import policy

from cloudkitty.policies.base import ADMIN, rule


def list_rules() -> list[policy.RuleDefault]:
    return [
        rule(
            "coverage:get_coverage",
            ADMIN,
            "Show how far each metric of each scope has been rated, and what keeps it.",
            ("GET", "/v2/coverage"),
        ),
    ]
