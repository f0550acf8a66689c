# SPDX-License-Identifier: Apache-2.0
"""A schema that is not the program's, and a configuration that is spoilt while the daemon runs."""

import pathlib
import signal
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import sqlalchemy as sa

from cloudkitty.db import migration
from cloudkitty.tests import cloud
from cloudkitty.tests.functional import commands
from cloudkitty.tests.functional.faults.conftest import Trial
from cloudkitty.tests.functional.faults.site import HOURS, Site

OLDER = migration.revisions()[-2]

VERSIONS = sa.table(migration.VERSION_TABLE, sa.column("version_num"))


def configure(site: Site, **collect: object) -> pathlib.Path:
    return commands.write_configuration(
        site.directory / "cloudkitty.conf",
        cloud.sections(site.database.url, site.directory, hours=HOURS),
        {
            "collect": {"wait_periods": site.wait_periods, **collect},
            "orchestrator": {"coordination_url": f"file://{site.directory}/locks"},
        },
    )


@contextmanager
def schema(site: Site, revision: str) -> Iterator[None]:
    def put(name: str) -> None:
        with site.database.writer() as connection:
            connection.execute(VERSIONS.update().values(version_num=name))
        site.database.dispose()

    put(revision)
    try:
        yield
    finally:
        put(migration.head())


@pytest.mark.parametrize(
    ("revision", "word", "advice"),
    [
        (OLDER, "older", "run cloudkitty-dbsync upgrade"),
        ("9999", "newer", "upgrade the program"),
    ],
    ids=["older", "newer"],
)
def test_another_schema_is_refused(trial: Trial, revision: str, word: str, advice: str) -> None:
    config = configure(trial.site)
    with schema(trial.site, revision):
        for arguments in ((), ("--once",)):
            refused = commands.run_warm("processor", config, *arguments)
            assert (refused.code, refused.out) == (1, "")
            assert refused.err.startswith("cloudkitty-processor: the database is at schema ")
            assert refused.err.endswith(f"; {advice}\n")
            assert refused.err.count("\n") == 1
        assert trial.site.horizons() == {}
        assert trial.site.ledger() == {}
    trial.over()
    done = commands.run_warm("processor", config, "--once")
    assert (done.code, done.err) == (0, "")
    trial.recovers(f"schema {word} than the program")


SPOILT = {"collector": "cvs", "period": "an hour", "metrics_conf": "/nowhere.yml"}


def test_the_configuration_is_spoilt_while_the_daemon_runs(trial: Trial) -> None:
    site = trial.site
    log = site.directory / "daemon.log"
    config = configure(site)

    def said(words: str) -> None:
        commands.wait_until(lambda: words in log.read_text(), words, log)

    with commands.daemon(config, log) as processor:
        said(" started")
        for option, value in SPOILT.items():
            configure(site, **{option: value})
            processor.send_signal(signal.SIGHUP)
            said(value)
        configure(site)
        processor.send_signal(signal.SIGHUP)
        trial.over()
        trial.recovers("configuration spoilt while it runs")
        assert commands.stop(processor) == 0
    assert "Traceback" not in log.read_text()
    assert [log.read_text().count(value) for value in SPOILT.values()] == [1] * len(SPOILT)
