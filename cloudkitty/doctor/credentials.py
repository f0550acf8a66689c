# SPDX-License-Identifier: Apache-2.0
"""Checks that the sections with credentials lead to a token."""

import contextlib
from collections.abc import Callable

from keystoneauth1 import exceptions as keystone_errors
from keystoneauth1 import loading as keystone_loading
from oslo_config import cfg

from cloudkitty import config
from cloudkitty.config import ConfigurationError
from cloudkitty.doctor.bounded import Deadline, TookTooLong
from cloudkitty.doctor.finding import Finding, error, ok
from cloudkitty.source import session

SECONDS = 60

API_SECTION = "keystone_authtoken"


def check_api(conf: cfg.ConfigOpts, deadline: Deadline) -> Finding:
    """The API's own credentials, with which it validates tokens."""
    if conf.auth_strategy != "keystone":
        return ok(
            "api",
            f"[DEFAULT] auth_strategy = {conf.auth_strategy}: every caller is an administrator",
        )
    with contextlib.suppress(cfg.DuplicateOptError):
        keystone_loading.register_session_conf_options(conf, API_SECTION)
        keystone_loading.register_auth_conf_options(conf, API_SECTION)
    return _check(
        conf,
        API_SECTION,
        deadline,
        "not set: [DEFAULT] auth_strategy = keystone needs credentials to validate tokens with, "
        "such as auth_type = password with auth_url, username, password, project_name and their "
        "domains",
    )


def check_section(conf: cfg.ConfigOpts, section: str, deadline: Deadline) -> Finding | None:
    """The credentials of a fetcher or collector; ``None`` when it has no need of any."""
    if section not in config.KEYSTONE_GROUPS:
        return None
    if not (conf[section].auth_type or conf[section].auth_section):
        return None
    return _check(conf, section, deadline, "not set")


def _check(conf: cfg.ConfigOpts, section: str, deadline: Deadline, unset: str) -> Finding:
    subject = f"credentials [{section}]"
    try:
        auth = session.configured_auth(conf, section)
        if auth is None:
            return error(subject, f"[{section}] auth_type: {unset}")
        made = session.configured_session(conf, section, auth)
        ask: Callable[[], str | None] = made.get_token
        deadline.call(ask, SECONDS)
    except (ConfigurationError, cfg.Error) as failure:
        return error(subject, str(failure))
    except (keystone_errors.Unauthorized, keystone_errors.Forbidden) as failure:
        return error(
            subject,
            f"the identity service refuses them: {failure}; check username, password and project "
            f"in [{section}]",
        )
    except keystone_errors.ClientException as failure:
        return error(subject, f"no token from [{section}] auth_url: {failure}")
    except TookTooLong as late:
        return error(subject, f"[{section}] auth_url: {late}")
    return ok(subject, "the identity service gives a token")
