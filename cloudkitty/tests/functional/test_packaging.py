# SPDX-License-Identifier: Apache-2.0
"""What is built and installed is whole: it works where there is no checkout."""

import os
import pathlib
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import zipfile
from typing import NamedTuple

import pytest

ROOT = pathlib.Path(__file__).parents[3]
BILL = ROOT / "cloudkitty" / "tests" / "demo-bill.txt"
VERSION = "7.8.9"

WITHOUT_GIT = {
    "PBR_VERSION": VERSION,
    "SKIP_GENERATE_AUTHORS": "1",
    "SKIP_GENERATE_RENO": "1",
    "SKIP_GIT_SDIST": "1",
    "SKIP_WRITE_GIT_CHANGELOG": "1",
}
"""What is made from the history takes a while and is not what is tested."""

AT_RUN_TIME = ("cloudkitty/", "etc/")
"""What has to be in a source distribution, besides what builds it."""


class Built(NamedTuple):
    sdist: pathlib.Path
    wheel: pathlib.Path


def said(*command: object, cwd: pathlib.Path, seconds: int = 240) -> str:
    """Run a command, which has to succeed, and return what it prints."""
    environment = {**os.environ, **WITHOUT_GIT, "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    # What is tested is what has been installed, not what lies about.
    environment.pop("PYTHONPATH", None)
    done = subprocess.run(
        [str(word) for word in command],
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
        timeout=seconds,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def tracked() -> list[str]:
    """The files of the checkout."""
    if not (ROOT / ".git").exists():
        pytest.skip("not a git checkout: what belongs to the package cannot be listed")
    listed = said("git", "ls-files", cwd=ROOT).splitlines()
    return [name for name in listed if (ROOT / name).is_file()]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    """Both distributions, made from a copy without git."""
    directory = tmp_path_factory.mktemp("build")
    for name in tracked():
        copy = directory / "source" / name
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, copy)
    source = directory / "source"
    said(sys.executable, "setup.py", "-q", "sdist", "-d", directory, cwd=source)
    (sdist,) = directory.glob("*.tar.gz")
    pip = (sys.executable, "-m", "pip", "-q", "wheel", "--no-deps", "--no-build-isolation")
    said(*pip, "-w", directory, sdist, cwd=directory)
    (wheel,) = directory.glob("*.whl")
    return Built(sdist, wheel)


def test_the_source_distribution_has_every_file(built: Built) -> None:
    with tarfile.open(built.sdist) as archive:
        inside = {name.partition("/")[2] for name in archive.getnames()}
    assert [name for name in tracked() if name.startswith(AT_RUN_TIME) and name not in inside] == []


def test_the_wheel_has_every_file_of_the_package(built: Built) -> None:
    with zipfile.ZipFile(built.wheel) as archive:
        inside = set(archive.namelist())
    assert [n for n in tracked() if n.startswith("cloudkitty/") and n not in inside] == []


def test_the_wheel_brings_the_samples_of_etc(built: Built) -> None:
    with zipfile.ZipFile(built.wheel) as archive:
        inside = {pathlib.PurePath(name).name for name in archive.namelist()}
    assert {"metrics.yml", "metrics-ceilometer.yml", "api_paste.ini"} <= inside


@pytest.fixture(scope="module")
def installed(built: Built, tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """The programs of the wheel in a virtual environment of its own. What the package depends on
    comes from the environment of the tests, behind everything that is installed here."""
    directory = tmp_path_factory.mktemp("installed")
    said(sys.executable, "-m", "venv", "--without-pip", directory, cwd=directory)
    (site,) = directory.glob("lib/python*/site-packages")
    (site / "tests.pth").write_text(sysconfig.get_path("purelib"))
    pip = (sys.executable, "-m", "pip", "-q", "--python", directory / "bin" / "python")
    options = ("--no-deps", "--no-index", "--ignore-installed")
    said(*pip, "install", *options, built.wheel, cwd=directory)
    return directory / "bin"


def test_the_installed_package_is_the_one_of_the_wheel(
    installed: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    program = "import cloudkitty; print(cloudkitty.__file__)"
    where = said(installed / "python", "-c", program, cwd=tmp_path)
    assert pathlib.Path(where).is_relative_to(installed.parent)


@pytest.mark.parametrize("name", ["api", "processor", "dbsync", "status"])
def test_programs_know_their_version(
    installed: pathlib.Path, tmp_path: pathlib.Path, name: str
) -> None:
    assert said(installed / f"cloudkitty-{name}", "--version", cwd=tmp_path).split()[-1] == VERSION


def test_the_demo_works_outside_a_checkout(installed: pathlib.Path, tmp_path: pathlib.Path) -> None:
    printed = said(installed / "cloudkitty-demo", "--no-serve", cwd=tmp_path)
    assert BILL.read_text().strip() in printed
