# SPDX-License-Identifier: Apache-2.0
"""Asks other services over HTTP.

Invariants: numbers become ``Decimal`` or ``int`` from the text of the answer; an answer is whole
or an error, never cut short, and has a status of success; a large one is decoded while it arrives;
whatever goes wrong becomes one ``SourceError`` that says what was asked for, of whom, and which
option would help.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any

import ijson
import requests
import urllib3
from keystoneauth1 import adapter
from keystoneauth1 import exceptions as keystone_errors

from cloudkitty.source import sending
from cloudkitty.source.errors import Malformed, Place, Refused, SourceError

Parameters = Mapping[str, Any] | Sequence[tuple[str, Any]]

UNREADABLE = (
    ijson.JSONError,
    ValueError,
    LookupError,
    AttributeError,
    TypeError,
    ArithmeticError,
)
"""What goes wrong while an answer is read that has not the form it should have."""

_SHOWN = 80

_JSON = {"Accept": "application/json"}
"""Errors too are wanted as data, not as a page to look at."""


class Service:
    """Another service. Several threads may ask it at the same time.

    What is asked, and everything read from the answers, stands in a ``with`` block of ``asking``.
    """

    def __init__(self, http: adapter.Adapter, place: Place, limit: float) -> None:
        """*limit* is how many seconds an answer may take until it is complete."""
        self._http = http
        self._place = place
        self._limit = limit

    def asking(self, what: str) -> "_Question":
        """Name, for errors, what is asked for inside the ``with`` block.

        The block ends with ``SourceError`` when anything goes wrong: ``Refused`` for an error
        status, ``Malformed`` for an answer that cannot be read.
        """
        return _Question(what, self._place, self._http.endpoint_override, self._limit)

    def get(self, url: str, params: Parameters = ()) -> "Answer":
        """Ask; *url* is relative to the service's endpoint."""
        return self._ask("GET", url, params=_listed(params), headers=_JSON)

    def post(self, url: str, body: object, params: Parameters = ()) -> "Answer":
        """Ask with a JSON body. It must be a question: it may be sent more than once."""
        return self._ask("POST", url, json=body, params=_listed(params), headers=_JSON)

    def post_form(self, url: str, fields: Mapping[str, str]) -> "Answer":
        """Ask with a form as body, however long. It must be a question, as with ``post``."""
        return self._ask("POST", url, data=dict(fields))

    def _ask(self, method: str, url: str, **arguments: Any) -> "Answer":
        deadline = sending.Deadline(self._limit)
        response = sending.send(self._http, method, url, deadline, **arguments)
        return Answer(response, deadline)

    def close(self) -> None:
        """Close the connections that are kept."""
        self._http.session.session.close()


class Answer:
    """An answer with a status of success, read once: whole, or item by item."""

    def __init__(self, response: requests.Response, deadline: sending.Deadline) -> None:
        self._body = sending.Body(response, deadline)
        self.headers: Mapping[str, str] = response.headers
        if not 200 <= response.status_code < 300:
            raise _ErrorStatus(response, self.content())

    def content(self) -> bytes:
        """The whole answer."""
        return self._body.all()

    def json(self) -> Any:
        """The whole answer as data."""
        return read_json(self.content())

    def items(self, place: str) -> Iterator[Any]:
        """Yield the items of a list in the answer while it arrives; *place* is where it is, as
        ``ijson`` writes it: ``item`` for the answer itself, ``data.result.item``."""
        yield from ijson.items(self._body, place)

    def listed(self) -> Iterator[Any]:
        """Yield the items of an answer that has to be a list, while it arrives."""
        yield from ijson.items(_ListStream(self._body), "item")

    def events(self) -> Iterator[tuple[str, str, Any]]:
        """Yield what ``ijson.parse`` does: prefix, event and value, while the answer arrives."""
        yield from ijson.parse(self._body)


def read_json(content: bytes) -> Any:
    """Return JSON as data, numbers exact.

    :raises ValueError: it is none.
    """
    try:
        return json.loads(content, parse_float=Decimal, parse_constant=Decimal)
    except ValueError as error:
        raise ValueError(f"{error} in {content[:_SHOWN]!r}") from error


