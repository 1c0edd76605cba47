"""`bms imap`: what it needs, and who may read its passwords."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from antispam.service.imap_server import password_of
from antispam.settings.imap import Account, ImapSettings
from support.places import REPOSITORY


def mailbox(file):
    (found,) = ImapSettings(accounts={"ann": Account(password_file=file)}).mailboxes
    return found


def test_the_password_is_the_first_line_of_its_file(tmp_path):
    file = tmp_path / "ann"
    file.write_text("se cret \nmore\n")
    file.chmod(0o640)
    assert password_of(mailbox(file)) == "se cret "


def test_a_file_that_others_can_read_is_refused(tmp_path):
    file = tmp_path / "ann"
    file.write_text("secret\n")
    file.chmod(0o644)
    with pytest.raises(PermissionError, match="can be read by others"):
        password_of(mailbox(file))


def _bms(config, *words):
    command = [sys.executable, REPOSITORY / "bms.py", "-c", config, *words]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


def test_without_an_account_it_says_what_to_write(tmp_path):
    config = tmp_path / "milter.cfg"
    config.write_text(f"[milter]\ndatadir = {tmp_path}\n")
    done = _bms(config, "imap")
    assert (done.returncode, "a section [imap NAME]" in done.stderr) == (os.EX_CONFIG, True)


def test_once_tells_what_fails(tmp_path):
    config = tmp_path / "milter.cfg"
    config.write_text(f"[milter]\ndatadir = {tmp_path}\n[imap ann]\npassword_file = /no/such/file\n")
    done = _bms(config, "imap", "--once")
    assert (done.returncode, "imap: ann, folder Junk: " in done.stderr) == (1, True)
    assert "No such file" in done.stderr
