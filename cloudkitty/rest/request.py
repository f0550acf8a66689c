# SPDX-License-Identifier: Apache-2.0
"""A request as controllers see it: who calls, and the JSON document that came with it.

Invariant: a JSON number never becomes a binary float.
"""

import json
import urllib.parse
from decimal import Decimal
from typing import Any, NoReturn

import pecan
from webob.multidict import MultiDict

from cloudkitty import i18n
from cloudkitty.rest import errors
from cloudkitty.rest.caller import Caller

JSON_TYPES = ("application/json", "text/javascript", "application/javascript")
FORM_TYPE = "application/x-www-form-urlencoded"

DEPTH = 100
"""Most levels of a JSON body: what reads it may recurse."""

_TOO_DEEP = "nested too deeply"

_CALLER = "cloudkitty.caller"
_DOCUMENT = "cloudkitty.document"
_OWNERS = "cloudkitty.owners"
_RULE = "cloudkitty.rule"


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _check_depth(document: object) -> None:
    level: list[Any] = [document]
    for _ in range(DEPTH):
        level = [
            inner
            for outer in level
            for inner in (outer.values() if isinstance(outer, dict) else outer)
            if type(inner) in (dict, list)
        ]
    if level:
        raise ValueError(_TOO_DEEP)


class Request(pecan.Request):  # type: ignore[misc]
    """The framework's request, with the caller and an exact reading of JSON bodies."""

    @property
    def caller(self) -> Caller:
        caller: Caller = self.environ[_CALLER]
        return caller

    @caller.setter
    def caller(self, caller: Caller) -> None:
        self.environ[_CALLER] = caller

    @property
    def owners(self) -> list[str]:
        """The ids of the objects above the node that the path leads to."""
        owners: list[str] = self.environ.setdefault(_OWNERS, [])
        return owners

    @property
    def rule(self) -> str:
        """The policy that the function which answers was declared to ask."""
        rule: str = self.environ[_RULE]
        return rule

    @rule.setter
    def rule(self, rule: str) -> None:
        self.environ[_RULE] = rule

    @property
    def GET(self) -> MultiDict:
        """The arguments of the query string; the framework would also part them at semicolons,
        which clients may send as they are."""
        pairs = urllib.parse.parse_qsl(self.query_string, keep_blank_values=True)
        return MultiDict(pairs)

    @property
    def json(self) -> Any:
        """The JSON body, read once.

        :raises ValueError: it is not JSON.
        """
        if _DOCUMENT not in self.environ:
            try:
                document = json.loads(
                    self.body.decode("utf-8"), parse_float=Decimal, parse_constant=_no_constant
                )
            except RecursionError:
                raise ValueError(_TOO_DEEP) from None
            except UnicodeDecodeError:
                # The framework would log this one as a fault.
                raise ValueError("not UTF-8") from None
            if self.body.count(b"[") + self.body.count(b"{") > DEPTH:
                _check_depth(document)
            self.environ[_DOCUMENT] = document
        return self.environ[_DOCUMENT]

    @property
    def json_body(self) -> Any:
        return self.json

    def document(self) -> Any | None:
        """Return the JSON body, ``None`` when there is no body (or a form, read elsewhere).

        :raises errors.ApiError: the body is of another type, or not JSON.
        """
        if not self.body or self.content_type == FORM_TYPE:
            return None
        if self.content_type not in JSON_TYPES:
            raise errors.UnknownMimeType(mimetype=self.content_type)
        try:
            return self.json
        except ValueError:
            raise errors.NotJson() from None

    @property
    def path_info(self) -> str:
        """The path below the application.

        :raises errors.BadEncoding: it is not UTF-8.
        """
        try:
            return str(pecan.Request.path_info.fget(self))
        except UnicodeError:
            raise errors.BadEncoding(part="path") from None

    @property
    def language(self) -> str | None:
        """The locale of the translation that the client likes best, ``None`` for English."""
        header = self.accept_language
        if not header:
            return None
        offered = i18n.languages()
        locale = offered[header.lookup([*offered], default_tag="en", default="en")]
        return None if locale == i18n.ENGLISH else locale

    def check_query(self) -> None:
        """Make sure that the query string can be read.

        :raises errors.BadEncoding: it is not UTF-8.
        """
        try:
            urllib.parse.unquote_to_bytes(self.query_string).decode()
        except UnicodeError:
            raise errors.BadEncoding(part="query") from None

    @property
    def resource_url(self) -> str:
        """The URL of the request without query and trailing slash."""
        return str(self.path_url).rstrip("/")

    def object_url(self, identifier: str) -> str:
        """The URL of an object that the path names, or that a request to its collection is about
        by an id in query or body."""
        url = self.resource_url
        return url if url.endswith(f"/{identifier}") else f"{url}/{identifier}"
