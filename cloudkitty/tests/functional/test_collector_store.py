# SPDX-License-Identifier: Apache-2.0
"""Notes about collectors, on every database."""

import concurrent.futures

from cloudkitty.db.collectors import CollectorStore
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


def test_many_at_once(database: Database) -> None:
    store = CollectorStore(database)
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: store.map("compute", "gnocchi"), range(16)))
    assert store.mappings() == [("compute", "gnocchi")]
