# SPDX-License-Identifier: Apache-2.0
"""Collects usage from a Prometheus behind Aetos, which the service catalogue leads to."""

from oslo_config import cfg

from cloudkitty.collector.prometheus import PrometheusCollector
from cloudkitty.source import prometheus
from cloudkitty.source.prometheus import Prometheus


class AetosCollector(PrometheusCollector):
    """The collector for Prometheus; requests carry a token, and go in the URL."""

    @staticmethod
    def connected(conf: cfg.ConfigOpts) -> Prometheus:
        return prometheus.by_catalogue(conf, "collector_aetos")
