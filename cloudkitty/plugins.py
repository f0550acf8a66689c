# SPDX-License-Identifier: Apache-2.0
"""Finds collectors, fetchers, rating modules and storage drivers by name.

Invariants: a name that does not exist, and a plugin that cannot be imported, are errors of the
configuration that name the option; nothing is imported but the plugin asked for.
"""

from typing import Any

from stevedore import named

from cloudkitty.config import ConfigurationError

COLLECTORS = "cloudkitty.collector.backends"
FETCHERS = "cloudkitty.fetchers"
RATING_MODULES = "cloudkitty.rating.processors"
STORAGES = "cloudkitty.storage.v2.backends"
STORAGES_V1 = "cloudkitty.storage.v1.backends"
POLICIES = "oslo.policy.policies"

_NOUNS = {
    COLLECTORS: "collector",
    FETCHERS: "fetcher",
    RATING_MODULES: "rating module",
    STORAGES: "storage",
    STORAGES_V1: "storage",
}


def names(namespace: str) -> tuple[str, ...]:
    """Return the names of all plugins installed in *namespace*, sorted. Imports none."""
    return tuple(sorted(set(_manager(namespace, []).entry_points_names())))


def load_class(namespace: str, name: str, option: str) -> type[Any]:
    """Return the class that is called *name* in *namespace*.

    *option* is what the error calls the place where the name was given.

    :raises ConfigurationError: there is no such plugin, or it cannot be imported.
    """
    noun = _NOUNS.get(namespace, "plugin")
    failures: list[BaseException] = []
    manager = _manager(namespace, [name], failures)
    if failures:
        reason = failures[0]
        raise ConfigurationError(
            f"{option}: {noun} {name!r} cannot be loaded: {type(reason).__name__}: {reason}"
        ) from reason
    if name not in manager:
        known = ", ".join(names(namespace)) or "none"
        raise ConfigurationError(f"{option}: no {noun} named {name!r}; there are: {known}")
    plugin = manager[name].plugin
    if not isinstance(plugin, type):
        raise ConfigurationError(
            f"{option}: {noun} {name!r} cannot be loaded: {manager[name].entry_point.value} "
            "is not a class"
        )
    return plugin


def policies() -> list[Any]:
    """Return the functions that list the policies of plugins.

    They are those of ``oslo.policy.policies`` whose names begin with ``cloudkitty.``: the namespace
    belongs to all services of a host.

    :raises ConfigurationError: one cannot be imported.
    """
    wanted = [name for name in names(POLICIES) if name.startswith("cloudkitty.")]
    failures: list[BaseException] = []
    manager = _manager(POLICIES, wanted, failures)
    if failures:
        reason = failures[0]
        raise ConfigurationError(
            f"policies of a plugin cannot be loaded: {type(reason).__name__}: {reason}"
        ) from reason
    return [manager[name].plugin for name in wanted]


def _manager(
    namespace: str, wanted: list[str], failures: list[BaseException] | None = None
) -> named.NamedExtensionManager[Any]:
    return named.NamedExtensionManager(
        namespace,
        wanted,
        on_load_failure_callback=lambda _manager, _entry_point, error: (
            failures.append(error) if failures is not None else None
        ),
        on_missing_entrypoints_callback=lambda _names: None,
    )
