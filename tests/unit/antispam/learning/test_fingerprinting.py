"""Who leaves fingerprints: users who report, and the administrator who trains."""

from __future__ import annotations

import time
from email.utils import formatdate

import click.testing
import pytest
from bms import main

from antispam.learning.fingerprinting import FingerprintSettings, key_of, marks_of
from antispam.mail.message import Body, Message, split_message
from antispam.mail.shown import Shown
from antispam.protocols.fingerprints import Kind
from antispam.store import Store, fingerprints

TEXT = " ".join("abcdefghij"[n % 10] * (2 + n % 7) + "xyz"[n % 3] * (1 + n % 5) for n in range(120))


def found(store, text):
    """Who is known to have reported it: the kinds of its marks, and whether an administrator did."""
    headers, content = split_message(f"From: a@b.example\n\n{text}\n".encode())
    body = Body(1 << 20)
    body.write(content)
    marks = marks_of(Shown(Message("", "", 0.0, body, headers=headers)), key_of(store, time.time()))
    rows = fingerprints.matching(store, marks.all, time.time(), FingerprintSettings().common)
    return {(row.kind, row.trusted) for row in rows}


@pytest.fixture
def train(tmp_path):
    config = tmp_path / "milter.cfg"
    config.write_text(f"[milter]\ndatadir = {tmp_path}\n")

    def run(verdict, days=0, *options):
        path = tmp_path / f"mail-{days}"
        if not path.exists():
            date = formatdate(time.time() - days * 86400)
            path.write_text(f"From: win@spam.example\nDate: {date}\nSubject: x\n\n{TEXT}\n")
        result = click.testing.CliRunner().invoke(main, ["-c", str(config), "train", verdict, str(path), *options])
        assert result.exit_code == 0, result.output
        store = Store(f"sqlite:///{tmp_path}/bms.sqlite")
        try:
            return found(store, TEXT)
        finally:
            store.close()

    return run


def test_training_spam_leaves_the_administrators_fingerprints(train):
    assert train("spam") == {(Kind.TEXT, True)}


def test_old_spam_leaves_none(train):
    assert train("spam", 40) == set()


def test_undo_takes_them_back(train):
    train("spam")
    assert train("spam", 0, "--undo") == set()


def test_training_it_as_ham_takes_them_back(train):
    train("spam")
    assert train("ham") == set()


def test_switched_off_nothing_is_kept(train, tmp_path):
    (tmp_path / "milter.cfg").write_text(f"[milter]\ndatadir = {tmp_path}\n[fingerprints]\nmode = off\n")
    assert train("spam") == set()
