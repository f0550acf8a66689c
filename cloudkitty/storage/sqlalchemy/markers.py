# SPDX-License-Identifier: Apache-2.0
"""Places in a listing: what may come back from outside."""

from collections.abc import Sequence

from cloudkitty.storage.base import Marker, WrongMarker


def checked(marker: Marker, kinds: Sequence[type]) -> Marker:
    """Return the marker, whose parts are of these kinds.

    :raises WrongMarker: they are not.
    """
    if [type(part) for part in marker] != list(kinds):
        raise WrongMarker("is a marker of another question")
    return marker
