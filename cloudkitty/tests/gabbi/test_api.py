# SPDX-License-Identifier: Apache-2.0
"""Runs the YAML files beside this one, which also document the API by example.

Each file is a story of its own, on a fresh database with the usage of ``cloudkitty.tests.api``.
Those in ``noauth`` go through the whole pipeline without authentication; those in ``keystone``
give the identity that a token would have had in headers. Every answer has to be one of those that
``/openapi.json`` describes.
"""

import pathlib
import unittest
from typing import Any

import pytest
import yaml
from gabbi import handlers, suitemaker
from oslo_config import cfg

from cloudkitty.api import app, deploy
from cloudkitty.db.engine import Database
from cloudkitty.tests import api
from cloudkitty.tests.described import Witness

HERE = pathlib.Path(__file__).parent


def stories(strategy: str) -> list[Any]:
    return [pytest.param(path, id=path.stem) for path in sorted((HERE / strategy).glob("*.yaml"))]


def tell(path: pathlib.Path, application: Any) -> Witness:
    """Tell a story, and hold every answer against the document of the API."""
    witness = Witness(application)
    suite = suitemaker.test_suite_from_dict(
        unittest.TestLoader(),
        path.stem,
        yaml.safe_load(path.read_text()),
        str(path.parent),
        "rating.example.com",
        8889,
        None,
        lambda: witness,
        handlers=[handler() for handler in handlers.RESPONSE_HANDLERS],
        test_loader_name=path.stem,
    )
    result = unittest.TestResult()
    suite.run(result)
    assert result.testsRun
    problems = [f"{case}\n{text}" for case, text in result.failures + result.errors]
    assert not problems, "\n\n".join(problems)
    assert not witness.wrong, "\n\n".join(witness.wrong)
    return witness


@pytest.mark.parametrize("path", stories("noauth"))
def test_noauth(
    path: pathlib.Path, conf: cfg.ConfigOpts, sqlite_database: Database, tmp_path: pathlib.Path
) -> None:
    conf.set_override("auth_strategy", "noauth")
    context = api.context(conf, sqlite_database, tmp_path)
    api.seed(context)
    tell(path, deploy.load(context))


@pytest.mark.parametrize("path", stories("keystone"))
def test_keystone(
    path: pathlib.Path, conf: cfg.ConfigOpts, sqlite_database: Database, tmp_path: pathlib.Path
) -> None:
    conf.set_override("auth_strategy", "keystone")
    context = api.context(conf, sqlite_database, tmp_path)
    api.seed(context)
    tell(path, app.build(context))
