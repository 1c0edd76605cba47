"""Moving everything to another database while others write."""

from __future__ import annotations

import contextlib
import random
import threading

import pytest
import sqlalchemy as sa

from antispam.store import Store, StoreError, live_move
from antispam.store.live_move import cancel, move_live
from antispam.store.migrate import HalfMoved, migrate
from antispam.store.move import MoveError, move
from antispam.store.schema import metadata
from support import outdated
from support.patience import PATIENCE
from support.stores import make_store

preference, message, entry = (metadata.tables[name] for name in ("preference", "stored_message", "quarantine_entry"))
user, page = metadata.tables["dspam_user"], metadata.tables["dspam_page"]


def _rows(url):
    engine = sa.create_engine(url, poolclass=sa.pool.NullPool)
    with engine.connect() as connection:
        return {
            table.name: sorted((tuple(row) for row in connection.execute(sa.select(table))), key=repr)
            for table in metadata.sorted_tables
        }


def _fill(url, rows=40):
    engine = sa.create_engine(url, poolclass=sa.pool.NullPool)
    outdated.fill(engine, rows, ("dspam_user", "dspam_page", "greylist", "stored_message", "quarantine_entry"))
    if engine.dialect.name == "postgresql":
        with engine.begin() as connection:
            for name in ("dspam_user", "quarantine_entry"):
                connection.exec_driver_sql(f"SELECT setval(pg_get_serial_sequence('{name}', 'id'), 1000)")


@pytest.fixture
def source(tmp_path):
    url = make_store(tmp_path / "from.sqlite")
    _fill(url)
    return url


@pytest.fixture
def target(tmp_path):
    return f"sqlite:///{tmp_path}/to/bms.sqlite"


def _change(store, name, chance):
    """What programs do: a message is kept, another one goes; a user is learned for, another one is deleted."""
    with store.write() as connection:
        match chance.randrange(4):
            case 0:
                connection.execute(sa.insert(message).values(ref=name, stored_at=1.0, content=b"x"))
                texts = dict.fromkeys(("mail_from", "recipients", "subject", "check_name", "action", "reason"), "[]")
                values = {"ref": name, "user_name": "ann", "received_at": 1.0, "size": 1, **texts}
                connection.execute(sa.insert(entry).values(values))
            case 1:
                ref = connection.scalar(sa.select(entry.c.ref).limit(1))
                connection.execute(sa.delete(entry).where(entry.c.ref == ref))
                connection.execute(sa.delete(message).where(message.c.ref == ref))
            case 2:
                numbers = dict.fromkeys(
                    (column.name for column in user.columns if column.name not in ("id", "name")), 0
                )
                made = connection.execute(sa.insert(user).values(name=name, **numbers)).inserted_primary_key
                connection.execute(sa.insert(page).values(user_id=made[0], start=2**62, content=b"1"))
                oldest = connection.scalar(sa.select(sa.func.min(user.c.id)))
                connection.execute(sa.delete(user).where(user.c.id == oldest))
            case 3:
                connection.execute(sa.update(page).values(content=name.encode()))
        # The last thing that this writer has done, which must be the last in the new database, too.
        done = {"scope": "user", "owner": name.partition("-")[0], "name": "last", "value": name}
        connection.execute(store.upsert(preference, done, ("scope", "owner", "name"), {"value": name}))


class Writers:
    """Programs that write until they are refused."""

    def __init__(self, url, name, number=2):
        self._store = Store(url)
        self.last = {}
        self._end = threading.Event()
        self._begun = threading.Barrier(number + 1)
        self._threads = [threading.Thread(target=self._write, args=(f"{name}{index}",)) for index in range(number)]

    def _write(self, name):
        chance = random.Random(name)
        for number in range(100_000):
            try:
                _change(self._store, f"{name}-{number}", chance)
            except StoreError:
                return
            self.last[name] = f"{name}-{number}"
            if number == 0:
                self._begun.wait(PATIENCE)
            if self._end.wait(0.01):
                return

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        self._begun.wait(PATIENCE)
        return self

    def __exit__(self, kind, *_):
        if kind is not None:
            self._end.set()
        for thread in self._threads:
            thread.join(PATIENCE)
        self._store.close()


