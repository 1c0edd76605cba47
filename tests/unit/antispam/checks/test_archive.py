"""The check that archives: what is written, and what becomes of a message that can't be."""

from __future__ import annotations

import contextlib
import dataclasses
import mailbox

import pytest

from antispam.checks import archive
from antispam.journey.table import NotDone
from antispam.mail.draft import Draft
from antispam.mail.message import Body
from antispam.mail.verdicts import Action
from antispam.settings import SettingsError, load_text
from support.checking import judge, message, services


def keep(it, config, **changes):
    given = services(archive, config, **changes)
    finding, verdict = judge(archive, it, config)
    draft = Draft(it)
    draft.append_header("X-Ours", "yes")
    draft.add_recipient("spy@example.com")
    archive.act(finding, verdict, draft, given)


def test_without_an_archive_nothing_is_asked():
    assert judge(archive, message("Subject: hello")) == (None, None)


@pytest.mark.parametrize("name", ["archive", "archive/"])
def test_a_message_is_kept_as_it_leaves(tmp_path, name):
    keep(message("Subject: hello"), f"[milter]\ndatadir = {tmp_path}\n[wiretap]\narchive = {name}\n")
    kind = mailbox.Maildir if name.endswith("/") else mailbox.mbox
    with contextlib.closing(kind(tmp_path / name)) as box:
        (one,) = box
    assert (one["Subject"], one["X-Ours"], one["Return-Path"]) == ("hello", "yes", "<a@example.org>")
    assert one["Envelope-To"].split() == ["b@example.com,", "spy@example.com"]


def test_a_folder_is_a_maildir_without_a_slash_too(tmp_path):
    (tmp_path / "box").mkdir()
    keep(message("Subject: hello"), f"[wiretap]\narchive = {tmp_path}/box\n")
    assert len(mailbox.Maildir(tmp_path / "box")) == 1


def test_where_it_can_not_be_written_on_error_decides(tmp_path):
    with pytest.raises(NotDone, match="No such file"):
        keep(message("Subject: hello"), f"[wiretap]\narchive = {tmp_path}/none/box\n")


def test_who_only_asks_leaves_no_trace(tmp_path):
    keep(message("Subject: hello"), f"[wiretap]\narchive = {tmp_path}/box\n", read_only=True)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("on_error", "action"), [("tempfail", Action.REJECT), ("accept", Action.CONTINUE)])
def test_what_was_not_kept_whole_can_not_be_archived(tmp_path, on_error, action):
    it = dataclasses.replace(message("Subject: hello"), body=Body(3))
    it.body.write(b"more than three")
    config = f"[wiretap]\narchive = {tmp_path}/box\non_error = {on_error}\n"
    _, verdict = judge(archive, it, config)
    assert verdict.action is action
    keep(it, config)
    assert list(tmp_path.iterdir()) == []


def test_a_lock_is_no_mailbox():
    with pytest.raises(SettingsError, match="path of a mailbox"):
        load_text("[wiretap]\narchive = /var/mail/x.lock\n", [archive.Settings])
