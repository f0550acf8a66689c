# SPDX-License-Identifier: Apache-2.0
"""The rules that others are made of."""

from oslo_policy import policy

ADMIN = "role:admin"
ANYBODY = ""
READER_OR_ADMIN = "rule:project_reader_or_admin"

_OWNER = "is_admin:True or (role:admin and is_admin_project:True) or project_id:%(project_id)s"
_REASON = "Reading needs the role reader in the project."
_SINCE = "22.0"


def rule(
    name: str, check: str, description: str, *operations: tuple[str, str]
) -> policy.RuleDefault:
    """Return a rule about the operations, each a pair of method and path, for project tokens."""
    return policy.DocumentedRuleDefault(
        name=name,
        check_str=check,
        scope_types=["project"],
        description=description,
        operations=[{"method": method, "path": path} for method, path in operations],
    )


def list_rules() -> list[policy.RuleDefault]:
    owner = policy.DeprecatedRule(
        name="admin_or_owner",
        check_str=_OWNER,
        deprecated_reason=_REASON,
        deprecated_since=_SINCE,
    )
    return [
        policy.RuleDefault(
            "context_is_admin", ADMIN, description="Sees the data of every project."
        ),
        policy.RuleDefault(
            "admin_or_owner",
            _OWNER,
            deprecated_for_removal=True,
            deprecated_reason=_REASON,
            deprecated_since=_SINCE,
        ),
        policy.RuleDefault("default", ANYBODY, description="Of rules that nobody has defined."),
        policy.RuleDefault("project_member_api", "role:member and project_id:%(project_id)s"),
        policy.RuleDefault("project_reader_api", "role:reader and project_id:%(project_id)s"),
        policy.RuleDefault(
            "project_member_or_admin", "rule:project_member_api or rule:context_is_admin"
        ),
        policy.RuleDefault(
            "project_reader_or_admin",
            "rule:project_reader_api or rule:context_is_admin",
            deprecated_rule=owner,
        ),
    ]
