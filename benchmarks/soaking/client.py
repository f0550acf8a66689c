# SPDX-License-Identifier: Apache-2.0
"""A connection to the API that is kept open, and tells a refusal from an answer."""

import http.client
import json
import urllib.parse
from decimal import Decimal
from typing import Any, NamedTuple

HASHMAP = "/v1/rating/module_config/hashmap"

TIMEOUT = 60
"""Seconds after which a request counts as refused."""


class Answer(NamedTuple):
    """A status, and the document, in which numbers are exact."""

    status: int
    body: bytes

    @property
    def document(self) -> Any:
        return json.loads(self.body, parse_float=Decimal)


class Refused(Exception):
    """There was no answer."""


class Client:
    """For one thread."""

    def __init__(self, url: str) -> None:
        place = urllib.parse.urlsplit(url).netloc
        self._connection = http.client.HTTPConnection(place, timeout=TIMEOUT)

    def ask(self, method: str, path: str, body: object = None) -> Answer:
        """Return the answer, whatever it is. A server may close a connection that rests at the
        instant at which it is used again; that is tried once more, as any client does.

        :raises Refused: there is none.
        """
        is_fresh = self._connection.sock is None
        try:
            return self._ask(method, path, body)
        except (http.client.RemoteDisconnected, BrokenPipeError, ConnectionResetError) as error:
            self._connection.close()
            if is_fresh:
                raise Refused(f"{method} {path}: {error!r}") from error
        except (OSError, http.client.HTTPException) as error:
            self._connection.close()
            raise Refused(f"{method} {path}: {error!r}") from error
        return self.ask(method, path, body)

    def need(self, method: str, path: str, body: object = None) -> Any:
        """Return the document of a good answer, ``None`` where there is no body.

        :raises Refused: there is none, or another answer.
        """
        answer = self.ask(method, path, body)
        if answer.status >= 400:
            raise Refused(f"{method} {path}: {answer.status} {answer.body[:300]!r}")
        return answer.document if answer.body.strip() else None

    def _ask(self, method: str, path: str, body: object) -> Answer:
        headers = {"Content-Type": "application/json"}
        content = None if body is None else json.dumps(body)
        self._connection.request(method, path, content, headers)
        answer = self._connection.getresponse()
        return Answer(answer.status, answer.read())


def query(path: str, **fields: object) -> str:
    """Return the path with arguments."""
    return f"{path}?{urllib.parse.urlencode(fields, doseq=True)}"
