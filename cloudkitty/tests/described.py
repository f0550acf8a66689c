# SPDX-License-Identifier: Apache-2.0
"""Holds answers against the document that describes them."""

import json
import re
from collections.abc import Iterable, Iterator
from typing import Any

import jsonschema
import webob
import webob.request

from cloudkitty.tests import api

OF_BODIES = {413, 415}
"""Answers to bodies, where none is asked for."""

ELSEWHERE = ("/healthcheck",)
"""Paths of other applications beside the API."""


def document(application: Any) -> dict[str, Any]:
    """Return the document of an application."""
    answer = api.Client(application).get("/openapi.json")
    assert answer.status_int == 200
    found: dict[str, Any] = json.loads(answer.text)
    return found


class Described:
    """The operations of a document, with the schemas of their answers closed: a member that the
    document does not know is a mistake here."""

    def __init__(self, told: dict[str, Any]) -> None:
        self.told = told
        self._components = json.loads(json.dumps(told["components"]))
        for schema in self._components["schemas"].values():
            schema.setdefault("additionalProperties", False)
        # Names are matched before arguments.
        self._patterns = [
            (re.compile(re.sub(r"{\w+}", "[^/]+", path.replace(".", r"\."))), path)
            for path in sorted(told["paths"], key=lambda path: path.replace("{", "~"))
        ]

    def operations(self) -> Iterator[tuple[str, str, dict[str, Any]]]:
        """Yield method, path and description of every operation."""
        for path, item in self.told["paths"].items():
            for method, operation in item.items():
                yield method.upper(), path, operation

    def path(self, written: str) -> str | None:
        """Return the described path that *written*, without a query, is one of."""
        wanted = re.sub("/+", "/", written)
        if wanted.startswith("/v1") or wanted in ("/v2/", "/openapi.json/"):
            wanted = wanted.rstrip("/")
        found = (path for pattern, path in self._patterns if pattern.fullmatch(wanted))
        return next(found, None)

    def operation(self, method: str, path: str) -> dict[str, Any] | None:
        found: dict[str, Any] | None = self.told["paths"][path].get(method.lower())
        return found

    def check(self, request: webob.Request, answer: webob.Response) -> tuple[str, str, int] | None:
        """Make sure that an answer is one of those that are described; return which.

        Answers of what is not there are of no operation.
        """
        path = self.path(request.path_info)
        if request.path_info.startswith(ELSEWHERE):
            return None
        method = "GET" if request.method == "HEAD" else request.method
        operation = None if path is None else self.operation(method, path)
        asked = f"{request.method} {request.path_qs} {request.body!r}"
        if path is None or operation is None:
            told = f"{asked}: {answer.status} is described nowhere"
            assert answer.status_int in (401, 403, 404, 405) or method == "OPTIONS", told
            return None
        if answer.status_int == 304:
            assert not answer.body, asked
            return None
        if "requestBody" not in operation and answer.status_int in OF_BODIES:
            return None
        described = operation["responses"].get(str(answer.status_int))
        if described is None:
            # Somebody else's controller may answer anything.
            assert "default" in operation["responses"], f"{asked}: {answer.status}: {answer.text}"
            return method, path, answer.status_int
        if "$ref" in described:
            described = self._components["responses"][described["$ref"].rpartition("/")[2]]
        if request.method != "HEAD":
            self._check_content(described.get("content", {}), answer, asked)
        for header in described.get("headers", ()):
            assert header in answer.headers, f"{asked}: no {header}"
        return method, path, answer.status_int

    def _check_content(self, content: Any, answer: webob.Response, asked: str) -> None:
        if not content:
            assert not answer.body, f"{asked}: {answer.text}"
            return
        assert answer.content_type in content, f"{asked}: {answer.content_type}"
        if answer.content_type != "application/json":
            return
        schema = {**content[answer.content_type]["schema"], "components": self._components}
        problems = list(validator(schema).iter_errors(json.loads(answer.text)))
        assert not problems, f"{asked}: {answer.text[:500]}: {problems[0]}"


def validator(schema: dict[str, Any]) -> Any:
    return jsonschema.Draft202012Validator(
        schema, format_checker=jsonschema.Draft202012Validator.FORMAT_CHECKER
    )


class Witness:
    """An application between a client and the real one, which looks at all answers; ``seen`` are
    the answers that there were."""

    def __init__(self, application: Any) -> None:
        self._application = application
        self._described = Described(document(application))
        self.seen: set[tuple[str, str, int]] = set()
        self.wrong: list[str] = []

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        request = webob.request.Request(environ)
        request.make_body_seekable()
        copy = request.copy()
        answer = webob.Request(environ).get_response(self._application)
        answer.body  # noqa: B018 - reads all of it
        try:
            known = self._described.check(webob.Request(copy.environ), answer)
        except AssertionError as error:
            self.wrong.append(str(error))
        else:
            self.seen |= {known} if known else set()
        told: Iterable[bytes] = answer(environ, start_response)
        return told
