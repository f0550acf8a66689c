# SPDX-License-Identifier: Apache-2.0
"""Fetches scopes from a column of CSV files, by default those that the usage comes from.

Invariant: a file is read again only when it has changed.
"""

from oslo_config import cfg

from cloudkitty.config import ConfigurationError
from cloudkitty.fetcher.base import Fetcher, FetchError
from cloudkitty.usagefile import Fingerprint, Table, UsageFileError, fingerprint


class CsvFetcher(Fetcher):
    """The distinct values of the column, sorted; an empty cell names no scope."""

    def __init__(self, conf: cfg.ConfigOpts) -> None:
        super().__init__(conf)
        self._option = "[fetcher_csv] file"
        self._paths: list[str] = conf.fetcher_csv.file
        if not self._paths:
            self._option = "[collector_csv] file"
            self._paths = conf.collector_csv.file
        if not self._paths:
            raise ConfigurationError(
                "[fetcher_csv] file: the fetcher 'csv' needs at least one file, here or in "
                "[collector_csv]"
            )
        self._column: str = conf.fetcher_csv.column or conf.collect.scope_key
        self._read: tuple[Fingerprint, list[str]] | None = None

    def scopes(self) -> list[str]:
        try:
            now = fingerprint(self._paths)
            if self._read is None or self._read[0] != now:
                found = {scope for path in self._paths for scope in self._column_of(path)}
                self._read = (now, sorted(found))
        except UsageFileError as error:
            raise FetchError(f"{self._option}: {error}") from error
        return list(self._read[1])

    def _column_of(self, path: str) -> set[str]:
        table = Table(path, (self._column,))
        try:
            position = table.columns[self._column]
            return {cells[position] for cells in table} - {""}
        finally:
            table.close()
