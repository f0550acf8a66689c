# SPDX-License-Identifier: Apache-2.0
"""Who may see what was spent."""

from oslo_policy import policy

from cloudkitty.policies.base import ADMIN, READER_OR_ADMIN, rule


def list_rules() -> list[policy.RuleDefault]:
    return [
        rule(
            "report:list_tenants",
            ADMIN,
            "List the projects that have been rated.",
            ("GET", "/v1/report/tenants"),
        ),
        rule(
            "report:get_summary",
            READER_OR_ADMIN,
            "Show what a project spent, by project and metric.",
            ("GET", "/v1/report/summary"),
        ),
        rule(
            "report:get_total",
            READER_OR_ADMIN,
            "Show what a project spent in total.",
            ("GET", "/v1/report/total"),
        ),
    ]
