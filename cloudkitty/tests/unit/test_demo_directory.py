# SPDX-License-Identifier: Apache-2.0
"""The state directory of the demo never touches what is not its own."""

import gzip
import pathlib

import pytest

from cloudkitty import config
from cloudkitty.demo.directory import DirectoryError, StateDirectory

BEGIN = "2026-01-01T00:00:00"


@pytest.fixture
def state(tmp_path: pathlib.Path) -> StateDirectory:
    return StateDirectory(tmp_path / "demo")


def contents(state: StateDirectory) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in state.path.iterdir()}


def test_a_new_directory_holds_a_configuration_that_loads(state: StateDirectory) -> None:
    assert not state.open(BEGIN, 8889)
    conf = config.load([], config_files=[str(state.conf_file)])
    assert conf.database.connection == f"sqlite:///{state.path}/cloudkitty.sqlite"
    assert conf.collect.metrics_conf == str(state.metrics_file)
    [usage] = conf.collector_csv.file
    assert gzip.decompress(pathlib.Path(usage).read_bytes()).startswith(b"begin,end,metric,qty,")


def test_a_directory_with_other_things_is_refused(state: StateDirectory) -> None:
    state.path.mkdir()
    (state.path / "letter.txt").write_text("dear")
    with pytest.raises(DirectoryError, match="not empty"):
        state.open(BEGIN, 8889)
    assert contents(state) == {"letter.txt": b"dear"}


def test_a_foreign_configuration_is_refused(state: StateDirectory) -> None:
    state.path.mkdir()
    state.conf_file.write_text("[DEFAULT]\n")
    with pytest.raises(DirectoryError, match="not empty"):
        state.open(BEGIN, 8889)


def test_a_file_is_no_directory(tmp_path: pathlib.Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DirectoryError, match="--state-dir"):
        StateDirectory(tmp_path / "file").open(BEGIN, 8889)


def test_an_interrupted_demo_starts_over(state: StateDirectory) -> None:
    state.open(BEGIN, 8889)
    (state.path / "cloudkitty.sqlite").write_text("half")
    assert not state.open(BEGIN, 8889)
    assert "cloudkitty.sqlite" not in contents(state)


def test_a_finished_demo_stays_as_it_is(state: StateDirectory) -> None:
    state.open(BEGIN, 8889)
    (state.path / "cloudkitty.sqlite").write_text("whole")
    state.finish("Bill")
    before = contents(state)
    assert state.open(BEGIN, 9999)
    assert contents(state) == before
