# SPDX-License-Identifier: Apache-2.0
"""Keys of series: found in the database, or made together with the series' row.

Invariants: a series has one row in a scope, whoever comes first; the scope's lock is held while
its rows are looked for and made.
"""

from collections.abc import Callable, Mapping, Sequence

from sqlalchemy.engine import Connection

from cloudkitty.dataframe import Series
from cloudkitty.db.engine import Database
from cloudkitty.storage.sqlalchemy import bulk, encoding, models, statements
from cloudkitty.storage.sqlalchemy.ids import SeriesIds

SERIES_COLUMNS = ("id", "scope_id", *encoding.StoredSeries._fields)


class SeriesKeys:
    """The keys of the ledger's series."""

    def __init__(self, database: Database) -> None:
        self._ids = SeriesIds(database)
        self._encoder = encoding.Encoder()

    def reserve(self, number: int) -> None:
        """Make sure that *number* new series can be given a key.

        Must not be called inside a transaction.
        """
        self._ids.reserve(number)

    def of(
        self,
        connection: Connection,
        wanted: Mapping[int, Sequence[Series]],
        has_history: Callable[[int], bool] = lambda _scope_id: True,
    ) -> dict[tuple[int, Series], int]:
        """Return the key of each series, by scope; series that have no row get one. See ``each``
        for *has_history*."""
        every = {(scope_id, series): 0 for scope_id, many in wanted.items() for series in many}
        return dict(zip(every, self.each(connection, [*every], has_history), strict=True))

    def each(
        self,
        connection: Connection,
        wanted: Sequence[tuple[int, Series]],
        has_history: Callable[[int], bool] = lambda _scope_id: True,
    ) -> list[int]:
        """Return the key of each series, given with its scope and once only; series that have no
        row get one.

        *has_history* tells whether a scope may have series at all.
        """
        forms = [self._encoder.stored_form(series) for _scope_id, series in wanted]
        old: dict[int, list[bytes]] = {
            scope_id: [] for scope_id in {pair[0] for pair in wanted} if has_history(scope_id)
        }
        for (scope_id, _series), form in zip(wanted, forms, strict=True):
            if scope_id in old:
                old[scope_id].append(form.digest)
        known = statements.series_keys(connection, old)
        keys = []
        rows = []
        for (scope_id, _series), form in zip(wanted, forms, strict=True):
            key = known.get((scope_id, form.digest)) if known else None
            if key is None:
                key = self._ids.take()
                rows.append((key, scope_id, *form))
            keys.append(key)
        bulk.insert(connection, models.series, SERIES_COLUMNS, rows)
        return keys
