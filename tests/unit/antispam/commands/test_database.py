"""`bms db`: the tables of the database."""

from __future__ import annotations

import contextlib
import sqlite3

import bms
import click.testing
import pytest

from antispam.commands import database
from antispam.service.plan import PrepareFailed
from antispam.service.serving import process_plan
from antispam.store.migrate import migrate
from antispam.store.move import Counted
from support.places import REPOSITORY
from support.stores import make_store

NEWEST = max(path.name[:4] for path in (REPOSITORY / "sql" / "versions").glob("[0-9]*.py"))


@pytest.fixture
def config(tmp_path):
    file = tmp_path / "milter.cfg"
    file.write_text(f"[milter]\ndatadir = {tmp_path}\n")
    return file


def _upgrade(config):
    return click.testing.CliRunner().invoke(bms.main, ["-c", str(config), "db", "upgrade"])


def _ask(config, statement):
    with contextlib.closing(sqlite3.connect(config.with_name("bms.sqlite"))) as database, database:
        return database.execute(statement).fetchall()


def test_an_older_database_is_brought_up_to_date_with_what_it_holds(config):
    migrate(f"sqlite:///{config.parent}/bms.sqlite", "0008")
    _ask(
        config, "INSERT INTO greylist VALUES ('triplet', '192.0.2.1', 'a@example.org', 'b@example.com', 1, 2, NULL, 1)"
    )
    done = _upgrade(config)
    assert (done.exit_code, done.output) == (0, "The tables are up to date.\n")
    assert _ask(config, "SELECT version_num FROM alembic_version") == [(NEWEST,)]
    assert len(_ask(config, "SELECT * FROM greylist")) == 1


def test_twice_is_as_good_as_once(config):
    assert [_upgrade(config).exit_code for _ in range(2)] == [0, 0]


@pytest.fixture
def newer(config):
    _upgrade(config)
    _ask(config, "UPDATE alembic_version SET version_num = '9999'")
    return config


def test_a_database_of_a_newer_version_is_left_alone_with_words(newer):
    done = _upgrade(newer)
    assert done.exit_code == 1
    assert "upgraded by a newer version of this program (schema 9999): install that version here, too" in done.output
    assert _ask(newer, "SELECT version_num FROM alembic_version") == [("9999",)]


def test_the_filter_does_not_start_on_a_database_of_a_newer_version(newer):
    program = bms.main.program()
    with pytest.raises(PrepareFailed, match="newer version"):
        process_plan(program, program.read_settings(newer)).prepare()


def _check(config):
    done = click.testing.CliRunner().invoke(bms.main, ["-c", str(config), "db", "check"])
    return done.exit_code, done.output


def test_a_sound_database_is_called_so(config):
    _upgrade(config)
    assert _check(config) == (0, "The database is sound.\n")


def test_faults_are_printed_with_their_repair(config):
    _upgrade(config)
    _ask(config, "DROP INDEX greylist_waiting")
    code, output = _check(config)
    assert code == 1
    assert "index: the table greylist has no index greylist_waiting" in output
    assert "repair: CREATE INDEX greylist_waiting ON greylist (passed_at, last_seen)" in output


def test_what_the_filter_tidies_up_is_no_failure(config):
    _upgrade(config)
    _ask(config, "INSERT INTO stored_piece VALUES ('abc', 1, 'x')")
    code, output = _check(config)
    assert code == 0
    assert "repair: none needed" in output


def test_a_database_that_is_not_there_is_not_made_and_not_called_sound(config):
    code, output = _check(config)
    assert (code, "there is no database at" in output) == (2, True)
    assert not config.with_name("bms.sqlite").exists()


def _move(source, target):
    return click.testing.CliRunner().invoke(bms.main, ["db", "move", source, target])


def test_a_move_prints_the_counts_and_what_to_do_next(tmp_path):
    done = _move(make_store(tmp_path / "from.sqlite"), f"sqlite:///{tmp_path}/to.sqlite")
    assert done.exit_code == 0, done.output
    assert "greylist" in done.output
    assert "Set [store] url to the new database" in done.output


def test_a_move_whose_counts_differ_fails_and_names_the_tables(monkeypatch):
    monkeypatch.setattr(database, "move", lambda *args: [Counted("greylist", 2, 1), Counted("rate", 1, 1)])
    done = _move("sqlite:///from", "sqlite:///to")
    assert done.exit_code == 1
    assert "the counts differ (greylist)" in done.output


def test_a_live_move_says_to_reload_and_its_source_is_used_no_more_until_it_is_cancelled(config):
    _upgrade(config)
    source, target = f"sqlite:///{config.parent}/bms.sqlite", f"sqlite:///{config.parent}/to.sqlite"
    done = click.testing.CliRunner().invoke(bms.main, ["db", "move", "--live", source, target])
    assert (done.exit_code, "then reload the filter" in done.output) == (0, True)
    refused = _upgrade(config)
    assert (refused.exit_code, "moved to another database" in refused.output) == (1, True)
    done = click.testing.CliRunner().invoke(bms.main, ["db", "move", "--cancel", source, target])
    assert (done.exit_code, _upgrade(config).exit_code) == (0, 0)


def test_an_interrupted_move_says_how_to_continue(monkeypatch):
    def interrupt(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr(database, "move", interrupt)
    done = _move("sqlite:///from", "sqlite:///to")
    assert done.exit_code == 1
    assert "the same command continues the copy" in done.output


def test_a_password_in_an_address_is_not_printed(tmp_path):
    done = _move(make_store(tmp_path / "from.sqlite"), "postgresql://bms:geheim@127.0.0.1:1/mail")
    assert done.exit_code == 1
    assert "geheim" not in done.output
