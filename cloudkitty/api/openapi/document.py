# SPDX-License-Identifier: Apache-2.0
"""The document as a whole."""

import inspect
import sys
from typing import Any

from cloudkitty import version
from cloudkitty.api.openapi import operations, routes
from cloudkitty.api.openapi.operations import Operations
from cloudkitty.api.openapi.refusals import Refusals
from cloudkitty.api.openapi.routes import Route
from cloudkitty.api.openapi.schemas import Schemas
from cloudkitty.rest.controller import Controller

OPENAPI = "3.1.0"

ABOUT = """\
Rating for clouds: what was used, what it costs, and by which rules.

* Below `/v1`, arguments may also be members of a JSON body, whatever the method, and a trailing
  slash never matters. Below `/v2`, HEAD is answered where GET is.
* What is not known is refused. Clients of all years are understood: where a schema asks for a
  boolean, words such as `yes` will do, and where it asks for a number, its text.
* A text must not have a null character in it.
* `x-policy-rule` names the policy that has to allow an operation, or a list of them, which all
  have to.
"""

TOKEN = {
    "type": "apiKey",
    "in": "header",
    "name": "X-Auth-Token",
    "description": "A token of the identity service.",
}


def describe(root: Controller, *, enforced: bool) -> dict[str, Any]:
    """Return the document of everything below *root*; *enforced* is whether policies are.

    It has no ``servers``: where it was fetched from says that.
    """
    schemas = Schemas()
    refusals = Refusals(schemas, enforced=enforced)
    described = Operations(schemas, refusals, enforced=enforced)
    found = routes.walk(root)
    paths: dict[str, dict[str, Any]] = {}
    for route in found:
        paths.setdefault(route.path, {})[route.method.lower()] = described.describe(route)
    components: dict[str, Any] = {
        "schemas": dict(sorted(schemas.components.items())),
        "responses": dict(sorted(refusals.components.items())),
    }
    if enforced:
        components["securitySchemes"] = {"token": TOKEN}
    return {
        "openapi": OPENAPI,
        "info": {
            "title": "CloudKitty",
            "version": version.version_string(),
            "description": ABOUT,
            "license": {"name": "Apache 2.0", "identifier": "Apache-2.0"},
        },
        "tags": _tags(found),
        "paths": paths,
        "components": components,
    }


def _tags(found: list[Route]) -> list[dict[str, str]]:
    told: dict[str, str] = {}
    for route in found:
        module = sys.modules[type(route.node).__module__]
        summary = " ".join((inspect.getdoc(module) or "").partition("\n\n")[0].split())
        told.setdefault(operations.tag(route), summary.replace("``", "`"))
    return [{"name": name, "description": words} for name, words in told.items()]
