# SPDX-License-Identifier: Apache-2.0
"""CSV files with usage, as tables: plain or gzip, one header line, cells as text.

Invariants: every line has as many cells as the header; every error names file and line; nothing
is kept in memory but the line that is read.
"""

import csv
import gzip
import os
import zlib
from collections.abc import Iterable, Iterator
from typing import IO, NoReturn

_GZIP_MAGIC = b"\x1f\x8b"

Fingerprint = tuple[tuple[int, int, int, int], ...]
"""Changes whenever one of the files does: device, inode, size and time of change of each."""


class UsageFileError(Exception):
    """A file is wrong or cannot be read; the message names file, line and column."""


def fingerprint(paths: Iterable[str]) -> Fingerprint:
    """Return what tells these files, as they are now, from changed ones.

    :raises UsageFileError: one is not there.
    """
    found = []
    for path in paths:
        try:
            status = os.stat(path)
        except OSError as error:
            raise UsageFileError(f"cannot read {path}: {error.strerror}") from error
        found.append((status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns))
    return tuple(found)


class Table:
    """One open file; iterating yields the cells of each line. ``line`` is the number of the
    line read last, ``columns`` the position of each column."""

    def __init__(self, path: str, required: Iterable[str]) -> None:
        """Open the file and read its header, which must have the *required* columns.

        :raises UsageFileError: it cannot be read, or the header is wrong.
        """
        self.path = path
        try:
            self._stream = _open(path)
        except OSError as error:
            raise UsageFileError(f"cannot read {path}: {error.strerror}") from error
        self._reader = csv.reader(self._stream, strict=True)
        self.columns: dict[str, int] = {}
        try:
            self._read_header(required)
        except UsageFileError:
            self.close()
            raise

    @property
    def line(self) -> int:
        return self._reader.line_num

    def __iter__(self) -> Iterator[list[str]]:
        width = len(self.columns)
        while True:
            try:
                for cells in self._reader:
                    if len(cells) == width:
                        yield cells
                    elif cells:
                        self.fail(f"has {len(cells)} cells, and the header {width}")
                return
            except csv.Error as error:
                self.fail(str(error))
            except (UnicodeDecodeError, OSError, EOFError, zlib.error) as error:
                self.fail(str(error), line=self.line + 1)

    def fail(self, reason: str, *, column: str | None = None, line: int | None = None) -> NoReturn:
        """Raise the error about one line (the one read last) and one column."""
        place = f"{self.path}, line {self.line if line is None else line}"
        if column is not None:
            place += f", column {column}"
        raise UsageFileError(f"{place}: {reason}")

    def close(self) -> None:
        self._stream.close()

    def _read_header(self, required: Iterable[str]) -> None:
        try:
            names = [name.strip() for name in next(self._reader, [])]
        except (csv.Error, UnicodeDecodeError, OSError, EOFError, zlib.error) as error:
            self.fail(str(error), line=1)
        missing = [name for name in required if name not in names]
        if missing:
            self.fail(f"the header lacks {', '.join(missing)}", line=1)
        for position, name in enumerate(names):
            if name in self.columns:
                self.fail("the header has this column twice", column=name, line=1)
            self.columns[name] = position


def _open(path: str) -> IO[str]:
    """Open a file for text; whether it is gzip is seen from its first bytes."""
    with open(path, "rb") as probe:
        magic = probe.read(len(_GZIP_MAGIC))
    if magic == _GZIP_MAGIC:
        return gzip.open(path, "rt", encoding="utf-8-sig", newline="")
    return open(path, encoding="utf-8-sig", newline="")
