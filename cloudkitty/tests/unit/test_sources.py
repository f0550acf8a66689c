# SPDX-License-Identifier: Apache-2.0
"""Several collectors behind one: each is made once, and all are closed."""

from collections.abc import Mapping

import pytest
from oslo_config import cfg

from cloudkitty.collector.base import Collector
from cloudkitty.collector.catalogue import Catalogue
from cloudkitty.collector.metrics import MetricDefinition
from cloudkitty.collector.sources import Sources
from cloudkitty.config import ConfigurationError
from cloudkitty.dataframe import Registry
from cloudkitty.tests.bench import Spare, Usage
from cloudkitty.tests.builders import hour


class Broken(Collector):
    def __init__(self, conf: cfg.ConfigOpts, registry: Registry) -> None:
        raise OSError("no such device")


class Unconfigured(Collector):
    def __init__(self, conf: cfg.ConfigOpts, registry: Registry) -> None:
        raise ConfigurationError("[collector_x] url: must be set")


class Stubborn(Usage):
    def close(self) -> None:
        raise OSError("cannot be closed")


class Known(Catalogue):
    classes: Mapping[str, type[Collector]] = {
        "usage": Usage,
        "spare": Spare,
        "broken": Broken,
        "unconfigured": Unconfigured,
        "stubborn": Stubborn,
    }

    def names(self) -> tuple[str, ...]:
        return tuple(self.classes)

    def load(self, name: str, option: str = "") -> type[Collector]:
        return self.classes[name]


@pytest.fixture
def sources(conf: cfg.ConfigOpts) -> Sources:
    return Sources(conf, Registry(), Known())


def test_each_metric_is_asked_of_its_own(sources: Sources) -> None:
    for name in ("usage", "spare", "usage"):
        metric = MetricDefinition(f"of-{name}", "s", "x", collector=name)
        assert set(sources.fetch(metric, hour(0), ["p"])) == {"p"}
    asked = {name: [a[0] for a in sources.named(name).asked] for name in ("usage", "spare")}
    assert asked == {"usage": ["of-usage", "of-usage"], "spare": ["of-spare"]}


def test_none_is_left_open_when_another_cannot_be_made(sources: Sources) -> None:
    first = sources.named("usage")
    with pytest.raises(ConfigurationError, match=r"\[collector_x\] url: must be set"):
        sources.make(["usage", "unconfigured"])
    assert first.closed


@pytest.mark.parametrize("names", [["usage", "stubborn"], ["stubborn", "usage"]])
def test_one_that_cannot_be_closed_does_not_keep_another_open(
    sources: Sources, names: list[str]
) -> None:
    sources.make(names)
    usage = sources.named("usage")
    with pytest.raises(OSError, match="cannot be closed"):
        sources.close()
    assert usage.closed


def test_whatever_keeps_a_collector_from_being_made_is_one_sentence(sources: Sources) -> None:
    with pytest.raises(ConfigurationError) as caught:
        sources.named("broken")
    assert str(caught.value) == "collector 'broken' cannot be used: OSError: no such device"
    with pytest.raises(ConfigurationError, match="unknown collector 'spar'; did you mean 'spare'"):
        sources.named("spar")


def test_arguments_are_those_of_the_collector(sources: Sources) -> None:
    assert sources.checked("spare", {"region": "north"}) == {"region": "north"}
    with pytest.raises(ConfigurationError, match="extra_args -> region: must be one of"):
        sources.checked("spare", {"region": "west"})
