# SPDX-License-Identifier: Apache-2.0
"""The reference of the API shows every route, and its examples show real answers."""

import pathlib
import re

import pytest
from oslo_config import cfg

from cloudkitty.db.engine import Database
from cloudkitty.tests import api, examples
from cloudkitty.tests.routes import of_version_1

PAGES = sorted((pathlib.Path(__file__).parents[3] / "doc" / "source" / "api").glob("*.rst"))

OLD_NAMES = ("/v1/billing", "/v1/info/services")
"""Old names of paths that are shown under their new ones."""


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_examples_show_real_answers(page: pathlib.Path, tmp_path: pathlib.Path) -> None:
    served, story = examples.application(tmp_path), examples.Story()
    for exchange in examples.exchanges(page.read_text()):
        real = examples.send(served, story.told(exchange.request))
        story.meet(exchange.answer, real)
        told = story.told(exchange.answer)
        assert examples.timeless(told) == examples.timeless(real), exchange.request


def test_there_are_examples() -> None:
    shown = [one for page in PAGES for one in examples.exchanges(page.read_text())]
    assert len(shown) > 40
    assert {one.request.split()[0] for one in shown} == {"GET", "POST", "PUT", "DELETE"}


def test_every_route_is_in_the_reference(
    conf: cfg.ConfigOpts, sqlite_database: Database, tmp_path: pathlib.Path
) -> None:
    text = "\n".join(page.read_text() for page in PAGES)
    named = re.findall(r"``((?:GET|POST|PUT|DELETE) /[^` ?]*)", text)
    shown = {re.sub(r"{\w+}", "{}", name) for name in named}
    documented = {page.stem for page in PAGES}
    missing = []
    for route in of_version_1(api.context(conf, sqlite_database, tmp_path)):
        module = re.match(r"/v1/rating/module_config/(\w+)", route.path)
        # A module that has a page of its own is shown there as a whole.
        elsewhere = module is not None and f"v1-rating-{module[1]}" not in documented
        if not route.path.startswith(OLD_NAMES) and not elsewhere and str(route) not in shown:
            missing.append(str(route))
    assert not missing
