# SPDX-License-Identifier: Apache-2.0
"""Who may see and change how far scopes have been rated."""

from oslo_policy import policy

from cloudkitty.policies.base import ADMIN, rule


def list_rules() -> list[policy.RuleDefault]:
    return [
        rule(
            "scope:get_state",
            ADMIN,
            "List scopes and how far they have been rated.",
            ("GET", "/v2/scope"),
        ),
        rule(
            "scope:reset_state",
            ADMIN,
            "Set scopes back, and remove what was rated after that.",
            ("PUT", "/v2/scope"),
        ),
        rule(
            "scope:patch_state",
            ADMIN,
            "Change a scope, or start or stop its rating.",
            ("PATCH", "/v2/scope"),
        ),
        rule(
            "scope:post_state",
            ADMIN,
            "Add a scope.",
            ("POST", "/v2/scope"),
        ),
    ]
