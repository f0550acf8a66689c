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
        """Return the key of each series, by scope; series that have no row get one.

        *has_history* tells whether a scope may have series at all.
        """
        forms = {
            (scope_id, series): self._encoder.stored_form(series)
            for scope_id, many in wanted.items()
            for series in many
        }
        known = statements.series_keys(
            connection,
            {
                (scope_id, form.digest)
                for (scope_id, _series), form in forms.items()
                if has_history(scope_id)
            },
        )
        keys: dict[tuple[int, Series], int] = {}
        rows = []
        for (scope_id, series), form in forms.items():
            key = known.get((scope_id, form.digest))
            if key is None:
                key = self._ids.take()
                rows.append((key, scope_id, *form))
            keys[scope_id, series] = key
        bulk.insert(connection, models.series, SERIES_COLUMNS, rows)
        return keys
