"""A store with the schema, in each kind of database."""

from __future__ import annotations

import pytest

from antispam.store import Store, migrate


@pytest.fixture
def store(database_url):
    migrate(database_url)
    store = Store(database_url)
    yield store
    store.close()
