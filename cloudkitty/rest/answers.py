# SPDX-License-Identifier: Apache-2.0
"""Turns what a function returns into JSON, by the type that it has declared.

Invariant: the type says which members an answer has and how they look; the value may be any object
with attributes of those names, or a map: what a store returns needs no copy.
"""

import functools
from collections.abc import Callable, Mapping
from typing import Any

import wsme.types
from wsme.types import Unset

from cloudkitty.rest.types import Value

Encoder = Callable[[Any], Any]


def encoder(datatype: Any) -> Encoder:
    """Return the function that makes JSON-able data of a value of *datatype*.

    Made once for each exposed function; a list of thousands of rules then costs no look-ups of
    types.
    """
    if isinstance(datatype, wsme.types.ArrayType):
        item = encoder(datatype.item_type)
        return lambda values: [item(value) for value in values]
    if wsme.types.iscomplex(datatype):
        return _members(datatype)
    assert isinstance(datatype, Value), f"{datatype} is not one of cloudkitty.rest.types"
    base: Encoder = datatype.tobasetype
    return lambda value: None if value is None else base(value)


def _members(datatype: Any) -> Encoder:
    members = [
        (attribute.name, attribute.key, encoder(attribute.datatype))
        for attribute in wsme.types.list_attributes(datatype)
    ]

    def encode(value: Any) -> dict[str, Any]:
        read = (
            value.__getitem__ if isinstance(value, Mapping) else functools.partial(getattr, value)
        )
        return {
            name: member(found)
            for name, key, member in members
            if (found := read(key)) is not Unset
        }

    return encode
