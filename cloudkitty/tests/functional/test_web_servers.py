# SPDX-License-Identifier: Apache-2.0
"""The examples for uWSGI, Apache and nginx in ``etc``: the real servers run them, with nothing but
addresses, directories and the certificate replaced."""

import contextlib
import json
import os
import pathlib
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator

import pytest
import requests

from cloudkitty.db.engine import Database
from cloudkitty.tests.functional import commands
from cloudkitty.tests.functional.live import LiveApi, write_configuration

ETC = pathlib.Path(__file__).parents[3] / "etc"
MODULES = pathlib.Path("/usr/lib/apache2/modules")
NAME = "rating.example.org"

WITH_PROXY = "[oslo_middleware]\nenable_proxy_headers_parsing = true\n"


def program(name: str) -> str:
    """The path of a program that need not be there."""
    places = [str(pathlib.Path(sys.executable).parent), os.environ["PATH"], "/usr/sbin", "/sbin"]
    found = shutil.which(name, path=os.pathsep.join(places))
    if found is None:
        pytest.skip(f"no {name} to run the example with")
    return found


def example(name: str, *replaced: tuple[str, str]) -> str:
    """The text of an example; everything that is to be replaced has to be in it."""
    text = (ETC / name).read_text()
    for old, new in replaced:
        assert old in text, f"{name} has no {old!r}"
        text = text.replace(old, new)
    return text


@contextlib.contextmanager
def running(log: pathlib.Path, *command: object, **environment: str) -> Iterator[None]:
    """Run a server while the context lasts; it has to end well when told."""
    with log.open("wb") as output:
        process = subprocess.Popen(
            [str(word) for word in command],
            cwd=commands.ROOT,
            env={**os.environ, **environment},
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        yield
    finally:
        assert commands.stop(process) == 0, log.read_text()


def versions(url: str, log: pathlib.Path, certificate: pathlib.Path | None = None) -> list[str]:
    """The links that the API answers with, once the server is there."""
    answers: list[requests.Response] = []

    def answered() -> bool:
        with contextlib.suppress(requests.ConnectionError):
            verify = str(certificate) if certificate else True
            answers.append(requests.get(url, timeout=commands.BOUND, verify=verify))
        return bool(answers)

    commands.wait_until(answered, f"an answer at {url}", log)
    assert answers[0].status_code == 200, answers[0].text
    return [link["href"] for one in answers[0].json()["versions"] for link in one["links"]]


def test_the_example_for_uwsgi(sqlite_database: Database, tmp_path: pathlib.Path) -> None:
    uwsgi = program("uwsgi")
    config = write_configuration(tmp_path, sqlite_database.url)
    port, log = commands.free_port(), tmp_path / "uwsgi.log"
    (tmp_path / "api.ini").write_text(
        example(
            "uwsgi/cloudkitty-api.ini",
            ("127.0.0.1:8889", f"127.0.0.1:{port}"),
            ("virtualenv = /opt/cloudkitty", f"virtualenv = {sys.prefix}"),
            ("=/etc/cloudkitty/cloudkitty.conf", f"={config}"),
        )
    )
    told = tmp_path / "told"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(told))
        listener.settimeout(commands.BOUND)
        # As a unit of systemd starts it.
        with running(log, uwsgi, "--ini", tmp_path / "api.ini", NOTIFY_SOCKET=str(told)):
            said = b""
            while b"READY=1" not in said:
                said = listener.recv(4096)
            url = f"http://127.0.0.1:{port}"
            assert f"{url}/v1" in versions(url, log)
            # A report, and a body that is posted.
            answer = requests.get(f"{url}/v2/summary", timeout=commands.BOUND)
            assert answer.status_code == 200, answer.text
            entered = requests.post(
                f"{url}/v1/rating/module_config/hashmap/services",
                json={"name": "instance"},
                timeout=commands.BOUND,
            )
            assert entered.status_code == 201, entered.text
            # One that is told to end while it loads the application complains about that.
            commands.wait_until(
                lambda: log.read_text().count("WSGI app 0") == 2, "both workers ready", log
            )


def test_a_mistake_ends_uwsgi(tmp_path: pathlib.Path) -> None:
    uwsgi = program("uwsgi")
    (tmp_path / "cloudkitty.conf").write_text("[api]\nbilling_time_zone = Atlantis/Poseidonis\n")
    (tmp_path / "api.ini").write_text(
        example(
            "uwsgi/cloudkitty-api.ini",
            ("127.0.0.1:8889", f"127.0.0.1:{commands.free_port()}"),
            ("virtualenv = /opt/cloudkitty", f"virtualenv = {sys.prefix}"),
            ("=/etc/cloudkitty/cloudkitty.conf", f"={tmp_path}/cloudkitty.conf"),
        )
    )
    done = subprocess.run(
        [uwsgi, "--ini", str(tmp_path / "api.ini")],
        cwd=commands.ROOT,
        capture_output=True,
        text=True,
        timeout=commands.BOUND,
        check=False,
    )
    assert done.returncode != 0
    assert "Atlantis/Poseidonis" in done.stderr


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """A certificate of loopback, and its key beside it (``.key``)."""
    path = tmp_path_factory.mktemp("tls") / f"{NAME}.pem"
    kind = ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"]
    kind += ["-addext", "subjectAltName=IP:127.0.0.1"]
    files = ["-out", str(path), "-keyout", str(path.with_suffix(".key"))]
    subprocess.run(
        [program("openssl"), *kind, "-subj", f"/CN={NAME}", *files],
        capture_output=True,
        timeout=commands.BOUND,
        check=True,
    )
    return path


