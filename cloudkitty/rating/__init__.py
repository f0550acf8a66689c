# SPDX-License-Identifier: Apache-2.0
"""What things cost.

``RatingProcessorBase`` is the name by which modules of other origin know their base; it is looked
up when somebody asks, because engines of modules are imported without any database.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cloudkitty.rating.legacy import RatingProcessorBase

__all__ = ["RatingProcessorBase"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module("cloudkitty.rating.legacy"), name)
