# SPDX-License-Identifier: Apache-2.0
"""Who may see and change rating modules and their rules, and ask for quotes."""

from oslo_policy import policy

from cloudkitty.policies.base import ADMIN, ANYBODY, rule


def list_rules() -> list[policy.RuleDefault]:
    return [
        rule(
            "rating:list_modules",
            ADMIN,
            "List the rating modules.",
            ("GET", "/v1/rating/modules"),
        ),
        rule(
            "rating:get_module",
            ADMIN,
            "Show a rating module.",
            ("GET", "/v1/rating/modules/{module_id}"),
        ),
        rule(
            "rating:update_module",
            ADMIN,
            "Enable or disable a rating module, and set its priority.",
            ("PUT", "/v1/rating/modules/{module_id}"),
        ),
        rule(
            "rating:quote",
            ANYBODY,
            "Ask for the price of something that is not there yet.",
            ("POST", "/v1/rating/quote"),
        ),
        rule(
            "rating:module_config",
            ADMIN,
            "Do anything with the rules of a rating module.",
            *((method, "/v1/rating/module_config/{module_id}/**") for method in _METHODS),
            ("GET", "/v1/rating/reload_modules"),
        ),
    ]


_METHODS = ("GET", "POST", "PUT", "DELETE")
