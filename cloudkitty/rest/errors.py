# SPDX-License-Identifier: Apache-2.0
"""The one registry of what the API can refuse: an error is a class with a message template
and an HTTP status.

Invariants: a handler raises, and never formats a response; an error of another room (a rating
module's store) takes part by carrying an ``http_status``; what is not known here is a fault of
the service, and its text never leaves it.
"""

from collections.abc import Mapping
from http import HTTPStatus
from typing import ClassVar, Literal, TypedDict

import webob.exc
import wsme.exc

from cloudkitty.db import engine
from cloudkitty.i18n import TranslatableError, _, translate

GENERIC = _("The service failed to handle the request; its log says why.")

AWAY = _("The database of the service cannot be reached; try again later.")


class ApiError(TranslatableError):
    """Base of the registry; keyword arguments fill the template."""

    http_status: ClassVar[int] = 500
    template: ClassVar[str] = GENERIC

    def __init__(self, **values: object) -> None:
        super().__init__(self.template, **values)
        self.headers: Mapping[str, str] = {}


class BadEncoding(ApiError):
    http_status = 400
    template = _("The {part} of the request is not valid UTF-8.")


class InvalidInput(ApiError):
    http_status = 400
    template = _("Invalid input for field/attribute {name}. Value: '{value}'. {problem}")


class MissingArgument(ApiError):
    http_status = 400
    template = _('Missing argument: "{name}"')


class UnknownArgument(ApiError):
    http_status = 400
    template = _('Unknown argument: "{name}"')


class UnknownAttribute(ApiError):
    http_status = 400
    template = _("Unknown attribute for argument {argument}: {name}")


class RepeatedArgument(ApiError):
    http_status = 400
    template = _("Parameter {name} was given several times")


class NotJson(ApiError):
    http_status = 400
    template = _("Request is not in valid JSON format")


class NotAnObject(ApiError):
    http_status = 400
    template = _("Request must be a JSON dict")


class UnknownMimeType(ApiError):
    http_status = 415
    template = _("Unknown mimetype: {mimetype}")


class TooLarge(ApiError):
    http_status = 413
    template = _("The body of the request is larger than {limit} bytes.")


class NoParentToList(ApiError):
    http_status = 400
    template = _("Name a service, a field or a group, or leave out all=false.")


class InvalidData(ApiError):
    http_status = 400
    template = _("Invalid data: {problems}")


class NotJsonType(ApiError):
    http_status = 415
    template = _("The body of the request must be of the type application/json.")


class NoDataFrames(ApiError):
    http_status = 400
    template = _("Parameter dataframes must not be empty.")


class NoScopeNamed(ApiError):
    http_status = 400
    template = _("Either all_scopes or a scope_id should be specified.")


class NoTimestamp(ApiError):
    http_status = 400
    template = _("Variable 'last_processed_timestamp' cannot be empty/None.")


class InvalidTimeGroup(ApiError):
    http_status = 400
    template = _(
        "Invalid groupby time option. There is no {name}; use time, time-d, time-w, time-m or "
        "time-y."
    )


class Forbidden(ApiError):
    http_status = 403
    template = _("Policy doesn't allow {rule} to be performed.")


class NotAuthorized(ApiError):
    http_status = 403
    template = _("You are not authorized to perform this action")


class NotFound(ApiError):
    http_status = 404
    template = _("The resource could not be found.")


class NothingFound(ApiError):
    http_status = 404
    template = _("No resource found for provided filters.")


class ModuleNotFound(ApiError):
    http_status = 404
    template = _("Module not found.")


class NamedModuleNotFound(ApiError):
    http_status = 404
    template = _("Module '{name}' not found")


class MetricNotFound(ApiError):
    http_status = 404
    template = "{metric}"


class CollectorMappingNotFound(ApiError):
    http_status = 404
    template = _("No mapping for service: {service}")


class MethodNotAllowed(ApiError):
    http_status = 405
    template = _("The method {method} is not allowed for this resource.")

    def __init__(self, *, method: str, allow: str) -> None:
        super().__init__(method=method)
        self.headers = {"Allow": allow}


class AmbiguousScope(ApiError):
    http_status = 409
    template = _("Too many resources found with the same scope_id: {scope_id}.")


class ScopeExists(ApiError):
    http_status = 409
    template = _("Cannot create a scope with an already existing scope_id: {scope_id}.")


class ScopeBusy(ApiError):
    http_status = 409
    template = _("Scope {scope_id} is being rated just now; try again.")


class TaskFinished(ApiError):
    http_status = 409
    template = _("Task {task_id} has ended already.")


class RatingFailed(ApiError):
    """What a rule or script did wrong is for the log; those who ask for a quote may not see it."""

    http_status = 503
    template = _("The rating module {module} failed to rate the resources; the log says why.")


class SameScope(ApiError):
    http_status = 409
    template = _("There is another scope with this scope_id, scope_key, fetcher and collector.")


class ModuleNotConfigurable(ApiError):
    http_status = 409
    template = _("Module is not configurable")


class Fault(TypedDict):
    """What version 1 answers when it refuses or fails."""

    faultcode: Literal["Client", "Server"]
    faultstring: str
    debuginfo: None


class Message(TypedDict):
    """What everything but version 1 answers when it refuses or fails."""

    message: str


class Answer:
    """What a client is told about an exception: status, text, and extra headers.

    *language* is the locale that the text is wanted in, English for ``None``. ``cause`` is what the
    log has to say in one line, for a fault that is not in the program.
    """

    def __init__(self, error: Exception, language: str | None = None) -> None:
        self.headers: Mapping[str, str] = {}
        self.cause: str | None = None
        self._language = language
        self.status, self.text = self._read(error)

    def _read(self, error: Exception) -> tuple[int, str]:
        if isinstance(error, ApiError):
            self.headers = error.headers
        if isinstance(error, wsme.exc.ClientSideError):
            return error.code, error.faultstring
        if isinstance(error, webob.exc.HTTPException):
            refused = HTTPStatus(error.status_int)  # type: ignore[attr-defined]
            return refused.value, refused.description or refused.phrase
        if engine.is_away(error):
            self.cause = _line(error)
            return HTTPStatus.SERVICE_UNAVAILABLE.value, translate(AWAY, self._language)
        if isinstance(error, RatingFailed):
            self.cause = _line(error)
            return error.http_status, error.told(self._language)
        status: object = getattr(error, "http_status", None)
        if isinstance(status, int) and 400 <= status < 500:
            return status, self._told(error)
        return 500, translate(GENERIC, self._language)

    def _told(self, error: Exception) -> str:
        return error.told(self._language) if isinstance(error, TranslatableError) else str(error)

    @property
    def unexpected(self) -> bool:
        """Whether the exception is a fault of the service, to be logged with its traceback."""
        return self.status >= 500

    def fault(self) -> Fault:
        """The body that v1 clients read."""
        return {
            "faultcode": "Server" if self.unexpected else "Client",
            "faultstring": self.text,
            "debuginfo": None,
        }

    def message(self) -> Message:
        """The body of every other part of the API."""
        return {"message": self.text}


def _line(error: Exception) -> str:
    """Return what the log says of *error*: the first line of what went wrong."""
    told = error.__cause__ or error if isinstance(error, RatingFailed) else error
    return str(told).splitlines()[0] if str(told) else type(told).__name__
