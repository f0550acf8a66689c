# SPDX-License-Identifier: Apache-2.0
"""The collector in the developer's pages, as it is printed there."""

import pathlib
import re
import textwrap
from collections.abc import Callable
from datetime import datetime
from decimal import Decimal
from types import SimpleNamespace
from typing import Any

import pytest
import requests
from oslo_config import cfg

from cloudkitty import period
from cloudkitty.collector import metrics
from cloudkitty.collector.base import CollectError, Collector, SourceUnavailable
from cloudkitty.dataframe import Points, Registry
from cloudkitty.period import Period

PAGE = pathlib.Path(__file__).parents[3] / "doc" / "source" / "developer" / "collector.rst"
HOUR = Period.of(datetime(2026, 1, 5, tzinfo=period.UTC), 3600)

Get = Callable[..., Any]
Fetch = Callable[[Get], dict[str, Points]]


def printed() -> str:
    """The module that is printed on the page."""
    page = PAGE.read_text(encoding="utf-8")
    block = re.search(r"\.\. code-block:: python\n\n((?:   .*\n|\n)+)", page)
    assert block
    return textwrap.dedent(block.group(1))


@pytest.fixture
def collector_class() -> type[Collector]:
    """The class in it."""
    names: dict[str, Any] = {}
    exec(printed(), names)
    found: type[Collector] = names["MetersCollector"]
    return found


@pytest.fixture
def fetch(
    conf: cfg.ConfigOpts, collector_class: type[Collector], monkeypatch: pytest.MonkeyPatch
) -> Fetch:
    def with_answer(get: Get) -> dict[str, Points]:
        monkeypatch.setattr(requests.Session, "get", get)
        written = "metrics: {vm: {unit: x, factor: 1/3, groupby: [id], metadata: [flavor, zone]}}"
        metric = metrics.read(written, "project_id", collector_class.check_extra_args)
        collector = collector_class(_WithUrl(conf), Registry())
        return dict(collector.fetch(metric.definitions[0], HOUR, ["p", "q"]))

    return with_answer


class _WithUrl:
    """The configuration with the option that the collector registers."""

    def __init__(self, conf: cfg.ConfigOpts) -> None:
        self._conf = conf

    def register_opts(self, options: list[cfg.Opt], group: str) -> None:
        self._conf.register_opts(options, group)
        self._conf.set_override("url", "http://meters", group)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._conf, name)


def answering(status: int, content: str) -> Get:
    return lambda *args, **kwargs: SimpleNamespace(status_code=status, content=content)


def test_points(fetch: Fetch) -> None:
    usage = """{"usage": [
        {"project_id": "p", "id": "a", "flavor": "s", "value": 0.3},
        {"project_id": "p", "id": "b", "flavor": "s", "value": NaN},
        {"project_id": "other", "id": "c", "flavor": "s", "value": 1}]}"""
    found = fetch(answering(200, usage))
    assert list(found) == ["p"]
    point = next(iter(found["p"]))
    assert point.qty == Decimal("0.1")
    assert point.desc == {"project_id": "p", "id": "a", "flavor": "s", "zone": ""}


def test_errors(fetch: Fetch) -> None:
    def refused(*args: Any, **kwargs: Any) -> Any:
        raise requests.ConnectionError("refused")

    with pytest.raises(SourceUnavailable, match="refused"):
        fetch(refused)
    with pytest.raises(CollectError, match="503"):
        fetch(answering(503, ""))
    with pytest.raises(CollectError, match="meter vm"):
        fetch(answering(200, "[]"))


def test_extra_args(collector_class: type[Collector]) -> None:
    assert collector_class.check_extra_args({}) == {"aggregation_method": "mean"}


def test_it_is_short() -> None:
    assert len([line for line in printed().splitlines() if line]) < 60
