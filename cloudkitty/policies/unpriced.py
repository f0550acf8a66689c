# SPDX-License-Identifier: Apache-2.0
"""Who may see usage that no rule has priced."""

from oslo_policy import policy

from cloudkitty.policies.base import ADMIN, rule


def list_rules() -> list[policy.RuleDefault]:
    return [
        rule(
            "unpriced:get_unpriced",
            ADMIN,
            "List usage that no rule has priced.",
            ("GET", "/v2/unpriced"),
        ),
    ]
