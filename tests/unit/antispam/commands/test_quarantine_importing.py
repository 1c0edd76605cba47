"""The mailboxes in which DSPAM and pydspam kept quarantined mail."""

from __future__ import annotations

import time

import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st

import Dspam
from antispam.commands.quarantine.importing import import_mailbox, read_message
from antispam.protocols.mailboxes import MailboxError, Stored
from antispam.store import StoreError
from antispam.store.quarantine import BadName, Search, content, find
from antispam.store.retention import Limits, clean
from antispam.store.schema import stored_message
from support.quarantined import NOW, contents, entries

pytestmark = pytest.mark.every_database

# As pydspam wrote them: no line quoted, nothing between two messages.
PYDSPAM = (
    b"From dspam Thu Aug 22 12:36:23 2002\n"
    b"From: x@offers.example\nSubject: WIN =?utf-8?q?=E2=82=AC?= 5\nX-Dspam-Recipients: forged@evil.example\n"
    b"X-DSPAM-Signature: 4F2A\nX-DSpam-Score: 0.98765\nX-DSpam-Factors: 1\n\tpills,0.99\n"
    b"X-Dspam-Recipients: bob@example.com, <Bob@example.net>\n\n"
    b"Buy!\n\nFrom here on it gets cheap.\n<!DSPAM:4F2A>\n"
    b"From dspam Fri Aug 23 01:02:03 2002\n"
    b"Return-Path: <y@offers.example>\nSubject: second\n\nMore.\n"
)
# As DSPAM's agent wrote them: the MTA's own line where there was one, quoted lines, two empty lines behind.
DSPAM = (
    b"From x@offers.example Thu Aug 22 12:36:23 2002\n"
    b"Subject: one\nX-DSPAM-Result: Spam\nX-DSPAM-Probability: 0.9999\nX-DSPAM-Recipient: bob@example.com\n\n"
    b">From me\n\n\n"
    b"From QUARANTINE Fri Aug 23 01:02:03 2002\n"
    b"Subject: two\n\ntext\n\n\n"
)


@pytest.fixture
def box(tmp_path):
    def write(raw):
        (tmp_path / "bob.mbox").write_bytes(raw)
        return tmp_path / "bob.mbox"

    return write


def test_a_mailbox_of_pydspam_is_taken_over(store, box):
    result = import_mailbox(store, "bob", box(PYDSPAM), NOW)
    assert (result.new, result.known, result.problems) == (2, 0, [])
    second, first = find(store, Search(user="bob"))
    assert (first.subject, first.score, first.check, first.action) == ("WIN € 5", 0.98765, "spam_action", "quarantine")
    assert first.recipients == ("bob@example.com", "Bob@example.net")
    assert first.received_at == time.mktime((2002, 8, 22, 12, 36, 23, 0, 0, -1))
    assert first.reason == "imported from bob.mbox; signature 4F2A"
    assert content(store, first.ref) == (
        b"From: x@offers.example\r\nSubject: WIN =?utf-8?q?=E2=82=AC?= 5\r\n\r\n"
        b"Buy!\r\n\r\nFrom here on it gets cheap.\r\n"
    )
    assert (second.mail_from, second.recipients, second.score) == ("y@offers.example", (), None)


def test_a_mailbox_of_dspam_is_taken_over(store, box):
    import_mailbox(store, "bob@example.com", box(DSPAM), NOW)
    two, one = find(store, Search())
    assert (one.mail_from, one.recipients, one.score) == ("x@offers.example", ("bob@example.com",), 0.9999)
    assert content(store, one.ref) == b"Subject: one\r\n\r\nFrom me\r\n"
    assert (two.mail_from, two.recipients) == ("", ("bob@example.com",)), "the user is an address"


def test_what_our_own_layer_keeps_is_taken_over(store, tmp_path):
    Dspam.append_mbox(str(tmp_path / "bob.mbox"), "dspam", b"Subject: one\r\n\r\nFrom me\r\n>From you\r\n")
    Dspam.append_mbox(str(tmp_path / "bob.mbox"), "dspam", b"Subject: two\r\n\r\ntext\r\n")
    assert import_mailbox(store, "bob", tmp_path / "bob.mbox", NOW).new == 2
    stored = {entry.subject: content(store, entry.ref) for entry in find(store, Search())}
    assert stored["one"] == b"Subject: one\r\n\r\nFrom me\r\n>From you\r\n"


@pytest.mark.parametrize("raw", [PYDSPAM, DSPAM])
def test_importing_twice_imports_once(store, box, raw):
    import_mailbox(store, "bob", box(raw), NOW)
    again = import_mailbox(store, "bob", box(raw), NOW + 1)
    assert (again.new, again.known, len(entries(store))) == (0, 2, 2)


def test_a_mailbox_that_grew_brings_only_what_is_new(store, box):
    first = DSPAM[: DSPAM.index(b"From QUARANTINE")]
    assert import_mailbox(store, "bob", box(first), NOW).new == 1
    result = import_mailbox(store, "bob", box(DSPAM), NOW)
    assert (result.new, result.known) == (1, 1)


