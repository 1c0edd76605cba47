"""A database file that is replaced while the filter runs: nothing is promised that goes into the deleted one."""

from __future__ import annotations

import contextlib
import logging
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from antispam.store import Store, StoreError, migrate
from antispam.store.prepared import Prepared
from antispam.store.schema import rate

ADD = Prepared(lambda _: sa.insert(rate))


@pytest.fixture
def file(tmp_path: Path) -> Path:
    migrate(f"sqlite:///{tmp_path / 'bms.sqlite'}")
    return tmp_path / "bms.sqlite"


@pytest.fixture
def store(file: Path) -> Iterator[Store]:
    with contextlib.closing(Store(f"sqlite:///{file}")) as made:
        yield made


def put(store: Store, name: str) -> None:
    with store.write() as connection:
        connection.execute(sa.insert(rate).values(name=name, began_at=0.0, used=1))


def names(store: Store) -> list[str]:
    with store.read() as connection:
        return list(connection.scalars(sa.select(rate.c.name)))


def put_while(store: Store, something: Callable[[], None]) -> None:
    """A transaction in the midst of which something happens."""
    with store.write() as connection:
        connection.execute(sa.insert(rate).values(name="lost", began_at=0.0, used=1))
        something()


def put_at_once_while(store: Store, something: Callable[[], None]) -> None:
    """A statement that is a transaction by itself, after which something happens."""
    row = {"name": "lost", "began_at": 0.0, "used": 1}
    with store.write_once() as connection:
        ADD.change(connection, row)
        something()


def replace(file: Path) -> None:
    """As an administrator puts a backup in place: copied beside it, then moved over it."""
    copy = file.with_name("backup")
    shutil.copy(file, copy)
    copy.replace(file)
    for rest in ("-wal", "-shm"):
        file.with_name(file.name + rest).unlink(missing_ok=True)


def test_what_is_written_afterwards_is_in_the_new_file(file, store, caplog):
    put(store, "before")
    store.close()  # the write-ahead log is in the file now
    replace(file)
    with caplog.at_level(logging.ERROR):
        put(store, "after")
    with contextlib.closing(Store(f"sqlite:///{file}")) as other:
        assert "after" in names(other)


def test_it_is_said_in_the_log_once(file, store, caplog):
    put(store, "before")
    replace(file)
    with caplog.at_level(logging.ERROR):
        put(store, "one")
        put(store, "two")
    assert [record.message for record in caplog.records] == [
        f"the database file {file} was replaced; it is opened anew"
    ]


@pytest.mark.parametrize("put_meanwhile", [put_while, put_at_once_while])
def test_a_transaction_that_has_begun_does_not_succeed(file, store, put_meanwhile):
    with pytest.raises(StoreError, match="was replaced"):
        put_meanwhile(store, lambda: replace(file))
    put(store, "next")
    assert names(store) == ["next"]


def test_a_file_that_is_gone_is_no_place_to_write_to(file, store):
    with pytest.raises(StoreError, match="was replaced"):
        put_while(store, file.unlink)
