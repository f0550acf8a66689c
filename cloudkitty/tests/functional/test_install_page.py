# SPDX-License-Identifier: Apache-2.0
"""The page that says how to install, done as it says, from an empty directory to the first price.

Every block of the page that is marked ``:class: run`` is run, with the paths, addresses and names
of this test in place of those of the page. What ``install-functions.sh`` does otherwise, it says
why.
"""

import json
import os
import pathlib
import re
import subprocess
import sys
import sysconfig
import uuid
from collections.abc import Iterator

import pytest
import requests
from sqlalchemy.engine import make_url

from cloudkitty.tests.functional import commands, devstack_servers, peers, units
from cloudkitty.tests.functional.test_packaging import WITHOUT_GIT, tracked

ROOT = pathlib.Path(__file__).parents[3]
HERE = pathlib.Path(__file__).parent
PAGES = ROOT / "doc" / "source" / "operator"

UNITS = ("cloudkitty-api", "cloudkitty-processor")

PATHS = (
    "/opt/cloudkitty",
    "/etc/cloudkitty",
    "/etc/systemd/system",
    "/etc/logrotate.d",
    "/usr/local/src/cloudkitty",
    "/var/lib/cloudkitty",
    "/var/log/cloudkitty",
)
"""What the page writes to."""


def blocks(page: str, language: str) -> list[str]:
    """The blocks of a page that are marked to be run."""
    text = (PAGES / page).read_text()
    marked = rf"^\.\. code-block:: {language}\n   :class: run\n\n((?:   .*\n|\n)+)"
    return [
        re.sub(r"^   ", "", block, flags=re.MULTILINE)
        for block in re.findall(marked, text, re.MULTILINE)
    ]


