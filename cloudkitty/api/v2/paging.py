# SPDX-License-Identifier: Apache-2.0
"""Listings in pages that hold while things are added.

A page that is not the last one names the place of its last item: in JSON as ``next``, and with
every format in a link. The page asked for with this ``marker`` begins behind that place, wherever
that is by then.

Invariants: a marker says where, and nothing about what a caller may see; one of another listing
is refused.
"""

import base64
import binascii
import contextlib
import datetime
import json
import urllib.parse
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

import webob

from cloudkitty.api.v2 import exact
from cloudkitty.api.v2.arguments import PAGE, Argument, Reader, reads, single
from cloudkitty.rest import errors
from cloudkitty.rest.controller import JSON
from cloudkitty.rest.request import Request
from cloudkitty.rest.streams import Streamed, complete
from cloudkitty.storage.base import Marker, Query, WrongMarker

Item = TypeVar("Item")
Answer = TypeVar("Answer", bound=webob.Response)

LARGEST_KEY = 2**31 - 1

_ANOTHER = "is a marker of another question (path: 'marker')"


def page(listing: str) -> tuple[Argument, ...]:
    """Return the arguments that choose a page of this listing."""
    return (*PAGE, single("marker", _reader(listing)))


def token(listing: str, marker: Marker | None) -> str | None:
    """Return a marker as clients see it, if there is one: text that needs no quoting in a URL."""
    if marker is None:
        return None
    written = json.dumps([listing, *marker], separators=(",", ":"), ensure_ascii=False)
    return base64.urlsafe_b64encode(written.encode()).decode().rstrip("=")


def _reader(listing: str) -> Reader:
    @reads({"type": "string"})
    def read(value: Any) -> Marker:
        try:
            padded = value.encode("ascii") + b"=" * (-len(value) % 4)
            parts = json.loads(base64.b64decode(padded, b"-_", validate=True))
        except (UnicodeError, binascii.Error, ValueError, RecursionError):
            parts = None
        if (
            not isinstance(parts, list)
            or parts[:1] != [listing]
            or not all(type(part) in (str, int) for part in parts)
        ):
            raise ValueError(
                f"{value[:100]!r} is not a marker of this listing; take the 'next' of a page"
            )
        return tuple(parts[1:])

    return read


@contextlib.contextmanager
def checked() -> Iterator[None]:
    """Where markers are used.

    :raises errors.InvalidData: the store does not know such a place.
    """
    try:
        yield
    except WrongMarker as error:
        raise errors.InvalidData(problems=f"{error} (path: 'marker')") from None


def key(marker: Marker | None) -> int | None:
    """Return the marker of a listing that is ordered by the keys of its items.

    :raises errors.InvalidData: it is not one.
    """
    if marker is None:
        return None
    match marker:
        case (int(number),) if 0 <= number <= LARGEST_KEY:
            return number
    raise errors.InvalidData(problems=_ANOTHER)


def keyed(
    request: Request,
    listing: str,
    found: Sequence[Item],
    limit: int,
    key_of: Callable[[Item], int],
    shown: Callable[[Item], Any],
) -> Streamed[Any]:
    """Return a page of a listing that is ordered by keys; *found* has one item more than the page
    if there are more."""
    items = found[:limit]
    following = (key_of(items[-1]),) if len(found) > limit else None
    return document(request, listing, {"results": [shown(item) for item in items]}, following)


def linked(
    response: Answer, request: Request, following: str | None, query: Query | None = None
) -> Answer:
    """Return the answer with a link to the page behind *following*, if there is one.

    The link has the window of *query*: what is current today may be another month tomorrow.
    """
    if following is None:
        return response
    window: dict[str, str] = {}
    if query is not None:
        window = {"begin": _text(query.begin), "end": _text(query.end)}
    kept = [
        (name, value)
        for name, value in request.GET.items()
        if name not in ("offset", "marker", *window)
    ]
    arguments = urllib.parse.urlencode([*kept, *window.items(), ("marker", following)])
    response.headers["Link"] = f'<{request.path_url}?{arguments}>; rel="next"'
    return response


def document(
    request: Request,
    listing: str,
    shown: dict[str, Any],
    following: Marker | None,
    query: Query | None = None,
) -> Streamed[Any]:
    """Return a page that is told as a whole, with the place of its last item where there are more
    behind it."""
    marker = token(listing, following)
    told = shown if marker is None else {**shown, "next": marker}
    return linked(complete(exact.dumps(told), JSON), request, marker, query)


def of_form(marker: Marker | None, *kinds: type) -> Marker | None:
    """Return the marker, of parts of these kinds.

    :raises errors.InvalidData: it is of others.
    """
    if marker is not None and tuple(map(type, marker)) != kinds:
        raise errors.InvalidData(problems=_ANOTHER)
    return marker


def _text(moment: datetime.datetime) -> str:
    return moment.isoformat()
