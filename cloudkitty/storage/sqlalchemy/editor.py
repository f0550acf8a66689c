# SPDX-License-Identifier: Apache-2.0
"""Changing the past: other content for a window, points that were sent to us, removal, and
going back to an earlier horizon.

Every change is one transaction under the locks of the scopes concerned: a reader sees the old
content or the new one. Runs stay in canonical form. What has been purged is not changed: a point
that came again would count twice.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from cloudkitty import period
from cloudkitty.dataframe import DataFrame, Series
from cloudkitty.db.engine import Database
from cloudkitty.db.models import scopes
from cloudkitty.scope import ScopeState
from cloudkitty.storage.base import Purged, Stretch
from cloudkitty.storage.sqlalchemy import kept, models, runs, statements
from cloudkitty.storage.sqlalchemy.keys import SeriesKeys
from cloudkitty.storage.sqlalchemy.statements import StoredRuns
from cloudkitty.storage.sqlalchemy.writer import content_of

RunsBySeries = dict[Series, list[runs.Run]]


class Editor:
    """The part of the ledger that rewrites what has been written."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._keys = SeriesKeys(database)

    def rewrite(
        self, begin: int, end: int, contents: Mapping[ScopeState, Sequence[Stretch]]
    ) -> Collection[ScopeState]:
        """Make the content of the window exactly this; return the scopes left untouched because
        their horizon is another by now."""
        return self.rewrite_runs(
            begin, end, {state: _runs_of(stretches) for state, stretches in contents.items()}
        )

    def rewrite_runs(
        self, begin: int, end: int, fresh: Mapping[ScopeState, RunsBySeries]
    ) -> Collection[ScopeState]:
        """As ``rewrite``, with the content given as runs."""
        self._keys.reserve(sum(map(len, fresh.values())))
        with self._database.writer() as connection:
            locked = statements.lock(connection, [state.id for state in fresh])
            current = {
                state.id: by_series
                for state, by_series in fresh.items()
                if state.id in locked and locked[state.id].horizon == _epoch(state)
            }
            _refuse_purged(connection, dict.fromkeys(current, begin))
            wanted = {scope_id: list(by_series) for scope_id, by_series in current.items()}
            keys = self._keys.of(connection, wanted)
            near = statements.runs_near(connection, list(current), begin, end)
            moved = []
            for scope_id, by_series in current.items():
                horizon = locked[scope_id].horizon
                points = {keys[scope_id, series]: many for series, many in by_series.items()}
                after = {
                    key: [
                        statements.as_stored(run, horizon)
                        for run in runs.replace(
                            [statements.with_end(run, horizon) for run in near[scope_id][key]],
                            begin,
                            end,
                            points.get(key, ()),
                        )
                    ]
                    for key in near[scope_id].keys() | points.keys()
                }
                if statements.rewrite(connection, near[scope_id], after):
                    moved.append(scope_id)
            statements.move_version(connection, moved)
        return [state for state in fresh if state.id not in current]

    def put(self, frames: Mapping[int, Iterable[DataFrame]]) -> None:
        """Add points to scopes, by the scope's key; a point that is there already (same series,
        same period) is replaced."""
        begins: dict[int, int] = {}
        wanted: list[tuple[int, Series]] = []
        points: list[list[runs.Run]] = []
        for scope_id, many in frames.items():
            by_series = _points_of(many)
            begins[scope_id] = min(run.begin for of in by_series.values() for run in of)
            wanted += [(scope_id, series) for series in by_series]
            points += by_series.values()
        self._keys.reserve(len(wanted))
        with self._database.writer() as connection:
            locked = statements.lock(connection, list(begins))
            _refuse_purged(connection, begins)
            keys = self._keys.each(connection, wanted)
            before = statements.runs_around(connection, dict(zip(keys, points, strict=True)))
            after: StoredRuns = {}
            for (scope_id, _series), key, fresh in zip(wanted, keys, points, strict=True):
                horizon = locked[scope_id].horizon
                known = [statements.with_end(run, horizon) for run in before.get(key, ())]
                after[key] = [statements.as_stored(run, horizon) for run in runs.put(known, fresh)]
            statements.rewrite(connection, before, after)
            statements.move_version(connection, list(begins))

    def delete(self, begin: int, end: int, chosen: Mapping[int, Collection[int] | None]) -> None:
        """Remove the points that start in the window: of each scope in *chosen* those of the
        given series (``None``: all)."""
        with self._database.writer() as connection:
            locked = statements.lock(connection, list(chosen))
            _refuse_purged(connection, dict.fromkeys(chosen, begin))
            near = statements.runs_near(connection, list(chosen), begin, end)
            moved = []
            for scope_id, keys in chosen.items():
                horizon = locked[scope_id].horizon
                before = {
                    key: many for key, many in near[scope_id].items() if keys is None or key in keys
                }
                after = _without(before, begin, end, horizon, horizon)
                if statements.rewrite(connection, before, after):
                    moved.append(scope_id)
            statements.move_version(connection, moved)

    def rewind(self, state: ScopeState, instant: int) -> bool:
        """Make *instant* the scope's horizon, and remove the points that start at it or later;
        return whether the horizon was still where *state* has it."""
        with self._database.writer() as connection:
            locked = statements.lock(connection, [state.id])[state.id]
            if locked.horizon != _epoch(state):
                return False
            _refuse_purged(connection, {state.id: instant})
            first = min(instant, locked.horizon or instant)
            near = statements.runs_near(connection, [state.id], first, models.OPEN)[state.id]
            after = _without(near, instant, models.OPEN, locked.horizon, instant)
            statements.rewrite(connection, near, after)
            statements.move_horizon(connection, [state.id], instant)
            statements.move_version(connection, [state.id])
        return True


