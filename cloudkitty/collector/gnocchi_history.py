# SPDX-License-Identifier: Apache-2.0
"""How the attributes of resources have changed since a period began.

Invariant: pure; a change counts from the whole second in which it was made.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from cloudkitty.collector import gnocchi_usage as usage
from cloudkitty.period import Period

Item = Mapping[str, Any]


class Revision(NamedTuple):
    """What a resource was like until ``end``."""

    end: int
    about: Item


class Lives(NamedTuple):
    """What a resource was like in a period, one after the other: ``about`` has one entry more
    than ``cuts``, the instants of the changes."""

    cuts: tuple[int, ...]
    about: tuple[Item, ...]


class Changes:
    """The revisions that have ended since the begin of a period, and began before its end."""

    def __init__(self, rows: Iterable[Item]) -> None:
        self._revisions: dict[str, list[Revision]] = {}
        for row in rows:
            ended = Revision(usage.instant(row["revision_end"]), row)
            self._revisions.setdefault(str(row["id"]), []).append(ended)
        for revisions in self._revisions.values():
            revisions.sort(key=lambda revision: revision.end)

    @staticmethod
    def query(period: Period) -> Mapping[str, Any]:
        """Return the search for the revisions of a period that have ended."""
        return {
            "and": [
                Changes._ended_since(period),
                {"<": {"revision_start": period.end.isoformat()}},
            ]
        }

    @staticmethod
    def later_query(period: Period, resources: Sequence[str] | None) -> Mapping[str, Any]:
        """Return the search for all revisions of some *resources* (``None``: of all) that have
        ended since the begin of a period, also those that began after it."""
        if resources is None:
            return Changes._ended_since(period)
        return {"and": [Changes._ended_since(period), {"in": {"id": list(resources)}}]}

    @staticmethod
    def _ended_since(period: Period) -> Mapping[str, Any]:
        return {">=": {"revision_end": period.begin.isoformat()}}

    def lives(self, now: Item, period: Period) -> Lives:
        """Return what the resource that is *now* like this was like in the period; one that was
        made after it is taken for what it was like first."""
        begin, end = usage.instants(period)
        cuts: list[int] = []
        about: list[Item] = []
        for revision in self._revisions.get(str(now["id"]), ()):
            cut = revision.end - revision.end % usage.SECOND
            about.append(revision.about)
            if cut >= end:
                return Lives(tuple(cuts), tuple(about))
            cuts.append(max(cut, begin))
        return Lives(tuple(cuts), (*about, now))

    def misses(self, now: Item, period: Period) -> bool:
        """Return whether a resource that is *now* like this has changed after the period without
        a revision here that says from what: it was made later, or the revisions are older."""
        since = usage.instant(now["revision_start"])
        if since < usage.instants(period)[1]:
            return False
        revisions = self._revisions.get(str(now["id"]), ())
        return not revisions or revisions[-1].end < usage.instants(period)[1]

    def resources_of(self, key: str, scopes: set[str]) -> list[str]:
        """Return the ids of the resources that once belonged to one of *scopes*."""
        return sorted(
            resource
            for resource, revisions in self._revisions.items()
            if any(revision.about.get(key) in scopes for revision in revisions)
        )
