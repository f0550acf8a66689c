# SPDX-License-Identifier: Apache-2.0
"""A host on which DevStack has been told to enable the plugin; nothing of it is left at the end."""

import configparser
import datetime
import os
import pathlib
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import uuid

import pytest
import requests
from sqlalchemy.engine import make_url

from cloudkitty.period import UTC
from cloudkitty.tests.functional import commands, devstack_servers, peers
from cloudkitty.tests.functional.test_packaging import WITHOUT_GIT

ROOT = pathlib.Path(__file__).parents[3]
FUNCTIONS = pathlib.Path(__file__).parent / "devstack-functions.sh"
PLUGIN = ROOT / "devstack"
MODULES = pathlib.Path("/usr/lib/apache2/modules")

SERVERS = ("KEYSTONE", "MYSQL")

APACHE = """\
ServerRoot {state}
ServerName localhost
PidFile {state}/apache2.pid
ErrorLog {state}/apache2.log
Listen 127.0.0.1:{port}
LoadModule mpm_event_module {modules}/mod_mpm_event.so
LoadModule authz_core_module {modules}/mod_authz_core.so
LoadModule env_module {modules}/mod_env.so
LoadModule proxy_module {modules}/mod_proxy.so
LoadModule proxy_uwsgi_module {modules}/mod_proxy_uwsgi.so
{user}
IncludeOptional {state}/sites/*.conf
"""


def hour(ago: int) -> datetime.datetime:
    now = datetime.datetime.now(UTC)
    return now.replace(minute=0, second=0, microsecond=0) - datetime.timedelta(hours=ago)


