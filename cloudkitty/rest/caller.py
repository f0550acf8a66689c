# SPDX-License-Identifier: Apache-2.0
"""Who calls: the identity that the authentication middleware has put into the request.

Invariant: without authentication (``noauth``) every caller is an administrator.
"""

from typing import Any

from oslo_context.context import RequestContext

UNKNOWN_USER = "unknown"

AUDIT_LENGTH = 255
"""As much of a user id as audit columns keep; without authentication it can be any text."""


class Caller(RequestContext):  # type: ignore[misc]
    """One caller, for policy checks, default scopes, audit columns and log lines."""

    @classmethod
    def of(cls, environ: dict[str, Any], trusted: bool) -> "Caller":
        """Return the caller of a WSGI request; *trusted* makes everybody an administrator."""
        # Clients of the early releases name the project by its old word.
        project = environ.get("HTTP_X_PROJECT_ID") or environ.get("HTTP_X_TENANT_ID")
        caller = cls.from_environ(environ, project_id=project)
        if trusted:
            caller.is_admin = True
        return caller  # type: ignore[no-any-return]

    @property
    def audit_name(self) -> str:
        """The user id for ``created_by`` and the like."""
        return (self.user_id or UNKNOWN_USER)[:AUDIT_LENGTH]
