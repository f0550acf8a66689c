# SPDX-License-Identifier: Apache-2.0
"""What can go wrong while another service is asked, in one sentence each.

Invariant: every message says what was asked for, of whom, and which option would help.
"""

from typing import Any, NamedTuple


class Place(NamedTuple):
    """Another service, as messages and the configuration call it.

    ``name`` is what a sentence calls it ("the metering API"), ``group`` the section of the
    configuration about it, ``option`` the option there that has its URL, ``service_type`` its
    type in the service catalogue.
    """

    name: str
    group: str
    option: str
    service_type: str | None = None


class SourceError(Exception):
    """Another service has no usable answer."""


class Refused(SourceError):
    """An answer with an error status; ``body`` is its JSON, ``None`` when it is something else."""

    def __init__(self, message: str, status: int, body: Any) -> None:
        super().__init__(message)
        self.status = status
        self.body = body


class Malformed(SourceError):
    """An answer that is cut short, or has not the form it should have."""