class Stack:
    """A host on which DevStack has been told to enable the plugin."""

    def __init__(self, directory: pathlib.Path) -> None:
        self.directory = directory
        self.state = directory / "state"
        self.conf = directory / "etc" / "cloudkitty.conf"
        self.uwsgi = directory / "etc" / "cloudkitty-api-uwsgi.ini"
        self.data = directory / "data"
        self.panels = directory / "horizon" / "openstack_dashboard" / "local" / "enabled"
        for one in (self.state, self.data, self.panels, directory / "dest"):
            one.mkdir(parents=True)
        # The hour from which on the project is rated; a later one may begin while the tests run.
        self.first = hour(3)
        self.name = f"devstack_{uuid.uuid4().hex[:12]}"
        self.port = commands.free_port()
        self.url = f"http://127.0.0.1:{self.port}/rating"
        self.apache = self._apache()
        url = make_url(peers.named("MYSQL")).set(drivername="mysql+pymysql")
        self.database_server = url.render_as_string(hide_password=False).rstrip("/")
        self.identity = devstack_servers.Identity(peers.named("KEYSTONE"))
        self.servers = devstack_servers.serve(self.identity, self.database_server)
        self.environment = {**os.environ, **WITHOUT_GIT, **self._environment()}
        self.environment.pop("PYTHONPATH", None)

    def _environment(self) -> dict[str, str]:
        return {
            "PATH": os.pathsep.join(
                [str(pathlib.Path(sys.executable).parent), os.environ["PATH"], "/usr/sbin"]
            ),
            "TEST_PYTHON": sys.executable,
            "TEST_SERVERS": self.servers.url,
            "TEST_STATE": str(self.state),
            "TEST_APACHE": str(self.apache or ""),
            "TEST_PORT": str(self.port),
            "TEST_IDENTITY": peers.named("KEYSTONE"),
            "TEST_DATABASE_URL": self.database_server,
            "DEST": str(self.directory / "dest"),
            "DATA_DIR": str(self.data),
            "PYTHON": str(self.directory / "dest" / "venv" / "bin" / "python"),
            "HORIZON_DIR": str(self.directory / "horizon"),
            "TEMPEST_CONFIG": str(self.state / "tempest.conf"),
            "ENABLED_SERVICES": "key,mysql,horizon,tempest",
            "ENABLE_DEBUG_LOG_LEVEL": "True",
            "DATABASE_TYPE": "mysql",
            "SERVICE_HOST": f"127.0.0.1:{self.port}",
            "SERVICE_PROTOCOL": "http",
            "SERVICE_PASSWORD": "secret",
            "SERVICE_DOMAIN_NAME": self.name,
            "SERVICE_PROJECT_NAME": "service",
            "SERVICE_TIMEOUT": str(commands.BOUND),
            "REGION_NAME": self.name,
            "STACK_USER": str(os.getuid()),
            "CLOUDKITTY_CONF_DIR": str(self.directory / "etc"),
            "CLOUDKITTY_DATABASE": self.name,
            "CLOUDKITTY_RATED_PROJECTS": self.name,
            "CLOUDKITTY_WAIT_PERIODS": "1",
            "CLOUDKITTY_COLLECTOR": "csv",
            "CLOUDKITTY_METRICS": str(self.directory / "instances.yml"),
        }

    def _apache(self) -> pathlib.Path | None:
        """Write the configuration of an Apache, and return the directory for its sockets."""
        module = MODULES / "mod_proxy_uwsgi.so"
        if not (shutil.which("apache2", path="/usr/sbin") and module.exists()):
            return None
        # Its processes are nobody's that may look into the directories of the tests.
        sockets = pathlib.Path(tempfile.mkdtemp(prefix="devstack-"))
        sockets.chmod(0o755)
        user = "User www-data\nGroup www-data" if os.getuid() == 0 else ""
        (self.state / "apache2.conf").write_text(
            APACHE.format(state=self.state, port=self.port, modules=MODULES, user=user)
        )
        return sockets

    def bash(self, *lines: str, functions: bool = True) -> str:
        """Run lines of bash as DevStack runs them, and return what they print."""
        head = ["set -o errexit -o pipefail", f"source {FUNCTIONS}", f"source {PLUGIN}/settings"]
        script = "\n".join([*(head if functions else head[:1]), *lines])
        done = subprocess.run(
            ["bash", "-c", script],
            cwd=self.directory,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=240,
            check=False,
        )
        said = done.stdout + done.stderr
        logs = "".join(f"\n{one}\n{one.read_text()[-3000:]}" for one in self.state.glob("*.log"))
        assert done.returncode == 0, said + logs
        return said

    def source(self) -> None:
        """What ``enable_plugin`` does: clone; and the virtual environment that DevStack makes."""
        if not (ROOT / ".git").exists():
            pytest.skip("not a git checkout: what DevStack would clone cannot be listed")
        target = self.directory / "dest" / "cloudkitty"
        for name in self.bash(f"git -C {ROOT} ls-files", functions=False).splitlines():
            if (ROOT / name).is_file():
                (target / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(ROOT / name, target / name)
        venv = self.directory / "dest" / "venv"
        self.bash(f"{sys.executable} -m venv --without-pip {venv}", functions=False)
        (site,) = venv.glob("lib/python*/site-packages")
        (site / "tests.pth").write_text(sysconfig.get_path("purelib"))

    def section(self, name: str, path: pathlib.Path | None = None) -> dict[str, str]:
        parser = configparser.RawConfigParser(default_section="none")
        parser.read(path or self.conf)
        return dict(parser[name])

    def pid(self, name: str) -> int:
        return int((self.state / f"{name}.pid").read_text())

    def get(self, path: str) -> requests.Response:
        """Ask the API as the administrator of the cloud."""
        return requests.get(
            f"{self.url}{path}",
            headers={"X-Auth-Token": self.identity.token},
            timeout=commands.BOUND,
        )

    def remove(self) -> None:
        """End and delete whatever is left."""
        try:
            stop = (f"source {PLUGIN}/plugin.sh", "stop_cloudkitty", "stop_apache_server")
            self.bash(*stop)
        finally:
            self.servers.stop()
            devstack_servers.statements(
                self.database_server, f"DROP DATABASE IF EXISTS {self.name}"
            )
            assert not [path for path in self.identity.forget() if self.identity.exists(path)]
            if self.apache:
                shutil.rmtree(self.apache)
