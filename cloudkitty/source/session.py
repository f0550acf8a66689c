# SPDX-License-Identifier: Apache-2.0
"""Makes the HTTP clients with which other services are asked.

Invariants: connections are kept and shared by threads; a token that is no longer taken is
replaced by a new one; redirections are followed a few times, not for ever.
"""

from keystoneauth1 import adapter, noauth, plugin
from keystoneauth1 import exceptions as keystone_errors
from keystoneauth1 import loading as keystone_loading
from keystoneauth1 import session as keystone_session
from oslo_config import cfg
from requests.adapters import HTTPAdapter

from cloudkitty.config import ConfigurationError
from cloudkitty.source.errors import Place

REDIRECTIONS = 3
DEFAULT_TIMEOUT = 60
"""Seconds without a byte of the answer after which a request has failed."""

NoAuth = noauth.NoAuth


def configured_auth(conf: cfg.ConfigOpts, group: str) -> plugin.BaseAuthPlugin | None:
    """Return the keystoneauth plugin that ``auth_type`` in a section names, ``None`` if unset.

    :raises ConfigurationError: the plugin does not exist, or its options are wrong.
    """
    try:
        return keystone_loading.load_auth_from_conf_options(conf, group)
    except (keystone_errors.ClientException, cfg.Error) as error:
        raise ConfigurationError(f"[{group}] auth_type: {error}") from error


def configured_session(
    conf: cfg.ConfigOpts,
    group: str,
    auth: plugin.BaseAuthPlugin,
    *,
    pool: int = 10,
    timeout: float = DEFAULT_TIMEOUT,
) -> keystone_session.Session:
    """Return a session with the section's certificates and time-out (*timeout* unless it sets
    one), that keeps *pool* connections."""
    made = keystone_loading.load_session_from_conf_options(
        conf, group, auth=auth, timeout=conf[group].timeout or timeout
    )
    return _pooled(made, pool)


def plain_session(
    auth: plugin.BaseAuthPlugin, *, verify: bool | str, timeout: float, pool: int = 10
) -> keystone_session.Session:
    """Return a session for a service outside the identity service's catalogue. *verify* is
    whether certificates are checked, or the file with those of the authorities."""
    made = keystone_session.Session(auth=auth, verify=verify, timeout=timeout or DEFAULT_TIMEOUT)
    return _pooled(made, pool)


def client(
    session: keystone_session.Session,
    place: Place,
    *,
    endpoint: str | None = None,
    interface: str | None = None,
    region_name: str | None = None,
) -> adapter.Adapter:
    """Return an HTTP client that knows the way to a service: *endpoint*, or by the catalogue."""
    return adapter.Adapter(
        session,
        service_type=place.service_type,
        interface=interface,
        region_name=region_name,
        endpoint_override=endpoint,
        user_agent="cloudkitty",
        raise_exc=False,
    )


def _pooled(made: keystone_session.Session, size: int) -> keystone_session.Session:
    """The session, keeping *size* connections to each service."""
    made.redirect = REDIRECTIONS
    for mounted in set(made.session.adapters.values()):
        if isinstance(mounted, HTTPAdapter):
            mounted.init_poolmanager(size, size)
    return made