def _refuse_purged(connection: Connection, begins: Mapping[int, int]) -> None:
    """Make sure that nothing of the scopes has been purged from these instants on.

    :raises Purged: some has been.
    """
    cuts = kept.cuts(connection, list(begins))
    for scope_id, cut in sorted(cuts.items()):
        if begins[scope_id] < cut:
            named = sa.select(scopes.c.identifier).where(scopes.c.id == scope_id)
            name = connection.execute(named).scalar_one()
            raise Purged(kept.refusal_to_change(name, cut))


def _without(
    before: Mapping[int, Sequence[runs.Run]],
    begin: int,
    end: int,
    horizon: int | None,
    horizon_after: int | None,
) -> StoredRuns:
    """Return stored runs without what starts in the window, as stored at the new horizon."""
    return {
        key: [
            statements.as_stored(run, horizon_after)
            for run in runs.replace(
                [statements.with_end(run, horizon) for run in many], begin, end, ()
            )
        ]
        for key, many in before.items()
    }


def _runs_of(stretches: Iterable[Stretch]) -> RunsBySeries:
    by_series: RunsBySeries = defaultdict(list)
    for frame, periods in stretches:
        begin = period.epoch(frame.period.begin)
        step = frame.period.seconds
        for series, (qty, price) in content_of(frame).items():
            by_series[series].append(runs.Run(begin, begin + periods * step, step, qty, price))
    return by_series


def _points_of(frames: Iterable[DataFrame]) -> RunsBySeries:
    """Return the points of the frames; frames of one period are one frame."""
    by_period: dict[period.Period, list[DataFrame]] = defaultdict(list)
    for frame in frames:
        by_period[frame.period].append(frame)
    return _runs_of(Stretch(_joined(many), 1) for many in by_period.values())


def _joined(frames: Sequence[DataFrame]) -> DataFrame:
    if len(frames) == 1:
        return frames[0]
    whole = DataFrame(frames[0].period)
    for frame in frames:
        for point in frame:
            whole.add(*point)
    return whole


def _epoch(state: ScopeState) -> int | None:
    return None if state.horizon is None else period.epoch(state.horizon)
