# SPDX-License-Identifier: Apache-2.0
"""Who may have the past rated again."""

from oslo_policy import policy

from cloudkitty.policies.base import ADMIN, rule


def list_rules() -> list[policy.RuleDefault]:
    return [
        rule(
            "schedule:task_reprocesses",
            ADMIN,
            "Have a window of the past rated again, or let such a task be.",
            ("POST", "/v2/task/reprocesses"),
            ("DELETE", "/v2/task/reprocesses/{task_id}"),
        ),
        rule(
            "schedule:get_task_reprocesses",
            ADMIN,
            "List tasks of rating the past again.",
            ("GET", "/v2/task/reprocesses"),
            ("GET", "/v2/task/reprocesses/{scope_id}"),
        ),
    ]
