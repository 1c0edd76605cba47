"""`bms export` and `bms forget`, as people type them."""

from __future__ import annotations

import contextlib
import json
import stat

import click.testing
import pytest
import sqlalchemy as sa
from bms import main

from antispam.store import Store, lists
from antispam.store.console_schema import web_account
from antispam.store.lists import Kind
from antispam.store.schema import greylist, stored_message
from support.stores import make_store

NOW = 1_700_000_000.0


@pytest.fixture
def url(tmp_path):
    return make_store(tmp_path / "bms.sqlite")


@pytest.fixture
def bms(tmp_path, url):
    config = tmp_path / "milter.cfg"
    config.write_text(
        f"[milter]\ndatadir = {tmp_path}\n[dspam]\ndspam_users = ann, site\nann = ann@example.org\nsite = example.com\n"
    )

    def run(*arguments):
        return click.testing.CliRunner().invoke(main, ["--config", str(config), *map(str, arguments)])

    return run


@pytest.fixture
def filled(url, tmp_path):
    with contextlib.closing(Store(url)) as store:
        lists.add(store, Kind.WHITELIST, "ann@example.org", reason="written to", by="auto_whitelist", now=NOW)
        with store.write() as connection:
            account = {
                "name": "ann",
                "role": "user",
                "password": "$argon2$hash",
                "mailboxes": '["ann"]',
                "created_at": NOW,
            }
            connection.execute(sa.insert(web_account).values(account))
            triplet = {
                "triplet": "x",
                "client": "192.0.2.0/24",
                "mail_from": "ann@example.org",
                "recipient": "bob@example.com",
            }
            times = {"first_seen": NOW, "last_seen": NOW, "attempts": 1}
            connection.execute(sa.insert(greylist).values(triplet | times))
    saved = tmp_path / "save"
    saved.mkdir()
    (saved / "abc.failed.eml").write_bytes(b"To: ann@example.org\n\n\xff\n")
    (saved / "def.failed.eml").write_bytes(b"To: joann@example.org\n\nx\n")


def test_everything_is_exported_but_secrets(bms, filled):
    result = bms("export", "ann@example.org")
    assert result.exit_code == 0, result.output
    found = [json.loads(line) for line in result.stdout.splitlines()]
    assert [one.get("table") for one in found] == ["greylist", "sender_list", "web_account", None]
    assert found[0]["row"]["recipient"] == "bob@example.com"
    assert "password" not in found[2]["row"]
    assert found[3]["file"] == "abc.failed.eml"
    assert set(found[3]["content"]) == {"base64"}


def test_an_export_is_readable_by_its_owner_only_and_replaces_nothing(bms, filled, tmp_path):
    file = tmp_path / "ann.jsonl"
    assert bms("export", "ann@example.org", "-o", file).exit_code == 0
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert len(file.read_text().splitlines()) == 4
    again = bms("export", "ann@example.org", "-o", file)
    assert again.exit_code == 1
    assert "exists" in again.output


def test_without_yes_nothing_is_deleted(bms, filled, tmp_path):
    result = bms("forget", "ann@example.org")
    assert result.exit_code == 0
    assert "--yes" in result.output
    assert len(bms("export", "ann@example.org").stdout.splitlines()) == 4


def test_with_yes_it_is_gone_from_database_and_files(bms, filled, tmp_path):
    result = bms("forget", "Ann@Example.org", "--yes")
    assert result.exit_code == 0, result.output
    assert bms("export", "ann@example.org").stdout == ""
    assert b"ann@example.org" not in (tmp_path / "bms.sqlite").read_bytes()
    assert [path.name for path in (tmp_path / "save").iterdir()] == ["def.failed.eml"]
    assert "Nothing is stored" in bms("forget", "ann@example.org").output


def test_a_file_that_cannot_be_written_anew_is_told(bms, filled, url):
    with contextlib.closing(Store(url)) as store, store.read() as connection:
        connection.execute(sa.select(stored_message.c.ref)).all()
        result = bms("forget", "ann@example.org", "--yes")
    assert result.exit_code == 1
    assert "could not be written anew" in result.output


def test_a_shared_dictionary_is_told_and_stays(bms):
    result = bms("forget", "eve@example.com", "--yes")
    assert "The dictionary site is shared with others, and stays." in result.output


def test_what_is_no_address_is_refused(bms):
    assert "expected an address" in bms("forget", "ann").output
    assert bms("export", "ann").exit_code == 1


def test_where_there_is_no_database_none_is_made(bms, tmp_path):
    (tmp_path / "bms.sqlite").unlink()
    assert "no database" in bms("forget", "ann@example.org", "--yes").output
    assert not (tmp_path / "bms.sqlite").exists()
