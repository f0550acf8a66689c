# SPDX-License-Identifier: Apache-2.0
"""What can be wrong with a request to read or change a module's rules, and what it is called in
HTTP."""

from cloudkitty.i18n import TranslatableError, _


class RulesError(TranslatableError):
    """Base of all; the message is for the caller: a template that keyword arguments fill."""

    http_status: int = 400


class Invalid(RulesError):
    """The request contradicts itself, or the state of the rule."""

    http_status = 400


class NotFound(RulesError):
    """There is no such object."""

    http_status = 404


class Conflict(RulesError):
    """The object would collide with one that exists."""

    http_status = 409


def name_taken(noun: str, name: str, taken_by: str) -> Conflict:
    """*noun* is what the object is called, with a capital; *taken_by* the id of the other."""
    return Conflict(
        _("{noun} {name} already exists (UUID: {taken_by})"),
        noun=noun,
        name=name,
        taken_by=taken_by,
    )
