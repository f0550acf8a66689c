# SPDX-License-Identifier: Apache-2.0
"""What every controller is handed, a rating module's too."""

from dataclasses import dataclass

from oslo_config import cfg

from cloudkitty.db.engine import Database
from cloudkitty.rest.policy import Policy


@dataclass(frozen=True)
class Context:
    """Built once for an application and passed to every controller's constructor."""

    conf: cfg.ConfigOpts
    database: Database
    policy: Policy
