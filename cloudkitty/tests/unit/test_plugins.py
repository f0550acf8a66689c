# SPDX-License-Identifier: Apache-2.0
"""Finding plugins by name."""

import importlib.metadata
from collections.abc import Callable

import pytest
from stevedore import _cache

from cloudkitty import plugins
from cloudkitty.config import ConfigurationError

Install = Callable[..., None]


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> Install:
    """Make these, and no other, the plugins of every namespace."""

    def install(**values: str) -> None:
        found = [
            importlib.metadata.EntryPoint(name, value, "any") for name, value in values.items()
        ]
        monkeypatch.setattr(_cache, "get_group_all", lambda group: found)
        monkeypatch.setattr(
            "stevedore.extension.ExtensionManager.ENTRY_POINT_CACHE", {}, raising=True
        )

    return install


def test_a_plugin_is_found_by_its_name(installed: Install) -> None:
    installed(ours="cloudkitty.collector.csv:CsvCollector")
    found = plugins.load_class(plugins.COLLECTORS, "ours", "[collect] collector")
    assert found.__name__ == "CsvCollector"


def test_an_unknown_name_is_answered_with_those_there_are(installed: Install) -> None:
    installed(csv="a:B", ceilometer="c:D")
    with pytest.raises(ConfigurationError) as caught:
        plugins.load_class(plugins.COLLECTORS, "x", "[collect] collector")
    assert str(caught.value) == (
        "[collect] collector: no collector named 'x'; there are: ceilometer, csv"
    )


def test_a_plugin_that_cannot_be_imported_is_named_with_the_reason(installed: Install) -> None:
    installed(broken="cloudkitty.no_such_module:Thing")
    with pytest.raises(ConfigurationError) as caught:
        plugins.load_class(plugins.FETCHERS, "broken", "[fetcher] backend")
    assert str(caught.value) == (
        "[fetcher] backend: fetcher 'broken' cannot be loaded: "
        "ModuleNotFoundError: No module named 'cloudkitty.no_such_module'"
    )


def test_a_plugin_that_is_not_a_class_is_refused(installed: Install) -> None:
    installed(odd="cloudkitty.money:amount")
    with pytest.raises(ConfigurationError, match="amount is not a class"):
        plugins.load_class(plugins.STORAGES, "odd", "[storage] backend")


def test_a_broken_plugin_does_not_hide_the_others(installed: Install) -> None:
    installed(broken="cloudkitty.no_such_module:Thing", csv="cloudkitty.collector.csv:CsvCollector")
    assert plugins.names(plugins.COLLECTORS) == ("broken", "csv")
    assert plugins.load_class(plugins.COLLECTORS, "csv", "[collect] collector")