def test_two_users_share_a_message_that_both_have(store, box):
    for user in ("bob", "ann"):
        import_mailbox(store, user, box(PYDSPAM.replace(b"4F2A", user.encode())), NOW)
    assert (len(entries(store)), len(contents(store))) == (4, 2)


def test_a_reference_that_another_message_has_is_not_used(store, box, monkeypatch):
    import_mailbox(store, "bob", box(PYDSPAM), NOW)
    with store.write() as connection:
        connection.execute(sa.update(stored_message).values(content=b"something else"))
    assert import_mailbox(store, "bob", box(PYDSPAM), NOW).new == 2
    assert len(contents(store)) == 4


def test_what_was_imported_is_cleaned_like_everything_else(store, box):
    import_mailbox(store, "bob", box(PYDSPAM), NOW)
    clean(store, NOW, lambda user: Limits(keep=86400, size=0, messages=0, released=0))
    assert (entries(store), contents(store)) == ([], [])


def test_a_time_that_lies_ahead_is_now(store, box):
    import_mailbox(store, "bob", box(b"From dspam Thu Aug 22 12:36:23 2902\nA: b\n\nx\n"), NOW)
    assert find(store, Search())[0].received_at == NOW


def test_what_is_no_message_is_told_and_the_others_are_taken(store, box):
    raw = b"From dspam Thu Aug 22 12:36:23 2002\n\0\xff garbage\n" + PYDSPAM
    result = import_mailbox(store, "bob", box(raw), NOW)
    assert result.new == 2
    assert len(result.problems) == 1
    assert "bob.mbox#1: not a message" in result.problems[0]


@pytest.mark.parametrize("raw", [b"\x1f\x8b\x08 compressed", b"\0" * 5000, b"From dspam\n"])
def test_a_file_that_is_no_mailbox_is_told(store, box, raw):
    result = import_mailbox(store, "bob", box(raw), NOW)
    assert (result.new, len(result.problems)) == (0, 1)
    assert "not a message, because it does not start with a header field" in result.problems[0]


def test_an_empty_mailbox_has_no_messages(store, box):
    result = import_mailbox(store, "bob", box(b""), NOW)
    assert (result.seen, result.problems) == (0, [])


def test_a_message_that_is_too_large_is_told_and_not_stored_in_part(store, box, monkeypatch):
    monkeypatch.setattr("antispam.protocols.mailboxes.MAX_MESSAGE", 1000)
    raw = b"From a Thu Aug 22 12:36:23 2002\nA: b\n\n" + b"x\n" * 600 + b"\n" + PYDSPAM
    result = import_mailbox(store, "bob", box(raw), NOW)
    assert (result.new, len(result.problems)) == (2, 1)
    assert "larger than a message may be" in result.problems[0]
    raw = b"A: b\n\n" + b"x\n" * 600
    assert "larger" in import_mailbox(store, "bob", box(raw), NOW).problems[0]


def test_a_file_that_is_not_there_is_an_error(store, tmp_path):
    with pytest.raises(MailboxError, match="No such file"):
        import_mailbox(store, "bob", tmp_path / "none", NOW)


def test_a_user_that_can_not_be_one_is_refused(store, box):
    with pytest.raises(BadName):
        import_mailbox(store, "../../x", box(PYDSPAM), NOW)
    assert contents(store) == []


def test_a_database_that_fails_in_between_loses_nothing(store, box, monkeypatch):
    real, calls = store.write, []

    def write():
        calls.append(1)
        if len(calls) == 2:
            raise StoreError("disk full")
        return real()

    monkeypatch.setattr(store, "write", write)
    with pytest.raises(StoreError):
        import_mailbox(store, "bob", box(PYDSPAM), NOW)
    monkeypatch.undo()
    result = import_mailbox(store, "bob", box(PYDSPAM), NOW)
    assert (result.new, result.known) == (1, 1)


HOSTILE = (
    b"From \0\x1b[31m@x Thu Aug 22 12:36:23 2002\n"
    b"Subject: a\0b =?utf-8?b?gA==?=\nX-Dspam-Recipients: a\0@x, \xff@y,,<>, c@z\nX-DSpam-Score: nan\n"
    b"X-DSPAM-Signature: ../../x\n\n\0\n"
)


def test_hostile_fields_are_stored_as_data_in_every_database(store, box):
    assert import_mailbox(store, "bob", box(HOSTILE), NOW).new == 1
    (entry,) = find(store, Search())
    assert (entry.mail_from, entry.score, entry.reason) == ("", None, "imported from bob.mbox")
    assert entry.recipients[-1] == "c@z"


@given(raw=st.binary(max_size=400), line=st.binary(max_size=60))
def test_any_message_is_read(raw, line):
    found = read_message(Stored(None, 1, raw, b"From " + line), "bob", NOW)
    assert 0 < found.received_at <= NOW
    found.mail_from.encode(), found.subject.encode(), "".join(found.recipients).encode()
    assert b"\n" not in found.content.replace(b"\r\n", b"")
