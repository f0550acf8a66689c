# SPDX-License-Identifier: Apache-2.0
"""Who may see and add rated points in version 2."""

from oslo_policy import policy

from cloudkitty.policies.base import ADMIN, READER_OR_ADMIN, rule


def list_rules() -> list[policy.RuleDefault]:
    return [
        rule(
            "dataframes:add",
            ADMIN,
            "Add points that have a price already.",
            ("POST", "/v2/dataframes"),
        ),
        rule(
            "dataframes:get",
            READER_OR_ADMIN,
            "Show the rated points of a project.",
            ("GET", "/v2/dataframes"),
        ),
    ]
