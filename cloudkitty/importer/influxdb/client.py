# SPDX-License-Identifier: Apache-2.0
"""Asks InfluxDB of version 1 over HTTP.

Invariants: only ``GET /query`` and ``/ping`` are sent, with ``SELECT`` and ``SHOW`` alone; an
answer comes in pieces of ``ROWS_AT_ONCE`` rows and is never in memory as a whole; numbers with a
point or an exponent are ``Decimal`` made from its text; one that is cut short is an error.

Form of the answers: "InfluxDB API reference", InfluxData documentation of InfluxDB 1.8.
"""

import json
from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any, NamedTuple

import requests

from cloudkitty.importer.influxdb.place import Place
from cloudkitty.importer.source import SourceError

ROWS_AT_ONCE = 2000

_READ_BYTES = 1 << 18
_CONNECT_SECONDS = 10
_SILENT_SECONDS = 600
"""How long the server may take to find the next rows."""


class Part(NamedTuple):
    """Some rows of one series of an answer; ``tags`` are what it is grouped by."""

    tags: Mapping[str, str]
    rows: list[list[Any]]


class Client:
    """One database and retention policy of a server."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self._session = requests.Session()
        self._session.verify = place.verify
        if place.username is not None:
            self._session.auth = (place.username, place.password or "")

    @property
    def name(self) -> str:
        return self._place.name

    @property
    def retention_policy(self) -> str:
        return self._place.retention_policy

    def version(self) -> str:
        """Return the version that the server says it has.

        :raises SourceError: there is no such server.
        """
        with self._get("/ping", {}) as response:
            return response.headers.get("X-Influxdb-Version", "unknown").removeprefix("v")

    def ask(self, statement: str) -> Iterator[Part]:
        """Yield the answer; the first column of a row is its time in Unix seconds where it has
        one.

        :raises SourceError: the server has failed, or does not like the statement.
        """
        parameters = {
            "db": self._place.database,
            "q": statement,
            "epoch": "s",
            "chunked": "true",
            "chunk_size": str(ROWS_AT_ONCE),
        }
        unfinished = True
        with self._get("/query", parameters) as response:
            for line in self._lines(response):
                answer = self._read(line)
                unfinished = False
                for result in answer.get("results", ()):
                    if "error" in result:
                        raise self._error(result["error"])
                    unfinished = result.get("partial", False)
                    for series in result.get("series", ()):
                        yield Part(series.get("tags", {}), series["values"])
        if unfinished:
            raise self._error("the answer is cut short")

    def rows(self, statement: str) -> Iterator[list[Any]]:
        """Yield the rows of an answer that has no groups; errors as with ``ask``."""
        for part in self.ask(statement):
            yield from part.rows

    def _get(self, path: str, parameters: Mapping[str, str]) -> requests.Response:
        # Compressing would cost the server more than the network saves.
        headers = {"Accept": "application/json", "Accept-Encoding": "identity"}
        try:
            response = self._session.get(
                f"{self._place.url}{path}",
                params=parameters,
                headers=headers,
                stream=True,
                timeout=(_CONNECT_SECONDS, _SILENT_SECONDS),
                allow_redirects=False,
            )
        except (requests.RequestException, OSError) as error:
            raise self._error(error) from error
        if not 200 <= response.status_code < 300:
            with response:
                raise self._error(f"{response.status_code} {self._refusal(response)}")
        return response

    def _refusal(self, response: requests.Response) -> str:
        try:
            return str(json.loads(response.content)["error"])
        except (requests.RequestException, ValueError, LookupError, TypeError):
            return response.reason or "is no answer of InfluxDB"

    def _lines(self, response: requests.Response) -> Iterator[bytes]:
        try:
            for line in response.iter_lines(_READ_BYTES):
                if line:
                    yield line
        except (requests.RequestException, OSError) as error:
            raise self._error(f"the answer is cut short: {error}") from error

    def _read(self, line: bytes) -> Mapping[str, Any]:
        try:
            answer = json.loads(line, parse_float=Decimal)
        except ValueError as error:
            raise self._error(f"the answer cannot be read: {error}") from error
        if not isinstance(answer, dict) or "error" in answer:
            raise self._error(answer["error"] if isinstance(answer, dict) else "is no InfluxDB")
        return answer

    def _error(self, reason: object) -> SourceError:
        return SourceError(f"--from: {self.name}: {str(reason).splitlines()[0]}")

    def close(self) -> None:
        """Close the connections."""
        self._session.close()