def _demand_that_nothing_is_lost(source, target, name="w"):
    with Writers(source, name) as writers:
        counted = move_live(source, target)
    assert all(one.source == one.target for one in counted)
    rows = _rows(target)
    assert rows == _rows(source)
    last = {row[1]: row[3] for row in rows["preference"] if row[1].startswith(name)}
    assert last == writers.last


def test_what_is_written_meanwhile_comes_along_and_nothing_is_written_after_it(source, target):
    _demand_that_nothing_is_lost(source, target)
    with contextlib.closing(Store(source)) as store, pytest.raises(StoreError, match="moved to another database"):
        _change(store, "late-1", random.Random(1))
    with pytest.raises(HalfMoved, match=r"let \[store\] url name that one"):
        migrate(source)
    migrate(target)
    with pytest.raises(MoveError, match="moved already"):
        move_live(source, target)


@pytest.mark.servers
def test_between_servers_as_well(postgresql, mariadb, target):
    first, second = postgresql.new_store(), mariadb.new_database()
    _fill(first)
    _demand_that_nothing_is_lost(first, second)
    _demand_that_nothing_is_lost(second, target, "x")


def test_changes_of_every_kind_are_followed(source, target, monkeypatch):
    def changing(table, copied, total):
        if table == "rate" and not copied:  # after most tables, before some
            for number, kind in enumerate((0, 1, 2, 3) * 3):
                _change(store, f"x-{number}", type("Chance", (), {"randrange": lambda self, _, kind=kind: kind})())

    with contextlib.closing(Store(source)) as store:
        move_live(source, target, changing)
    assert _rows(target) == _rows(source)


def test_an_interrupted_one_goes_on_and_has_what_was_written_since(source, target):
    def interrupt(table, copied, total):
        if table == "greylist" and copied:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        move_live(source, target, interrupt)
    with contextlib.closing(Store(source)) as store:
        for number in range(8):
            _change(store, f"x-{number}", random.Random(number))
    move_live(source, target)
    assert _rows(target) == _rows(source)


def test_where_the_end_fails_writing_goes_on(source, target, monkeypatch):
    def broken(*_):
        raise MoveError("no")

    monkeypatch.setattr(live_move, "counted", broken)
    with pytest.raises(MoveError):
        move_live(source, target)
    with contextlib.closing(Store(source)) as store:
        _change(store, "x-1", random.Random(1))
    monkeypatch.undo()
    move_live(source, target)
    assert _rows(target) == _rows(source)


def test_one_that_ended_after_the_last_write_is_completed(source, target, monkeypatch):
    def killed(_):
        raise KeyboardInterrupt

    monkeypatch.setattr(live_move, "finished", killed)
    with pytest.raises(KeyboardInterrupt):
        move_live(source, target)
    monkeypatch.undo()
    with pytest.raises(HalfMoved):
        migrate(target)
    move_live(source, target)
    migrate(target)
    assert _rows(target) == _rows(source)


def test_a_cancelled_one_leaves_nothing_in_the_source_and_is_not_gone_on_with(source, target):
    def names():
        engine = sa.create_engine(source, poolclass=sa.NullPool)
        with engine.connect() as connection:
            return connection.exec_driver_sql("SELECT name FROM sqlite_master ORDER BY name").scalars().all()

    before = names()

    def interrupt(table, copied, total):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        move_live(source, target, interrupt)
    assert names() != before
    cancel(source)
    assert names() == before
    for again in (move_live, move):
        with pytest.raises(MoveError, match="a move that was cancelled"):
            again(source, target)
    cancel(source)


def test_after_it_the_source_can_be_used_again_if_somebody_wants_that(source, target):
    move_live(source, target)
    cancel(source)
    migrate(source)
    with contextlib.closing(Store(source)) as store:
        _change(store, "x-1", random.Random(1))
