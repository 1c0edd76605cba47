"""What all tests share: real servers, started once where a test asks for them, and databases."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.databases import MariaDB, PostgreSQL
from support.network import PrivateNetwork
from support.places import missing_servers


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip what needs servers that this machine cannot have; under CI=true let it fail instead."""
    wanting = [item for item in items if item.get_closest_marker("servers")]
    if not wanting or os.environ.get("CI") == "true":
        return
    if reason := missing_servers():
        for item in wanting:
            item.add_marker(pytest.mark.skip(reason=reason))


@pytest.fixture(scope="session")
def servers() -> None:
    """Demand real servers: fail with one line that says what to install where they are missing."""
    if reason := missing_servers():
        pytest.fail(reason, pytrace=False)


@pytest.fixture(scope="session")
def postgresql(servers: None) -> Iterator[PostgreSQL]:
    """A PostgreSQL server for the whole run."""
    with PostgreSQL() as server:
        yield server


@pytest.fixture(scope="session")
def mariadb(servers: None) -> Iterator[MariaDB]:
    """A MariaDB server for the whole run."""
    with MariaDB() as server:
        yield server


@pytest.fixture(
    params=[
        "sqlite",
        pytest.param("postgresql", marks=pytest.mark.servers),
        pytest.param("mariadb", marks=pytest.mark.servers),
    ]
)
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The SQLAlchemy URL of an empty database, once for each kind that the store supports."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'test.db'}"
    server = request.getfixturevalue(request.param)
    return str(server.new_database())


@pytest.fixture
def network(servers: None) -> Iterator[PrivateNetwork]:
    """A private network for one test."""
    with PrivateNetwork() as private:
        yield private
