"""The archive: what other programs read in it, who waits for whom, and what a failure leaves behind."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import mailbox
import multiprocessing
import os
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from antispam.checks._shared import mailbox_files as archive
from antispam.checks._shared.mailbox_files import ArchiveError, Envelope, append
from antispam.deadline import Deadline
from support.patience import PATIENCE

MESSAGE = b"From: a@example.org\r\nSubject: hello\r\n\r\nFrom here\r\n>From there\r\nbye\r\n"
ENVELOPE = Envelope("a@example.org", ["b@example.com", "c@example.com"], 1_700_000_000.0)


def put(path, message=MESSAGE, *, maildir=False, envelope=ENVELOPE, seconds=PATIENCE):
    append(path, maildir, message, envelope, Deadline.after(seconds))


def subjects(path):
    with contextlib.closing(mailbox.mbox(path)) as box:
        return [one["Subject"] for one in box]


def test_an_mbox_has_what_programs_expect(tmp_path):
    path = tmp_path / "mbox"
    put(path)
    put(path, b"Subject: two\r\n\r\nno line end")
    assert path.read_bytes() == (
        b"From a@example.org Tue Nov 14 22:13:20 2023\n"
        b"Return-Path: <a@example.org>\nEnvelope-To: b@example.com,\n c@example.com\n"
        b"From: a@example.org\nSubject: hello\n\n>From here\n>>From there\nbye\n\n"
        b"From a@example.org Tue Nov 14 22:13:20 2023\n"
        b"Return-Path: <a@example.org>\nEnvelope-To: b@example.com,\n c@example.com\n"
        b"Subject: two\n\nno line end\n\n"
    )
    assert subjects(path) == ["hello", "two"]
    assert path.stat().st_mode & 0o777 == 0o600
    assert os.listdir(tmp_path) == ["mbox"]


def test_a_maildir_has_what_programs_expect(tmp_path):
    path = tmp_path / "maildir"
    put(path, maildir=True)
    put(path, maildir=True)
    assert [one["Subject"] for one in mailbox.Maildir(path)] == ["hello", "hello"]
    assert os.listdir(path / "tmp") == []
    assert b"\n\nFrom here\n>From there\n" in next((path / "new").iterdir()).read_bytes()


def test_no_address_forges_a_line(tmp_path):
    path = tmp_path / "mbox"
    put(path, envelope=Envelope("x\n\nFrom y z\r\n", ["b\nSubject: forged", "\udce9\N{SNOWMAN}"], 0.0))
    assert subjects(path) == ["hello"]


@given(st.binary(max_size=300))
def test_whatever_a_message_has_it_stays_one(tmp_path_factory, body):
    path = tmp_path_factory.mktemp("archive") / "mbox"
    put(path, b"Subject: x\r\n\r\n" + body)
    put(path, b"Subject: x\r\n\r\n" + body)
    assert subjects(path) == ["x", "x"]


def test_a_rotated_file_gets_nothing_more(tmp_path):
    path = tmp_path / "mbox"
    put(path)
    path.rename(tmp_path / "mbox.1")
    put(path)
    assert subjects(path) == subjects(tmp_path / "mbox.1") == ["hello"]


def test_a_message_that_somebody_cut_off_does_not_swallow_the_next(tmp_path):
    path = tmp_path / "mbox"
    path.write_bytes(b"From x Tue Nov 14 22:13:20 2023\nSubject: cut\n\nhalf a li")
    put(path)
    assert subjects(path) == ["cut", "hello"]


def test_a_full_disk_leaves_nothing_behind(tmp_path, monkeypatch):
    path = tmp_path / "mbox"
    put(path)
    before = path.read_bytes()
    write, calls = os.write, []

    def full(descriptor, octets):
        calls.append(1)
        if len(calls) > 1:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return write(descriptor, octets[:10])

    monkeypatch.setattr(archive.os, "write", full)
    with pytest.raises(ArchiveError, match="No space left"):
        put(path)
    assert path.read_bytes() == before
    monkeypatch.undo()
    put(path)
    assert len(subjects(path)) == 2


def test_a_disk_that_does_not_keep_what_was_written_is_a_failure(tmp_path, monkeypatch):
    def broken(descriptor):
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(archive.os, "fsync", broken)
    for maildir in (False, True):
        path = tmp_path / f"box{maildir}"
        with pytest.raises(ArchiveError, match="Input/output error"):
            put(path, maildir=maildir)
        assert not maildir or os.listdir(path / "tmp") + os.listdir(path / "new") == []
        assert maildir or path.read_bytes() == b""


@pytest.mark.parametrize("maildir", [False, True])
def test_a_folder_that_is_not_there_is_a_failure(tmp_path, maildir):
    with pytest.raises(ArchiveError, match="No such file"):
        put(tmp_path / "none" / "box", maildir=maildir)


def test_who_locks_it_for_too_long_is_not_waited_for(tmp_path):
    path = tmp_path / "mbox"
    (tmp_path / "mbox.lock").write_text(str(os.getpid()))
    with pytest.raises(ArchiveError, match="locked for too long"):
        put(path, seconds=0.05)
    assert not path.exists()


def _hold(path, locked, done):
    with open(path, "ab") as file:
        fcntl.lockf(file, fcntl.LOCK_EX)
        locked.set()
        done.wait(PATIENCE)


def test_another_process_s_lock_on_the_file_is_respected(tmp_path):
    path = tmp_path / "mbox"
    context = multiprocessing.get_context("fork")
    locked, done = context.Event(), context.Event()
    process = context.Process(target=_hold, args=(path, locked, done))
    process.start()
    try:
        assert locked.wait(PATIENCE)
        with pytest.raises(ArchiveError, match="locked for too long"):
            put(path, seconds=0.05)
    finally:
        done.set()
        process.join()
    put(path)
    assert not (tmp_path / "mbox.lock").exists()


@pytest.mark.parametrize("owner", ["4194399", ""])
def test_a_forgotten_lock_file_is_removed(tmp_path, owner):
    lock = tmp_path / "mbox.lock"
    lock.write_text(owner)
    if not owner:
        os.utime(lock, (0, 0))
    put(tmp_path / "mbox")
    assert not lock.exists()


def _fill(path, number):
    for _ in range(number):
        put(path)


def test_threads_and_processes_do_not_mix_their_messages(tmp_path):
    path = tmp_path / "mbox"
    context = multiprocessing.get_context("fork")
    processes = [context.Process(target=_fill, args=(path, 20)) for _ in range(2)]
    threads = [threading.Thread(target=_fill, args=(path, 10)) for _ in range(2)]
    for one in (*processes, *threads):
        one.start()
    for one in (*processes, *threads):
        one.join()
    assert subjects(path) == ["hello"] * 60
