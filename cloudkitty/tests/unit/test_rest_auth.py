# SPDX-License-Identifier: Apache-2.0
"""What gets past the middleware that validates tokens."""

from collections.abc import Iterable
from typing import Any

import pytest
from oslo_config import cfg

from cloudkitty.rest.auth import AuthToken

CLAIMS = {
    "HTTP_X_USER_ID": "anna",
    "HTTP_X_PROJECT_ID": "alpha",
    "HTTP_X_TENANT_ID": "alpha",
    "HTTP_X_ROLES": "admin",
    "HTTP_X_ROLE": "admin",
    "HTTP_X_DOMAIN_ID": "default",
    "HTTP_X_IDENTITY_STATUS": "Confirmed",
    "HTTP_X_SERVICE_ROLES": "admin",
    "HTTP_OPENSTACK_SYSTEM_SCOPE": "all",
}


class Seen:
    """An application, or a validator, that notes what it was asked."""

    def __init__(self) -> None:
        self.environ: dict[str, Any] = {}

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        self.environ = environ
        return []


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> Seen:
    """In the place of the application, and of keystonemiddleware in front of it."""
    seen = Seen()
    monkeypatch.setattr(
        "keystonemiddleware.auth_token.AuthProtocol", lambda application, conf: seen
    )
    return seen


@pytest.mark.parametrize("path", ["/", "/v1", "/v1/report/total"])
def test_claims_of_clients_are_dropped(seen: Seen, path: str) -> None:
    auth = AuthToken(seen, cfg.ConfigOpts(), ["/", "/v1"])
    auth({"PATH_INFO": path, **CLAIMS}, None)
    assert seen.environ == {"PATH_INFO": path}


def test_tokens_are_validated_and_not_dropped(seen: Seen) -> None:
    tokens = {"HTTP_X_AUTH_TOKEN": "a", "HTTP_X_SERVICE_TOKEN": "b"}
    AuthToken(seen, cfg.ConfigOpts(), ["/"])({"PATH_INFO": "/v1", **tokens}, None)
    assert tokens.items() <= seen.environ.items()
