# SPDX-License-Identifier: Apache-2.0
"""Who may see what was used and spent, by group."""

from oslo_policy import policy

from cloudkitty.policies.base import READER_OR_ADMIN, rule


def list_rules() -> list[policy.RuleDefault]:
    return [
        rule(
            "summary:get_summary",
            READER_OR_ADMIN,
            "Show what a project used and spent.",
            ("GET", "/v2/summary"),
        ),
    ]
