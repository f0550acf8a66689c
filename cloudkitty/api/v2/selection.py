# SPDX-License-Identifier: Apache-2.0
"""Which points a request is about.

Invariants: who is not an administrator sees one scope, the project of the token, whatever the
request asks for; a point is inside a window when its period starts there.
"""

import datetime
from collections.abc import Mapping

from cloudkitty import period
from cloudkitty.api.context import ApiContext
from cloudkitty.rest.caller import Caller
from cloudkitty.storage.base import Query

METRIC = "type"


def zone_of(context: ApiContext) -> datetime.tzinfo:
    """Return the time zone of the calendar that bills are made by."""
    return period.zone(context.conf.api.billing_time_zone)


def select(
    context: ApiContext,
    caller: Caller,
    begin: datetime.datetime | None,
    end: datetime.datetime | None,
    filters: Mapping[str, list[str]],
) -> Query | None:
    """Return the question for the store, ``None`` when the caller can see nothing at all.

    The default window is the current month. Filters on the scope key choose scopes, those on
    ``type`` metrics, and all others match attributes.
    """
    rest = dict(filters)
    scopes = rest.pop(context.conf.collect.scope_key, None)
    if not context.policy.is_admin(caller):
        if not caller.project_id:
            return None
        scopes = [caller.project_id]
    month = period.current_month(datetime.datetime.now(period.UTC), zone_of(context))
    return Query(begin or month.begin, end or month.end, scopes, rest.pop(METRIC, None), rest)
