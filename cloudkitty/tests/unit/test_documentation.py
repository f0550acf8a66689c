# SPDX-License-Identifier: Apache-2.0
"""What the documentation shows is so."""

import importlib.metadata
import os
import pathlib
import re
from decimal import Decimal

import pytest
from oslo_config import cfg

from cloudkitty import period
from cloudkitty.collector import metrics
from cloudkitty.collector.csv import CsvCollector
from cloudkitty.dataframe import Registry
from cloudkitty.doctor.upgrade import Checks
from cloudkitty.expression import Expression
from cloudkitty.fetcher.csv import CsvFetcher
from cloudkitty.period import Period

CHECKOUT = pathlib.Path(__file__).parents[3]
TESTS = CHECKOUT / "cloudkitty" / "tests"
PAGES = [CHECKOUT / "README.rst", *sorted((CHECKOUT / "doc" / "source").rglob("*.rst"))]


def page(name: str) -> str:
    return (CHECKOUT / name).read_text()


def test_bill_in_the_readme_is_part_of_the_real_one() -> None:
    real = (TESTS / "demo-bill.txt").read_text().splitlines()
    shown = re.search(r"^    Bill from.*?(?=^\S)", page("README.rst"), re.MULTILINE | re.DOTALL)
    assert shown is not None
    lines = [line.strip() for line in shown[0].splitlines() if line.strip() not in ("", "...")]
    assert len(lines) > 5
    assert set(lines) <= {line.strip() for line in real}


def test_scripts_in_the_readme_can_be_run() -> None:
    scripts = re.findall(r"^    (tools/\w+)$", page("README.rst"), re.MULTILINE)
    assert scripts == ["tools/demo", "tools/test"]
    for script in scripts:
        assert os.access(CHECKOUT / script, os.X_OK)


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_files_that_pages_name_exist(path: pathlib.Path) -> None:
    named = re.findall(r"(?:`<|``|\s)((?:doc|etc|tools|cloudkitty)/[\w./-]+\w)", path.read_text())
    missing = [name for name in named if not (CHECKOUT / name.rstrip(".")).exists()]
    assert [name for name in missing if not name.startswith("doc/build")] == []


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_commands_that_pages_name_are_installed(path: pathlib.Path) -> None:
    scripts = importlib.metadata.entry_points(group="console_scripts")
    installed = {script.name for script in scripts if script.name.startswith("cloudkitty-")}
    named = set(re.findall(r"\bcloudkitty-[a-z-]*[a-z](?![\w-]|\.\w)", path.read_text()))
    assert named - {"cloudkitty-dashboard", "cloudkitty-noauth"} <= installed


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_options_that_pages_name_exist(path: pathlib.Path, conf: cfg.ConfigOpts) -> None:
    for section, option in re.findall(r"``\[(\w+)\]\s+(\w+)``", path.read_text()):
        if section in ("oslo_middleware", "oslo_policy", "keystone_authtoken"):
            continue
        group = conf if section == "DEFAULT" else conf[section]
        assert option in group, f"{path.name} names [{section}] {option}"


def test_skip_expressions_that_the_page_shows_are_right() -> None:
    shown = re.findall(
        r"^\s+skip_datapoints_expression(?: = |: ')(.*?)'?$",
        page("doc/source/operator/skipping.rst"),
        re.MULTILINE,
    )
    assert len(shown) == 2
    assert all(Expression.read(source).constant is None for source in shown)


def test_upgrade_checks_that_the_page_lists_are_those_made() -> None:
    shown = page("doc/source/operator/status.rst").partition("upgrade check\n-------------\n")[2]
    for name, _check in Checks._upgrade_checks:
        assert re.search(rf"^{name}  ", shown, re.MULTILINE), name


def test_example_of_a_usage_file_is_read_as_explained(conf: cfg.ConfigOpts) -> None:
    conf.set_override("file", [str(TESTS / "usage-example.csv")], "collector_csv")
    definitions = metrics.load(
        TESTS / "usage-example.yml", "project_id", CsvCollector.check_extra_args
    )
    assert CsvFetcher(conf).scopes() == ["web-shop"]
    collector = CsvCollector(conf, Registry())
    hour = Period.of(period.parse("2026-01-01T10:00:00Z"), 3600)
    found = {
        definition.name: collector.fetch(definition, hour, ["web-shop"])["web-shop"]
        for definition in definitions
    }
    collector.close()
    levels = {point.metadata["flavor_name"]: point.qty for point in found["instance"]}
    assert levels == {"m1.medium": 1, "m1.small": Decimal("0.75")}
    [traffic] = found["network.outgoing.bytes"]
    assert traffic.qty == Decimal("1.5")


def test_the_settings_of_the_devstack_plugin_are_documented() -> None:
    settings = page("devstack/settings")
    given = dict(re.findall(r"^(CLOUDKITTY_\w+)=\$\{\1:-(.*)\}$", settings, re.MULTILINE))
    flag = r"^(CLOUDKITTY_\w+)=\$\(trueorfalse (\w+) \1\)$"
    given |= dict(re.findall(flag, settings, re.MULTILINE))
    assert set(given) == set(re.findall(r"^(CLOUDKITTY_\w+)=", settings, re.MULTILINE))
    readme = page("devstack/README.rst")
    assert dict(re.findall(r"^``(CLOUDKITTY_\w+)=(.*)``$", readme, re.MULTILINE)) == given
