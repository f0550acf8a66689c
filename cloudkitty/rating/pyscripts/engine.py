# SPDX-License-Identifier: Apache-2.0
"""Which scripts act at an instant, and how a frame is handed to them and taken back. Pure.

Invariants: scripts act in order of creation; a script acts on every scope; prices are what the
last script leaves, whatever they were before; an amount keeps every digit on its way, a float
being read through its text; the frame that comes back is a frame of the same series objects as
far as they are unchanged.
"""

import datetime
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from cloudkitty.dataframe import DataFrame, Registry
from cloudkitty.rating import dated


@dataclass(frozen=True, slots=True)
class Script:
    """A script, in force from ``start`` and no longer at ``end``."""

    name: str
    checksum: str
    source: str
    start: datetime.datetime | None = None
    end: datetime.datetime | None = None


def in_force(
    scripts: Iterable[Script], at: datetime.datetime
) -> tuple[Sequence[Script], datetime.datetime | None]:
    """Return the scripts that act at *at*, in the order given, and until when it is these."""
    scripts = list(scripts)
    acting = [script for script in scripts if dated.in_force(script.start, script.end, at)]
    instants = (moment for script in scripts for moment in (script.start, script.end))
    later = [moment for moment in instants if moment is not None and moment > at]
    return tuple(acting), min(later, default=None)


def taken_back(frame: DataFrame, form: object) -> DataFrame:
    """Return the frame that *form*, what scripts have made of *frame*, describes.

    :raises FrameError: it describes none.
    """
    registry = Registry()
    registry.retain(series for points in frame.usage.values() for series in points.series)
    return DataFrame.from_dict(form, registry)
