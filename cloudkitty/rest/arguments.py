# SPDX-License-Identifier: Apache-2.0
"""Reads the arguments of a typed function from path, query string and JSON body.

Invariants: what is not declared is refused; nothing is guessed; an argument in query or body
beats the one in the path; the same argument in query and in body is refused. Every mistake is
the client's, with a text that names the argument.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import wsme.exc
import wsme.types
from wsme.api import FunctionArgument, FunctionDefinition

from cloudkitty.i18n import _
from cloudkitty.rest import errors
from cloudkitty.rest.request import FORM_TYPE, Request
from cloudkitty.rest.types import Value


def read(
    definition: FunctionDefinition, path: Sequence[str], request: Request
) -> dict[str, object]:
    """Return the keyword arguments of one call.

    :raises errors.ApiError: an argument is unknown, missing, repeated or does not fit.
    """
    declared = {argument.name: argument for argument in definition.arguments}
    given = _from_query(declared, definition, request)
    for name, value in _from_body(declared, definition, request).items():
        if name in given:
            raise errors.RepeatedArgument(name=name)
        given[name] = value
    for argument, segment in zip(definition.arguments, path, strict=False):
        if argument.name not in given:
            given[argument.name] = coerce(argument.datatype, segment, argument.name)
    for name, argument in declared.items():
        is_body = definition.body_type is not None and argument is definition.arguments[-1]
        if (argument.mandatory or is_body) and given.get(name) is None:
            raise errors.MissingArgument(name=name)
    return given


def _from_query(
    declared: Mapping[str, FunctionArgument], definition: FunctionDefinition, request: Request
) -> dict[str, object]:
    sources = [request.GET]
    if request.content_type == FORM_TYPE and request.method != "GET":
        sources.append(request.POST)
    body = definition.arguments[-1].name if definition.body_type is not None else None
    given: dict[str, object] = {}
    for source in sources:
        for name, written in source.items():
            if name not in declared or name == body:
                raise errors.UnknownArgument(name=name)
            if name in given:
                raise errors.RepeatedArgument(name=name)
            datatype = declared[name].datatype
            absent = not written and getattr(datatype, "empty_is_absent", False)
            given[name] = None if absent else coerce(datatype, written, name)
    return {name: value for name, value in given.items() if value is not None}


def _from_body(
    declared: Mapping[str, FunctionArgument], definition: FunctionDefinition, request: Request
) -> dict[str, object]:
    document = request.document()
    if document is None:
        return {}
    if definition.body_type is not None:
        name = definition.arguments[-1].name
        return {name: coerce(definition.body_type, document, name)}
    if isinstance(document, list) and len(declared) == 1:
        # The only argument may stand for itself, as clients of 2014 send a list to be quoted.
        document = {next(iter(declared)): document}
    if not isinstance(document, dict):
        raise errors.NotAnObject()
    given = {}
    for name, value in document.items():
        if name not in declared:
            raise errors.UnknownArgument(name=name)
        if value is not None:
            given[name] = coerce(declared[name].datatype, value, name)
    return given


def coerce(datatype: Any, value: object, name: str) -> object:
    """Return *value*, as JSON or a query string gives it, in the inner form of *datatype*.

    :raises errors.ApiError: it does not fit; the text names the argument or the attribute.
    """
    if value is None:
        return None
    if wsme.types.iscomplex(datatype):
        return _object(datatype, value, name)
    if isinstance(datatype, wsme.types.ArrayType):
        if not isinstance(value, list):
            raise _invalid(name, value, _("Wrong type. Expected a list."))
        return [_item(datatype.item_type, item, f"{name}[{n}]") for n, item in enumerate(value)]
    assert isinstance(datatype, Value), f"{datatype} is not one of cloudkitty.rest.types"
    try:
        return datatype.validate(value)
    except ValueError as error:
        raise _invalid(name, value, str(error)) from None


def _item(datatype: Any, value: object, name: str) -> object:
    if value is None:
        raise _invalid(name, value, _("A list has no empty places."))
    return coerce(datatype, value, name)


def _object(datatype: Any, value: object, name: str) -> object:
    if not isinstance(value, dict):
        raise _invalid(name, value, "Wrong type. Expected an object.")
    attributes = {attribute.name: attribute for attribute in wsme.types.list_attributes(datatype)}
    unknown = [key for key in value if key not in attributes]
    if unknown:
        raise errors.UnknownAttribute(argument=name, name=", ".join(map(str, unknown)))
    result = datatype()
    for key, attribute in attributes.items():
        if attribute.mandatory and value.get(key) is None:
            raise _invalid(key, None, _("Mandatory field missing."))
        if key not in value:
            continue
        if attribute.readonly:
            raise _invalid(key, value[key], _("Cannot set read only field."))
        setattr(result, attribute.key, coerce(attribute.datatype, value[key], key))
    return result


def _invalid(name: str, value: object, problem: str) -> errors.InvalidInput:
    shown = str(value)
    return errors.InvalidInput(name=name, value=shown[:200], problem=problem)
