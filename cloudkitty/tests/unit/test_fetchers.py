# SPDX-License-Identifier: Apache-2.0
"""Fetchers that need no server: the configured list, and columns of CSV files."""

import pathlib

import pytest
from oslo_config import cfg

from cloudkitty.config import ConfigurationError
from cloudkitty.fetcher.base import FetchError
from cloudkitty.fetcher.csv import CsvFetcher
from cloudkitty.fetcher.source import SourceFetcher


class TestSource:
    def test_scopes_come_as_configured_each_once(self, conf: cfg.ConfigOpts) -> None:
        conf.set_override("sources", ["b", " a", "b", ""], "fetcher_source")
        assert SourceFetcher(conf).scopes() == ["b", "a"]

    def test_an_empty_list_names_the_option(self, conf: cfg.ConfigOpts) -> None:
        with pytest.raises(ConfigurationError, match=r"\[fetcher_source\] sources"):
            SourceFetcher(conf)


class TestCsv:
    @pytest.fixture
    def path(self, tmp_path: pathlib.Path) -> pathlib.Path:
        path = tmp_path / "usage.csv"
        path.write_text("project_id,tenant\nb,t\na,t\nb,\n,u\n", encoding="utf-8")
        return path

    def test_scopes_are_the_values_of_the_scope_key(
        self, conf: cfg.ConfigOpts, path: pathlib.Path
    ) -> None:
        conf.set_override("file", [str(path)], "fetcher_csv")
        assert CsvFetcher(conf).scopes() == ["a", "b"]

    def test_another_column(self, conf: cfg.ConfigOpts, path: pathlib.Path) -> None:
        conf.set_override("file", [str(path)], "fetcher_csv")
        conf.set_override("column", "tenant", "fetcher_csv")
        assert CsvFetcher(conf).scopes() == ["t", "u"]

    def test_the_collectors_files_serve_without_own_ones(
        self, conf: cfg.ConfigOpts, path: pathlib.Path
    ) -> None:
        conf.set_override("file", [str(path)], "collector_csv")
        assert CsvFetcher(conf).scopes() == ["a", "b"]

    def test_a_changed_file_is_read_again(self, conf: cfg.ConfigOpts, path: pathlib.Path) -> None:
        conf.set_override("file", [str(path)], "fetcher_csv")
        fetcher = CsvFetcher(conf)
        fetcher.scopes().clear()
        assert fetcher.scopes() == ["a", "b"]
        with path.open("a", encoding="utf-8") as stream:
            stream.write("c,t\n")
        assert fetcher.scopes() == ["a", "b", "c"]

    def test_a_missing_column(self, conf: cfg.ConfigOpts, path: pathlib.Path) -> None:
        conf.set_override("file", [str(path)], "fetcher_csv")
        conf.set_override("column", "domain", "fetcher_csv")
        with pytest.raises(FetchError, match=r"\[fetcher_csv\] file: .* the header lacks domain"):
            CsvFetcher(conf).scopes()

    def test_a_missing_file(self, conf: cfg.ConfigOpts, tmp_path: pathlib.Path) -> None:
        conf.set_override("file", [str(tmp_path / "none")], "collector_csv")
        with pytest.raises(FetchError, match=r"\[collector_csv\] file: cannot read"):
            CsvFetcher(conf).scopes()

    def test_no_file_at_all(self, conf: cfg.ConfigOpts) -> None:
        with pytest.raises(ConfigurationError, match=r"\[fetcher_csv\] file"):
            CsvFetcher(conf)
