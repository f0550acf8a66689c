# SPDX-License-Identifier: Apache-2.0
"""Who may see and change rating modules in version 2."""

from oslo_policy import policy

from cloudkitty.policies.base import ADMIN, rule


def list_rules() -> list[policy.RuleDefault]:
    return [
        rule(
            "v2_rating:list_modules",
            ADMIN,
            "List the rating modules.",
            ("GET", "/v2/rating/modules"),
        ),
        rule(
            "v2_rating:get_module",
            ADMIN,
            "Show a rating module.",
            ("GET", "/v2/rating/modules/{module_id}"),
        ),
        rule(
            "v2_rating:update_module",
            ADMIN,
            "Enable or disable a rating module, and set its priority.",
            ("PUT", "/v2/rating/modules/{module_id}"),
        ),
    ]
