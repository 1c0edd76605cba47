"""`bms imap`: what it needs, and who may read its passwords."""

from __future__ import annotations

import os
import subprocess
import sys

from support.patience import PATIENCE
from support.places import REPOSITORY


def _bms(config, *words):
    command = [sys.executable, REPOSITORY / "bms.py", "-c", config, *words]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=PATIENCE)


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
