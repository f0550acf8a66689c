# SPDX-License-Identifier: Apache-2.0
"""Tokens: keystonemiddleware in front of everything but the public routes.

Invariant: an identity header that a client sends by itself never gets through.
"""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from keystonemiddleware import auth_token
from oslo_config import cfg

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

_IDENTITY = (
    "HTTP_X_USER",
    "HTTP_X_ROLE",
    "HTTP_X_PROJECT",
    "HTTP_X_TENANT",
    "HTTP_X_DOMAIN",
    "HTTP_X_IS_ADMIN",
    "HTTP_X_IDENTITY",
    "HTTP_X_SERVICE",
    "HTTP_OPENSTACK_SYSTEM",
)

_SERVICE_TOKEN = "HTTP_X_SERVICE_TOKEN"
"""The one header of these names that is a claim still to be validated."""


class AuthToken:
    """Validates the token of every request whose path is not public.

    Public paths are compared as a whole, without trailing slashes.
    """

    def __init__(
        self, application: "WSGIApplication", conf: cfg.ConfigOpts, public_routes: Iterable[str]
    ) -> None:
        self._application = application
        self._guarded = auth_token.AuthProtocol(application, {"oslo_config_config": conf})
        self._public = {route.rstrip("/") for route in public_routes}

    def __call__(
        self, environ: "WSGIEnvironment", start_response: "StartResponse"
    ) -> Iterable[bytes]:
        anonymous: dict[str, Any] = {
            name: value
            for name, value in environ.items()
            if not name.startswith(_IDENTITY) or name == _SERVICE_TOKEN
        }
        public = environ.get("PATH_INFO", "").rstrip("/") in self._public
        inner = self._application if public else self._guarded
        answer: Iterable[bytes] = inner(anonymous, start_response)
        return answer
