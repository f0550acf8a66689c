# SPDX-License-Identifier: Apache-2.0
"""Who may see and change notes about collectors."""

from oslo_policy import policy

from cloudkitty.policies.base import ADMIN, rule


def list_rules() -> list[policy.RuleDefault]:
    return [
        rule(
            "collector:list_mappings",
            ADMIN,
            "List which service comes from which collector.",
            ("GET", "/v1/collector/mappings"),
        ),
        rule(
            "collector:get_mapping",
            ADMIN,
            "Show which collector a service comes from.",
            ("GET", "/v1/collector/mappings/{service}"),
        ),
        rule(
            "collector:manage_mapping",
            ADMIN,
            "Note or forget which collector a service comes from.",
            ("POST", "/v1/collector/mappings"),
            ("DELETE", "/v1/collector/mappings/{service}"),
        ),
        rule(
            "collector:get_state",
            ADMIN,
            "Show whether a collector is enabled.",
            ("GET", "/v1/collector/states/{name}"),
        ),
        rule(
            "collector:update_state",
            ADMIN,
            "Enable or disable a collector.",
            ("PUT", "/v1/collector/states/{name}"),
        ),
    ]
