"""`bms backup` and `bms restore`: everything, while others write."""

from __future__ import annotations

import contextlib
import sqlite3
import stat
from pathlib import Path

import click.testing
import pytest
import sqlalchemy as sa
from bms import main

from antispam.store import Store, backup, migrate
from antispam.store.schema import rate


@pytest.fixture
def database(tmp_path: Path) -> Path:
    migrate(f"sqlite:///{tmp_path / 'bms.sqlite'}")
    return tmp_path / "bms.sqlite"


@pytest.fixture
def bms(tmp_path: Path):
    config = tmp_path / "milter.cfg"

    def run(*arguments: str, url: str = "", **more: object) -> click.testing.Result:
        config.write_text(f"[milter]\ndatadir = {tmp_path}\n[store]\nurl = {url}\n")
        return click.testing.CliRunner().invoke(main, ["--config", str(config), *map(str, arguments)], **more)

    return run


def put(database: Path, *names: str) -> None:
    with contextlib.closing(Store(f"sqlite:///{database}")) as store, store.write() as connection:
        for name in names:
            connection.execute(sa.insert(rate).values(name=name, began_at=0.0, used=1))


def names(database: Path) -> set[str]:
    with contextlib.closing(sqlite3.connect(database)) as connection:
        return {name for (name,) in connection.execute("SELECT name FROM rate")}


def test_what_is_in_the_write_ahead_log_is_in_the_backup_too(bms, database, tmp_path):
    with contextlib.closing(Store(f"sqlite:///{database}")) as store:  # keeps the log from being folded into the file
        with store.write() as connection:
            connection.execute(sa.insert(rate).values(name="late", began_at=0.0, used=1))
        result = bms("backup", tmp_path / "copy")
    assert result.exit_code == 0, result.output
    assert names(tmp_path / "copy") == {"late"}


def test_a_backup_is_readable_for_its_owner_only(bms, database, tmp_path):
    bms("backup", tmp_path / "copy")
    assert stat.S_IMODE((tmp_path / "copy").stat().st_mode) == 0o600


def test_it_is_one_state_of_the_database_though_somebody_writes_meanwhile(database, tmp_path, monkeypatch):
    monkeypatch.setattr(backup, "PAGES", 1)
    put(database, "before")
    written: list[int] = []

    def progress(left: int, total: int) -> None:
        if not written:
            written.append(1)
            put(database, "meanwhile")

    backup.save(database, tmp_path / "copy", progress)
    assert names(tmp_path / "copy") == {"before"}
    assert names(database) == {"before", "meanwhile"}


def test_no_file_is_overwritten(bms, database, tmp_path):
    (tmp_path / "copy").write_text("precious")
    result = bms("backup", tmp_path / "copy")
    assert result.exit_code == 1
    assert "exists" in result.output
    assert (tmp_path / "copy").read_text() == "precious"


def test_a_backup_that_fails_leaves_nothing_behind(database, tmp_path, monkeypatch):
    def full(*arguments: object) -> None:
        raise sqlite3.OperationalError("database or disk is full")

    monkeypatch.setattr(backup, "_copy", full)
    with pytest.raises(backup.BackupError, match="disk is full"):
        backup.save(database, tmp_path / "copy")
    assert not list(tmp_path.glob("copy*"))


def test_restore_brings_everything_back_to_a_store_that_is_in_use(bms, database, tmp_path):
    put(database, "kept")
    bms("backup", tmp_path / "copy")
    with contextlib.closing(Store(f"sqlite:///{database}")) as store:
        with store.write() as connection:
            connection.execute(sa.delete(rate))
            connection.execute(sa.insert(rate).values(name="later", began_at=0.0, used=1))
        result = bms("restore", tmp_path / "copy", "--yes")
        assert result.exit_code == 0, result.output
        with store.read() as connection:
            assert set(connection.scalars(sa.select(rate.c.name))) == {"kept"}


def test_restore_asks_first(bms, database, tmp_path):
    bms("backup", tmp_path / "copy")
    put(database, "later")
    assert bms("restore", tmp_path / "copy", input="n\n").exit_code == 1
    assert names(database) == {"later"}


def test_a_backup_of_an_older_version_is_brought_up_to_date(bms, tmp_path):
    migrate(f"sqlite:///{tmp_path / 'old'}", "0005")
    result = bms("restore", tmp_path / "old", "--yes")
    assert result.exit_code == 0, result.output
    assert names(tmp_path / "bms.sqlite") == set()


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda file: file.write_bytes(b"no database"), "no backup"),
        (lambda file: file.unlink(), "there is no file"),
        (lambda file: _say(file, "UPDATE alembic_version SET version_num = '9999'"), "newer version"),
        (lambda file: _say(file, "DROP TABLE alembic_version"), "no backup"),
    ],
)
def test_what_is_no_backup_of_ours_is_refused_before_anything_is_touched(bms, database, tmp_path, spoil, said):
    put(database, "precious")
    bms("backup", tmp_path / "copy")
    spoil(tmp_path / "copy")
    result = bms("restore", tmp_path / "copy", "--yes")
    assert result.exit_code == 1
    assert said in result.output
    assert names(database) == {"precious"}


def _say(file: Path, statement: str) -> None:
    with contextlib.closing(sqlite3.connect(file)) as connection:
        connection.execute(statement)
        connection.commit()


@pytest.mark.parametrize(
    ("url", "saves", "restores"),
    [
        (
            "postgresql+psycopg://bms:secret@db.example/mail",
            "pg_dump --format=custom --file=copy --host=db.example --username=bms --dbname=mail",
            "pg_restore --clean --if-exists --single-transaction --host=db.example --username=bms --dbname=mail copy",
        ),
        (
            "mysql+pymysql://bms:secret@db.example:3307/mail",
            "mariadb-dump --single-transaction --result-file=copy --host=db.example --port=3307 --user=bms mail",
            "mariadb --host=db.example --port=3307 --user=bms mail < copy",
        ),
    ],
)
def test_for_database_servers_the_command_is_printed_without_the_password(bms, url, saves, restores):
    assert bms("backup", "copy", url=url).output == f"{saves}\n"
    assert bms("restore", "copy", url=url).output == f"{restores}\n"