class Host:
    """Where the page is followed."""

    def __init__(self, root: pathlib.Path, origin: pathlib.Path) -> None:
        self.root = root
        self.name = f"install_{uuid.uuid4().hex[:12]}"
        self.port = commands.free_port()
        self.keystone = peers.named("KEYSTONE")
        self.database = make_url(peers.named("MYSQL"))
        self.identity = devstack_servers.Identity(self.keystone)
        self.servers = devstack_servers.serve(self.identity)
        self.source = root / "usr" / "local" / "src" / "cloudkitty"
        self.conf = root / "etc" / "cloudkitty" / "cloudkitty.conf"
        self._origin = origin
        for one in ("opt", "etc/systemd/system", "etc/logrotate.d", "usr/local/src", "root"):
            (root / one).mkdir(parents=True)
        # Where programs look for their configuration, besides /etc.
        (root / "root" / ".cloudkitty").symlink_to(root / "etc" / "cloudkitty")
        self.environment = {**os.environ, **WITHOUT_GIT, **self._environment()}
        self.environment.pop("PYTHONPATH", None)

    def _environment(self) -> dict[str, str]:
        client = {
            "AUTH_URL": self.keystone,
            "IDENTITY_API_VERSION": "3",
            "USERNAME": "admin",
            "PASSWORD": "adminpass",
            "PROJECT_NAME": "admin",
            "USER_DOMAIN_ID": "default",
            "PROJECT_DOMAIN_ID": "default",
            "REGION_NAME": self.name,
        }
        return {
            "HOME": str(self.root / "root"),
            "PATH": os.pathsep.join([str(pathlib.Path(sys.executable).parent), os.environ["PATH"]]),
            "TEST_ROOT": str(self.root),
            "TEST_SITE": sysconfig.get_path("purelib"),
            "TEST_PYTHON": sys.executable,
            "TEST_FILES": str(HERE),
            "TEST_SERVERS": self.servers.url,
            # What the package depends on is there already, and nothing is fetched.
            "PIP_NO_DEPS": "1",
            "PIP_NO_INDEX": "1",
            "PIP_NO_BUILD_ISOLATION": "0",
            "PIP_IGNORE_INSTALLED": "1",
            "PIP_DISABLE_PIP_VERSION_CHECK": "1",
            **{f"OS_{name}": value for name, value in client.items()},
        }

    def here(self, text: str) -> str:
        """What the page says, for this host."""
        for path in PATHS:
            text = text.replace(path, f"{self.root}{path}")
        database = f"{self.database.host}:{self.database.port}"
        replaced = {
            r"URL-OF-THE-SOURCE": str(self._origin),
            r"https://keystone\.example\.org:5000/v3": self.keystone,
            r"db\.example\.org": database,
            r"PASSWORD": "secret",
            r"PROJECT\b": self.name,
            r"(HOST|127\.0\.0\.1):8889": f"127.0.0.1:{self.port}",
            r"port = 8889": f"port = {self.port}",
            r"0\.0\.0\.0": "127.0.0.1",
            # The servers are shared: users, databases and regions have names of their own.
            r"RegionOne": self.name,
            r"(?<=--user )cloudkitty|(?<=username = )cloudkitty": self.name,
            r"(?<=--password secret )cloudkitty": self.name,
            r"mysql://cloudkitty:(\S+)/cloudkitty": rf"mysql://{self.name}:\1/{self.name}",
        }
        for pattern, replacement in replaced.items():
            text = re.sub(pattern, replacement, text)
        return text

    def run(self, block: str, *, codes: tuple[int, ...] = (0,), **environment: str) -> str:
        """Run a block of the page as one shell, and return what it prints."""
        script = f"source {HERE}/install-functions.sh\nset -o errexit\n{self.here(block)}"
        done = subprocess.run(
            ["bash", "-c", script],
            cwd=self.source if self.source.exists() else self.root,
            env={**self.environment, **environment},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert done.returncode in codes, f"{block}\n{done.stdout}{done.stderr}{self.logs()}"
        return done.stdout

    def logs(self) -> str:
        found = [*self.root.glob("run/*.log"), *self.root.glob("var/log/cloudkitty/*.log")]
        return "".join(f"\n{path}\n{path.read_text()[-3000:]}" for path in found)

    def get(self, path: str) -> requests.Response:
        return requests.get(
            f"http://127.0.0.1:{self.port}{path}",
            headers={"X-Auth-Token": self.identity.token},
            timeout=commands.BOUND,
        )

    def make_database(self) -> None:
        (block,) = blocks("databases.rst", "sql")
        named = self.here(block).replace("cloudkitty", self.name)
        self._statements(*[line for line in named.splitlines() if line.strip()])

    def remove(self) -> None:
        """End and delete whatever is left."""
        self.servers.stop()
        for unit in UNITS:
            units.stop(self.root, unit)
        self._statements(
            f"DROP DATABASE IF EXISTS {self.name}", f"DROP USER IF EXISTS '{self.name}'@'%'"
        )
        self.identity.forget()

    def _statements(self, *lines: str) -> None:
        url = self.database.set(drivername="mysql+pymysql").render_as_string(hide_password=False)
        # The driver takes a percent sign for a place of a parameter.
        devstack_servers.statements(url, *[line.replace("%", "%%") for line in lines])


@pytest.fixture(scope="module")
def origin(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """A repository with the source as it is now."""
    path = tmp_path_factory.mktemp("origin")
    for name in tracked():
        copy = path / name
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes((ROOT / name).read_bytes())
        copy.chmod((ROOT / name).stat().st_mode)
    git(path, "init", "-q")
    git(path, "add", "--all", "--force")
    git(path, "commit", "-q", "-m", "The source")
    return path


def git(path: pathlib.Path, *words: str) -> None:
    who = ("-c", "user.name=Test", "-c", "user.email=test@example.org")
    subprocess.run(["git", *who, *words], cwd=path, timeout=commands.BOUND, check=True)


@pytest.fixture(scope="module")
def host(
    tmp_path_factory: pytest.TempPathFactory, origin: pathlib.Path
) -> Iterator[tuple[Host, list[str]]]:
    """The page, followed as far as the doctor, and what its blocks have printed."""
    made = Host(tmp_path_factory.mktemp("host"), origin)
    install, identity, start, price, doctor, _ = blocks("install.rst", "sh")
    (options,) = blocks("install.rst", "ini")
    try:
        made.identity.project(made.name, "default")
        said = [made.run(install)]
        with made.conf.open("a") as conf:
            conf.write(made.here(options))
        said.append(made.run(identity))
        made.make_database()
        said.append(made.run(start))
        said.append(made.run(price))
        # Nobody has used anything here yet, of which it warns.
        said.append(made.run(doctor, codes=(0, 1, 2)))
        yield made, said
    finally:
        made.remove()


def test_the_api_answers_to_curl(host: tuple[Host, list[str]]) -> None:
    _, said = host
    versions = json.loads(said[2].splitlines()[-1])["versions"]
    assert [one["id"] for one in versions] == ["v1", "v2"]


def test_the_first_price_is_in_force(host: tuple[Host, list[str]]) -> None:
    installed, _ = host
    rules = "/v1/rating/module_config/hashmap"
    (service,) = installed.get(f"{rules}/services").json()["services"]
    assert service["name"] == "instance"
    (price,) = installed.get(f"{rules}/mappings?service_id={service['service_id']}").json()[
        "mappings"
    ]
    assert (price["type"], price["cost"].rstrip("0")) == ("flat", "0.02")
    assert installed.get("/v1/rating/modules/hashmap").json()["enabled"] is True


def test_the_processor_takes_the_project_up(host: tuple[Host, list[str]]) -> None:
    installed, _ = host
    project = installed.identity.find("project", name=installed.name)
    status = "/opt/cloudkitty/bin/cloudkitty-status scopes --json"

    def taken_up() -> bool:
        return [one["scope_id"] for one in json.loads(installed.run(status))] == [project]

    commands.wait_until(taken_up, "the project", installed.root / "run/cloudkitty-processor.log")


def test_the_doctor_finds_nothing_wrong_but_the_source(host: tuple[Host, list[str]]) -> None:
    """There is no Gnocchi in the region of this test."""
    _, said = host
    assert "checks fine" in said[4]
    errors = [line for line in said[4].splitlines() if line.startswith("error")]
    assert [line for line in errors if "collector_gnocchi" not in line] == []


def test_everything_is_where_the_page_says(host: tuple[Host, list[str]]) -> None:
    installed, _ = host
    root = installed.root
    assert (root / "etc/cloudkitty").stat().st_mode & 0o777 == 0o750
    assert installed.conf.stat().st_mode & 0o777 == 0o640
    for name in ("api", "processor"):
        assert (root / f"var/log/cloudkitty/{name}.log").exists()
    assert "/var/log/cloudkitty/*.log" in (root / "etc/logrotate.d/cloudkitty").read_text()


def test_an_upgrade_keeps_the_price(host: tuple[Host, list[str]], origin: pathlib.Path) -> None:
    installed, _ = host
    (origin / "NEWS").write_text("A later release.\n")
    git(origin, "add", "NEWS")
    git(origin, "commit", "-q", "-m", "Release")
    mappings = "/v1/rating/module_config/hashmap/mappings?filter_group=false"
    before = installed.get(mappings).json()
    upgrade = blocks("install.rst", "sh")[-1]
    installed.run(upgrade, PBR_VERSION="7.9.0", PIP_IGNORE_INSTALLED="0")
    assert (installed.source / "NEWS").exists()
    version = installed.run("/opt/cloudkitty/bin/cloudkitty-api --version")
    assert version.split()[-1] == "7.9.0"
    assert installed.get(mappings).json() == before
