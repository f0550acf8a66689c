# SPDX-License-Identifier: Apache-2.0
"""Who may see what is collected."""

from oslo_policy import policy

from cloudkitty.policies.base import ANYBODY, rule


def list_rules() -> list[policy.RuleDefault]:
    return [
        rule(
            "info:list_services_info",
            ANYBODY,
            "List the metrics under their old name. info:list_metrics_info is asked instead.",
            ("GET", "/v1/info/services"),
        ),
        rule(
            "info:get_service_info",
            ANYBODY,
            "Show a metric under its old name. info:get_metric_info is asked instead.",
            ("GET", "/v1/info/services/{metric_id}"),
        ),
        rule(
            "info:list_metrics_info",
            ANYBODY,
            "List the metrics that are collected.",
            ("GET", "/v1/info/metrics"),
            ("GET", "/v1/info/services"),
        ),
        rule(
            "info:get_metric_info",
            ANYBODY,
            "Show a metric that is collected.",
            ("GET", "/v1/info/metrics/{metric_id}"),
            ("GET", "/v1/info/services/{metric_id}"),
        ),
        rule(
            "info:get_config",
            ANYBODY,
            "Show the metrics file.",
            ("GET", "/v1/info/config"),
        ),
    ]
