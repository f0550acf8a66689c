# SPDX-License-Identifier: Apache-2.0
"""``cloudkitty-api`` as a process of its own, on a free port of loopback, and its client."""

import pathlib
import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from typing import Any

import pytest

import cloudkitty
from cloudkitty import config as configuration
from cloudkitty.tests import api
from cloudkitty.tests.databases import TestServer
from cloudkitty.tests.functional import commands

AUTHTOKEN = """\
[keystone_authtoken]
auth_type = password
auth_url = {identity}
www_authenticate_uri = {identity}
username = cloudkitty
password = ratingpass
project_name = service
user_domain_id = default
project_domain_id = default
"""

ROOT = pathlib.Path(cloudkitty.__file__).parent.parent


def write_configuration(
    directory: pathlib.Path, url: str, identity: str | None = None
) -> pathlib.Path:
    """Write the configuration of an API on the database at *url*; tokens are those of the identity
    service at the URL *identity*, without it there is no authentication."""
    (directory / "metrics.yml").write_text(api.METRICS)
    path = directory / "cloudkitty.conf"
    path.write_text(
        f"""\
[DEFAULT]
auth_strategy = {"keystone" if identity else "noauth"}
state_path = {directory}
[database]
connection = {url}
[collect]
collector = csv
metrics_conf = {directory}/metrics.yml
[api]
host_ip = 127.0.0.1
port = 0
workers = 2
{AUTHTOKEN.format(identity=identity) if identity else ""}
"""
    )
    return path


def command(config: pathlib.Path, *args: str) -> list[str]:
    return [sys.executable, "-m", "cloudkitty.cli.api", "--config-file", str(config), *args]


class LiveApi:
    """A running server; ``url`` is where it says it listens."""

    def __init__(self, config: pathlib.Path, args: Sequence[str] = ()) -> None:
        self.process = subprocess.Popen(
            command(config, *args),
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        assert self.process.stdout is not None
        self.first_line = self.process.stdout.readline()
        found = re.search(r"http://\S+", self.first_line)
        assert found, self.first_line + self.process.stdout.read()
        self.url = found[0]

    def stop(self) -> int:
        """End it as an init system does, and return its exit code."""
        self.process.terminate()
        try:
            return self.process.wait(commands.BOUND)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise


def seeded(tmp_path_factory: pytest.TempPathFactory, databases: TestServer) -> Iterator[LiveApi]:
    """Yield a server with the usage of ``cloudkitty.tests.api``."""
    directory = tmp_path_factory.mktemp("live")
    conf = configuration.load([], config_files=[])
    database = databases.fresh(conf, directory)
    api.seed(api.context(conf, database, directory))
    server = LiveApi(write_configuration(directory, database.url))
    yield server
    server.stop()


def client_of(server: LiveApi, version: str) -> Any:
    """Return the client of that version, without authentication."""
    from cloudkittyclient import client
    from keystoneauth1 import loading, session

    plugin = loading.get_plugin_loader("cloudkitty-noauth").load_from_options(endpoint=server.url)
    return client.Client(version, session=session.Session(auth=plugin))


def shell(server: LiveApi, version: str, words: str) -> str:
    """Run a command of the client as from a shell, and return what it prints."""
    from cloudkittyclient import shell

    options = ["--os-rating-api-version", version, "--os-auth-type", "cloudkitty-noauth"]
    argv = ["cloudkitty", *options, "--os-endpoint", server.url, *words.split()]
    done = commands.fork(lambda: shell.main(argv[1:]), argv)
    assert done.code == 0, done.err
    return done.out
