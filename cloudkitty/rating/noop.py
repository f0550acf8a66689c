# SPDX-License-Identifier: Apache-2.0
"""The rating module that changes nothing, so that there is always one."""

import datetime

from cloudkitty.dataframe import DataFrame
from cloudkitty.rating.base import Compiled, Coverage, RatingModule, RuleBook


class _Unchanged:
    """Rule book and rule set in one: the same nothing for everybody, always."""

    steady = True

    def compile(self, scope_id: str | None, at: datetime.datetime) -> Compiled:
        return Compiled(self, valid_until=None)

    def rate(self, frame: DataFrame) -> DataFrame:
        return frame


class Noop(RatingModule):
    """Always enabled; prices stay what they are."""

    module_name = "noop"
    description = "Dummy test module."
    always_enabled = True

    def load(self) -> RuleBook:
        return _Unchanged()

    def coverage(self, at: datetime.datetime) -> Coverage:
        return Coverage()
