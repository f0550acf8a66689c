# SPDX-License-Identifier: Apache-2.0
"""The one place that asks oslo.policy.

Invariants: without authentication nothing is refused; a token that is not of a project (system
or domain) is refused, never a failure; a check without a project in its target can only be
passed by a rule that does not ask for one.
"""

from collections.abc import Sequence

from oslo_config import cfg
from oslo_policy import policy

from cloudkitty import config, plugins, policies
from cloudkitty.rest import errors
from cloudkitty.rest.caller import Caller

ADMIN_RULE = "context_is_admin"


def build_enforcer(conf: cfg.ConfigOpts) -> policy.Enforcer:
    """Return an enforcer that knows every rule of the service and of its plugins.

    :raises ConfigurationError: the rules of a plugin cannot be had, or one has the name of another.
    """
    enforcer = policy.Enforcer(conf, use_conf=True)
    enforcer.register_defaults(policies.list_rules())
    for list_rules in plugins.policies():
        try:
            enforcer.register_defaults(list_rules())
        except policy.DuplicatePolicyError as error:
            raise config.ConfigurationError(f"policies of a plugin: {error}") from error
    return enforcer


def get_enforcer(args: Sequence[str] = ()) -> policy.Enforcer:
    """Return the enforcer of the configuration in the usual places, for ``oslopolicy-*``."""
    return build_enforcer(config.load(list(args)))


class Policy:
    """Decides whether a caller may do something; *enforcer* of ``None`` allows everything."""

    def __init__(self, enforcer: policy.Enforcer | None) -> None:
        self._enforcer = enforcer

    @property
    def open(self) -> bool:
        """Whether every caller may do everything."""
        return self._enforcer is None

    def authorize(self, caller: Caller, rule: str, **target: str | None) -> None:
        """Make sure that *caller* may do what *rule* is about.

        :raises errors.Forbidden: the caller may not.
        """
        if not self.allows(caller, rule, **target):
            raise errors.Forbidden(rule=rule)

    def allows(self, caller: Caller, rule: str, **target: str | None) -> bool:
        """Return whether *caller* may do what *rule* is about."""
        if self._enforcer is None:
            return True
        if caller.project_id is None and target.get("project_id") is not None:
            # Compared as texts, no project at all would be the project called None.
            target = {}
        try:
            return bool(self._enforcer.authorize(rule, target, caller))
        except policy.InvalidScope:
            return False

    def is_admin(self, caller: Caller) -> bool:
        """Whether *caller* sees the data of every project."""
        if self._enforcer is None:
            return True
        return bool(self._enforcer.authorize(ADMIN_RULE, {}, caller))