@pytest.fixture
def behind(sqlite_database: Database, tmp_path: pathlib.Path) -> Iterator[LiveApi]:
    """The API that a proxy stands in front of."""
    config = write_configuration(tmp_path, sqlite_database.url)
    config.write_text(config.read_text() + WITH_PROXY)
    api = LiveApi(config)
    yield api
    api.stop()


def tls(certificate: pathlib.Path) -> list[tuple[str, str]]:
    return [
        (f"/etc/ssl/certs/{NAME}.pem", str(certificate)),
        (f"/etc/ssl/private/{NAME}.key", str(certificate.with_suffix(".key"))),
    ]


def apache(directory: pathlib.Path, site: str, port: int, *modules: str) -> pathlib.Path:
    """Write what Debian's own configuration says, as far as the site needs it."""
    loaded = ("mpm_event", "authz_core", *modules)
    absent = [name for name in loaded if not (MODULES / f"mod_{name}.so").exists()]
    if absent:
        pytest.skip(f"Apache has no module {', '.join(absent)}")
    lines = [
        f"ServerRoot {directory}",
        "ServerName localhost",
        f"PidFile {directory}/apache2.pid",
        f"DefaultRuntimeDir {directory}",
        f"Define APACHE_LOG_DIR {directory}",
        "ErrorLog /dev/stderr",
        f"Listen 127.0.0.1:{port}",
        *(f"LoadModule {name}_module {MODULES}/mod_{name}.so" for name in loaded),
        *(["User www-data", "Group www-data"] if os.getuid() == 0 else []),
        site,
    ]
    path = directory / "apache2.conf"
    path.write_text("\n".join(lines) + "\n")
    return path


def check_proxy(url: str, log: pathlib.Path, certificate: pathlib.Path) -> None:
    assert f"{url}/v1" in versions(url, log, certificate)
    session = requests.Session()
    # Else a bundle that the environment names would be believed instead.
    session.trust_env = False
    session.verify = str(certificate)
    # What is not there is said by the API, whatever stands in the path.
    answer = session.get(f"{url}/v1/rating/modules/a%2Fb", timeout=commands.BOUND)
    assert answer.status_code == 404
    assert answer.json()["faultcode"] == "Client"
    posted = session.post(
        f"{url}/v1/rating/module_config/hashmap/services",
        json={"name": "instance"},
        timeout=commands.BOUND,
    )
    assert posted.status_code == 201
    assert posted.headers["Location"].startswith(url)


def test_the_example_of_a_proxy_for_apache(
    behind: LiveApi, certificate: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    port, log = commands.free_port(), tmp_path / "apache2.log"
    site = example(
        "apache2/cloudkitty-proxy.conf",
        ("*:443", f"*:{port}"),
        ("http://127.0.0.1:8889", behind.url),
        *tls(certificate),
    )
    config = apache(tmp_path, site, port, "ssl", "headers", "proxy", "proxy_http")
    with running(log, program("apache2"), "-f", config, "-DFOREGROUND"):
        check_proxy(f"https://127.0.0.1:{port}", log, certificate)


def test_the_example_of_a_proxy_for_nginx(
    behind: LiveApi, certificate: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    nginx = program("nginx")
    port, log = commands.free_port(), tmp_path / "nginx.log"
    site = example(
        "nginx/cloudkitty.conf",
        ("listen 443", f"listen 127.0.0.1:{port}"),
        ("http://127.0.0.1:8889", behind.url),
        *tls(certificate),
    )
    temporary = "".join(
        f"{kind}_temp_path {tmp_path}/{kind};\n"
        for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    (tmp_path / "nginx.conf").write_text(
        f"{'user root;' if os.getuid() == 0 else ''}\ndaemon off;\npid {tmp_path}/nginx.pid;\n"
        f"events {{}}\nhttp {{\naccess_log off;\n{temporary}{site}}}\n"
    )
    errors = ("-e", tmp_path / "errors.log")
    with running(log, nginx, "-p", tmp_path, "-c", tmp_path / "nginx.conf", *errors):
        check_proxy(f"https://127.0.0.1:{port}", log, certificate)


def test_the_example_for_mod_wsgi_is_understood(
    certificate: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    """By Apache; mod_wsgi may be of another Python than the tests, so that it runs nothing."""
    site = example(
        "apache2/cloudkitty-wsgi.conf",
        ("user=cloudkitty group=cloudkitty ", ""),
        ("python-home=/opt/cloudkitty", f"python-home={sys.prefix}"),
        ("/usr/local/share/cloudkitty", str(ETC / "apache2")),
        *tls(certificate),
    )
    config = apache(tmp_path, site, commands.free_port(), "ssl", "wsgi")
    checked = subprocess.run(
        [program("apache2"), "-t", "-f", str(config)],
        capture_output=True,
        text=True,
        timeout=commands.BOUND,
        check=False,
    )
    assert checked.returncode == 0, checked.stderr


def test_the_script_for_mod_wsgi_has_the_application(
    sqlite_database: Database, tmp_path: pathlib.Path
) -> None:
    config = write_configuration(tmp_path, sqlite_database.url)
    ask = (
        "import runpy, sys; from webob import Request;"
        "script = runpy.run_path(sys.argv[1]);"
        "print(Request.blank('/').get_response(script['application']).text)"
    )
    done = subprocess.run(
        [sys.executable, "-c", ask, str(ETC / "apache2" / "cloudkitty.wsgi")],
        cwd=commands.ROOT,
        env={**os.environ, "OS_CLOUDKITTY_CONFIG_FILES": str(config)},
        capture_output=True,
        text=True,
        timeout=commands.BOUND,
        check=True,
    )
    assert {one["id"] for one in json.loads(done.stdout)["versions"]} == {"v1", "v2"}
