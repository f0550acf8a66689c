# SPDX-License-Identifier: Apache-2.0
"""The part that rules with dates have in common as JSON objects.

Invariant: what a client may send and we set by ourselves (audit) is accepted and ignored.
"""

from cloudkitty.rating.dated import DESCRIPTION_LENGTH, TEXT_LENGTH
from cloudkitty.rest import types
from cloudkitty.rest.objects import optional

Name = types.TextType(1, TEXT_LENGTH)
Value = types.TextType(max_length=TEXT_LENGTH)
Description = types.TextType(max_length=DESCRIPTION_LENGTH)


FILTER = (
    types.Flag,
    types.Instant,
    types.Instant,
    types.Text,
    types.Text,
    types.Text,
    types.Text,
    types.Flag,
)
"""Types of the arguments that lists of such rules take, in the order of ``DatedFilter``."""


class DatedRule(types.Form):
    """When a rule acts, and who has created, changed and deleted it."""

    description = optional(Description)
    start = types.Instant
    end = optional(types.LastInstant)
    created_at = types.Instant
    created_by = Value
    updated_by = optional(Value)
    deleted = optional(types.Instant)
    deleted_by = optional(Value)
