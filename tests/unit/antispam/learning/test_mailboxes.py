"""Mail out of files of every kind."""

from __future__ import annotations

import mailbox

import pytest
from hypothesis import given
from hypothesis import strategies as st

from antispam.protocols.mailboxes import MailboxError, files, identity, is_mail, messages

MAIL = b"Subject: hi\n\nhello\n"


def raws(path):
    return [message.raw for message in messages(path)]


def test_a_file_is_one_message(tmp_path):
    (tmp_path / "a.eml").write_bytes(MAIL)
    assert [(m.number, m.raw) for m in messages(tmp_path / "a.eml")] == [(0, MAIL)]


def test_a_single_message_with_an_mbox_line_is_one_message_without_it(tmp_path):
    (tmp_path / "a").write_bytes(b"From a@example.org  Thu Aug 22 12:36:23 2002\n" + MAIL)
    assert raws(tmp_path / "a") == [MAIL]


def test_an_mbox_is_split_and_unquoted(tmp_path):
    box = mailbox.mbox(tmp_path / "box")
    for body in ("one\n", "two\nFrom here on\n", "three\n"):
        box.add(f"Subject: x\n\n{body}")
    box.close()
    assert raws(tmp_path / "box") == [b"Subject: x\n\n" + b for b in (b"one\n", b"two\nFrom here on\n", b"three\n")]
    assert [m.number for m in messages(tmp_path / "box")] == [1, 2, 3]


def test_from_in_the_middle_of_a_paragraph_starts_no_message(tmp_path):
    text = b"From a\nSubject: x\n\none\nFrom me\n"
    (tmp_path / "box").write_bytes(text)
    assert len(raws(tmp_path / "box")) == 1


def test_a_maildir_is_read_without_what_is_being_delivered(tmp_path):
    for folder in ("cur", "new", "tmp"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "1").write_bytes(MAIL)
    assert [file.parent.name for file in files([tmp_path])] == ["cur", "new"]


def test_a_folder_is_read_to_the_bottom_in_order(tmp_path):
    (tmp_path / "b").mkdir()
    for name in ("b/2", "a", ".hidden"):
        (tmp_path / name).write_bytes(MAIL)
    assert [str(file.relative_to(tmp_path)) for file in files([tmp_path])] == ["a", "b/2"]


def test_a_path_that_is_not_there_is_an_error_that_says_so(tmp_path):
    with pytest.raises(MailboxError, match="no such file or folder"):
        files([tmp_path / "none"])


def test_a_message_is_the_same_from_every_kind_of_mailbox():
    same = [MAIL, MAIL.replace(b"\n", b"\r\n"), b"From x\n" + MAIL, MAIL + b"\n"]
    assert len({identity(raw) for raw in same}) == 1
    assert identity(MAIL) != identity(MAIL + b"more")


@given(raw=st.binary(max_size=300))
def test_any_file_is_read(tmp_path_factory, raw):
    file = tmp_path_factory.mktemp("any") / "file"
    file.write_bytes(raw)
    assert list(messages(file))


def test_a_quarantine_of_pydspam_has_nothing_between_its_messages(tmp_path):
    line = b"From dspam Thu Aug 22 12:36:23 2002\n"
    (tmp_path / "box").write_bytes(line + MAIL + line + MAIL)
    assert [(m.number, m.from_line, m.raw) for m in messages(tmp_path / "box")] == [(1, line, MAIL), (2, line, MAIL)]


@pytest.mark.parametrize(("head", "foot"), [(b"", b""), (b"From a\n", b""), (b"From a\n", b"\nFrom b\n\nshort\n")])
def test_a_message_that_is_too_long_is_marked(tmp_path, monkeypatch, head, foot):
    monkeypatch.setattr("antispam.protocols.mailboxes.MAX_MESSAGE", 100)
    for lines, cut in ((20, False), (30, True)):
        (tmp_path / "box").write_bytes(head + b"word\n" * lines + foot)
        assert next(messages(tmp_path / "box")).cut is cut


def test_symbolic_links_are_not_followed(tmp_path):
    """Who may write into a folder must not choose what is read outside of it."""
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "secret").write_bytes(MAIL)
    (tmp_path / "mail").mkdir()
    (tmp_path / "mail" / "own").write_bytes(MAIL)
    (tmp_path / "mail" / "file").symlink_to(tmp_path / "outside" / "secret")
    (tmp_path / "mail" / "folder").symlink_to(tmp_path / "outside")
    assert files([tmp_path / "mail"]) == [tmp_path / "mail" / "own"]
    with pytest.raises(MailboxError, match="symbolic link"):
        files([tmp_path / "mail" / "file"])
    with pytest.raises(MailboxError, match="cannot be read"):
        list(messages(tmp_path / "mail" / "file"))


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (MAIL, True),
        (MAIL.replace(b"\n", b"\r\n"), True),
        (b"X-Spam: yes\nreceived: from a\n\nx", True),
        (b"From a@example.org  Thu Aug 22 12:36:23 2002\n" + MAIL, True),
        (b"root:x:0:0:root:/root:/bin/bash\ndaemon:x:1:1::/usr/sbin:/bin/sh\n", False),
        (b"hello\n\nSubject: not in the header\n", False),
        (b"\x7fELF\x02\x01", False),
        (b"", False),
    ],
)
def test_mail_is_known_by_its_header(raw, expected):
    assert is_mail(raw) is expected
