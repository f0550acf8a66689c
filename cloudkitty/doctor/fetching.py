# SPDX-License-Identifier: Apache-2.0
"""Checks that the fetcher lists scopes."""

from oslo_config import cfg

from cloudkitty import plugins
from cloudkitty.config import ConfigurationError
from cloudkitty.doctor.bounded import Deadline, TookTooLong
from cloudkitty.doctor.finding import Finding, error, many, ok, warning
from cloudkitty.fetcher.base import Fetcher, FetchError

SECONDS = 60


def check(conf: cfg.ConfigOpts, deadline: Deadline) -> tuple[Finding, list[str] | None]:
    """Return the finding, and the ids of the scopes when they can be had."""
    backend = conf.fetcher.backend
    subject = f"fetcher {backend}"
    try:
        fetcher: type[Fetcher] = plugins.load_class(plugins.FETCHERS, backend, "[fetcher] backend")
        listed = deadline.call(lambda: fetcher(conf).scopes(), SECONDS)
    except (ConfigurationError, FetchError) as failure:
        return error(subject, str(failure)), None
    except TookTooLong as late:
        return error(subject, f"[fetcher_{backend}]: {late}"), None
    if not listed:
        text = f"it lists no scope, and nothing is rated; see [fetcher_{backend}]"
        return warning(subject, text), []
    return ok(subject, many(len(listed), "scope")), listed
