"""Commands given as root: they leave nothing that the filter's own user could not write."""

from __future__ import annotations

import os
import pwd
from pathlib import Path

import click.testing
import pytest
from bms import main

from antispam.store import Store, migrate
from antispam.store.migrate import ForeignFolder

COMMANDS = [
    ("quarantine", "list"),
    ("quarantine", "clean"),
    ("outbox", "list"),
    ("preferences", "list"),
    ("train", "spam", "{mail}"),
]


@pytest.fixture
def as_root(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A data folder that belongs to somebody else, and we are root."""
    folder = tmp_path / "data"
    folder.mkdir()
    if os.geteuid() == 0:
        os.chown(folder, 65534, 65534)
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    return folder


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_a_command_refuses_says_what_to_type_and_leaves_nothing(
    words: tuple[str, ...], as_root: Path, tmp_path: Path
) -> None:
    mail = tmp_path / "mail.eml"
    mail.write_text("Subject: x\n\nx\n")
    config = tmp_path / "milter.cfg"
    config.write_text(f"[milter]\ndatadir = {as_root}\n")
    arguments = ["--config", str(config), *(word.format(mail=mail) for word in words)]
    result = click.testing.CliRunner().invoke(main, arguments)
    assert result.exit_code == 1
    assert f"sudo -u {pwd.getpwuid(as_root.stat().st_uid).pw_name} bms" in result.output
    assert list(as_root.iterdir()) == []


def test_root_may_use_what_is_its_own(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    if tmp_path.stat().st_uid != 0:
        pytest.xfail("only root has folders of root's")
    migrate(f"sqlite:///{tmp_path / 'bms.sqlite'}")
    assert (tmp_path / "bms.sqlite").exists()


def test_an_owner_without_a_name_is_named_by_number(
    monkeypatch: pytest.MonkeyPatch, as_root: Path, tmp_path: Path
) -> None:
    def nobody(number: int) -> pwd.struct_passwd:
        raise KeyError(number)

    monkeypatch.setattr(pwd, "getpwuid", nobody)
    with pytest.raises(ForeignFolder, match=r"sudo -u '#\d+' bms"):
        migrate(f"sqlite:///{as_root / 'bms.sqlite'}")


@pytest.mark.parametrize("mask", [0o000, 0o022, 0o077])
def test_nobody_else_may_read_the_database_whatever_the_umask_is(tmp_path: Path, mask: int) -> None:
    """Others' mail is in it, and lately written pages are in the files beside it."""
    url = f"sqlite:///{tmp_path}/bms.sqlite"
    before = os.umask(mask)
    try:
        migrate(url)
        store = Store(url)
        with store.write() as connection:
            connection.exec_driver_sql("CREATE TABLE x (y)")
        found = {path.name: path.stat().st_mode & 0o777 for path in tmp_path.glob("bms.sqlite*")}
        store.close()
    finally:
        os.umask(before)
    found.pop("bms.sqlite.migrate", None)
    assert found == dict.fromkeys(("bms.sqlite", "bms.sqlite-wal", "bms.sqlite-shm"), 0o600)


def test_a_file_that_is_there_keeps_the_permissions_that_somebody_gave_it(tmp_path: Path) -> None:
    path = tmp_path / "bms.sqlite"
    path.touch()
    path.chmod(0o660)
    migrate(f"sqlite:///{path}")
    assert path.stat().st_mode & 0o777 == 0o660
