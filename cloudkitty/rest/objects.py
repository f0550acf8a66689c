# SPDX-License-Identifier: Apache-2.0
"""Between the typed objects of requests and answers and the records of a store, whose attributes
are called the same."""

import dataclasses
from collections.abc import Iterable
from typing import Any

from wsme.types import Unset, wsattr


def optional(datatype: Any) -> Any:
    """An attribute that is null in answers when it is not set."""
    return wsattr(datatype, default=None)


class _Withheld(wsattr):  # type: ignore[misc]
    """An attribute that answers may be without."""


def withheld(datatype: Any) -> Any:
    """An attribute that is not in every answer."""
    return _Withheld(datatype)


def may_be_missing(attribute: Any) -> bool:
    """Whether answers may be without an attribute."""
    return isinstance(attribute, _Withheld)


def mandatory(datatype: Any) -> Any:
    return wsattr(datatype, mandatory=True)


def names(record: type[Any]) -> tuple[str, ...]:
    """Return what the attributes of a kind of record are called."""
    return tuple(field.name for field in dataclasses.fields(record))


def sent(given: Any, names: Iterable[str]) -> dict[str, Any]:
    """Return those of the attributes *names* that the client sent, null ones too."""
    holder = getattr(given, "_wsme_dataholder", None)
    values = {name: getattr(holder, name, Unset) for name in names}
    return {name: value for name, value in values.items() if value is not Unset}


def said(given: Any, names: Iterable[str]) -> dict[str, Any]:
    """Return what the client says about a new object; null says nothing."""
    return {name: value for name, value in sent(given, names).items() if value is not None}
