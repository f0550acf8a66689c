# SPDX-License-Identifier: Apache-2.0
"""Notes about collectors, on every database."""

import concurrent.futures

from cloudkitty.db.collectors import CollectorStore, Notes
from cloudkitty.db.engine import Database


def test_mappings(database: Database) -> None:
    store = CollectorStore(database)
    store.map("compute", "gnocchi")
    store.map("image", "gnocchi")
    store.map("compute", "ceilometer")
    store.map("compute", "ceilometer")
    assert store.mappings() == [("compute", "ceilometer"), ("image", "gnocchi")]
    assert store.mappings("gnocchi") == [("image", "gnocchi")]
    assert store.mapping("compute") == ("compute", "ceilometer")
    assert store.mapping("volume") is None
    assert store.unmap("compute")
    assert not store.unmap("compute")


def test_states(database: Database) -> None:
    store = CollectorStore(database)
    assert not store.state("gnocchi").enabled
    store.set_state("gnocchi", True)
    assert store.state("gnocchi") == ("gnocchi", True)
    store.set_state("gnocchi", False)
    assert not store.state("gnocchi").enabled


def test_a_collector_without_a_note_is_enabled_where_it_is_in_use(database: Database) -> None:
    store = CollectorStore(database)
    assert store.state("csv", in_use=True).enabled
    store.set_state("csv", False)
    assert not store.state("csv", in_use=True).enabled


def test_all_notes_at_once(database: Database) -> None:
    store = CollectorStore(database)
    assert store.notes() == Notes()
    store.map("compute", "gnocchi")
    store.map("state", "mapping")
    store.set_state("gnocchi", True)
    store.set_state("état", False)
    notes = store.notes()
    assert notes == Notes(
        {"compute": "gnocchi", "state": "mapping"}, {"gnocchi": True, "état": False}
    )
    assert [notes.enabled(name) for name in ("gnocchi", "état", "csv")] == [True, False, True]


def test_many_at_once(database: Database) -> None:
    store = CollectorStore(database)
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: store.map("compute", "gnocchi"), range(16)))
    assert store.mappings() == [("compute", "gnocchi")]