def sentence(body: Any) -> str:
    """Return what an error's JSON says, in the forms of OpenStack's services and of Prometheus;
    empty when it says nothing."""
    match body:
        case str():
            return body.strip()
        case {"error_message": told} | {"error": told} | {"description": told}:
            return sentence(told)
        case {"faultstring": told} | {"message": told} | {"cause": told, "detail": None | ""}:
            return sentence(told)
        case {"cause": cause, "reason": reason, "detail": detail}:
            return f"{sentence(cause)}: {sentence(reason)}: {json.dumps(detail, default=str)}"
        case {"cause": cause, "detail": detail}:
            return f"{sentence(cause)}: {sentence(detail) or json.dumps(detail, default=str)}"
    return ""


class _ListStream:
    """The bytes of a JSON text that has to be a list."""

    def __init__(self, body: sending.Body) -> None:
        self._body = body
        self._head = b""
        while not self._head.strip() and (piece := body.read(_SHOWN)):
            self._head += piece
        if not self._head.lstrip().startswith(b"["):
            raise TypeError(f"expected a list, not {self._head!r}")

    def read(self, size: int) -> bytes:
        if not size or not self._head:
            return self._body.read(size)
        head, self._head = self._head, b""
        return head


class _ErrorStatus(Exception):
    """An answer without a status of success."""

    def __init__(self, response: requests.Response, content: bytes) -> None:
        self.status: int = response.status_code
        try:
            self.body = read_json(content)
        except ValueError:
            self.body = None
        told = sentence(self.body) or str(response.reason or "")
        if pause := sending.wanted_pause(response):
            told += f"; it wants to be left alone for {pause:.0f} s"
        if target := response.headers.get("Location"):
            told += f" and leads to {target}"
        super().__init__(told)


class _Question:
    """Turns what goes wrong while asking into ``SourceError``."""

    def __init__(self, what: str, place: Place, endpoint: str | None, limit: float) -> None:
        self._what = what
        self._place = place
        self._limit = limit
        self._where = (
            f"[{place.group}] {place.option} {endpoint}"
            if endpoint
            else f"{place.name} that [{place.group}] finds in the service catalogue"
        )

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        told = self._told(error)
        if told is not None:
            raise told from error

    def _told(self, error: BaseException | None) -> SourceError | None:
        asked = f"asking for {self._what}: {self._where}"
        match error:
            case _ErrorStatus(status=status, body=body):
                return Refused(f"{asked} {self._refusal(status, error)}", status, body)
            case keystone_errors.Unauthorized() | keystone_errors.Forbidden():
                return SourceError(
                    f"asking for {self._what}: the identity service refuses the credentials in "
                    f"[{self._place.group}]: {error}"
                )
            case keystone_errors.EndpointNotFound() | keystone_errors.EmptyCatalog():
                return SourceError(
                    f"asking for {self._what}: the service catalogue has no service of type "
                    f"{self._place.service_type!r} for [{self._place.group}] interface and "
                    f"region_name: {error}"
                )
            case keystone_errors.ConnectTimeout():
                return SourceError(
                    f"{asked} does not answer: {error}; see [{self._place.group}] timeout"
                )
            case keystone_errors.ClientException():
                return SourceError(f"{asked} does not answer: {error}")
            case sending.TooSlow():
                return SourceError(
                    f"{asked} takes too long: its answer is not complete after {self._limit:.0f} "
                    "s; see [orchestrator] collector_request_timeout"
                )
            case requests.RequestException() | urllib3.exceptions.HTTPError() | OSError():
                return SourceError(f"{asked} breaks off its answer: {error}")
        if isinstance(error, UNREADABLE):
            return Malformed(
                f"{asked} gives an answer that cannot be read: {type(error).__name__}: {error}"
            )
        return None

    def _refusal(self, status: int, error: BaseException) -> str:
        if status in (401, 403):
            return (
                f"refuses access ({status} {error}): check the credentials in "
                f"[{self._place.group}], and that the user may read the usage of all projects"
            )
        return f"answers {status} {error}"


def _listed(params: Parameters) -> list[tuple[str, Any]]:
    return list(params.items() if isinstance(params, Mapping) else params)
