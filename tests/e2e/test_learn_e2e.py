"""`bms learn` and the running filter: what a hook of a mail server does with a message that was filtered."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest

from antispam.learning.teacher import Dictionaries
from antispam.store import Store
from dspam.store import TokenStore, find_signature
from support.filter_process import FilterProcess
from support.learning import Learned
from support.milter_client import MilterClient
from support.network import Network
from support.patience import PATIENCE
from support.places import REPOSITORY
from support.processes import wait_until

CONFIG = (
    "[learn]\nsocket = {dir}/learn.sock\n[dspam]\ndspam_users = ann\nann = ann@example.com\n[greylist]\nmode = off\n"
    "[spf]\nmode = off\n[dns]\nnameservers = 127.0.0.1@9\n"
)
FIELDS = [(b"From", b" pills@example.org"), (b"Subject", b" Cheap pills"), (b"Message-ID", b" <1@example.org>")]


@pytest.fixture(scope="module")
def program() -> Iterator[FilterProcess]:
    with FilterProcess(Network(), CONFIG, learned=Learned([("ann", 5), ("site", 5)])) as running:
        wait_until((running.directory / "learn.sock").exists, "the filter listens for lessons")
        yield running


def _delivered(program: FilterProcess) -> bytes:
    """A message as it lies in the mailbox after it was filtered. A person reports it later than the filter has written its
    signature, which it does after the reply."""
    with MilterClient(str(program.socket)) as mta:
        mta.negotiate()
        mta.connect(b"mail.example.org", "4", b"192.0.2.1")
        mta.helo(b"mail.example.org")
        reply = mta.message(FIELDS, b"Buy them now!\r\n", b"<pills@example.org>", [b"<ann@example.com>"])
    added = [change.arguments for change in reply.changes if change.name in ("insheader", "addheader")]
    signature = next(value for *_, name, value in added if name == b"X-DSPAM-Signature")
    with contextlib.closing(Store(program.database)) as store:
        wait_until(lambda: find_signature(store, signature.decode().strip()), "the signature is stored")
    fields = [(b"X-DSPAM-Signature", bytes(signature)), *FIELDS]
    return b"".join(b"%s: %s\r\n" % (name, value.strip()) for name, value in fields) + b"\r\nBuy them now!\r\n"


def _learn(program: FilterProcess, raw: bytes, verdict: str = "--spam") -> tuple[int, bytes]:
    command = [
        sys.executable,
        REPOSITORY / "bms.py",
        "-c",
        program.config,
        "learn",
        verdict,
        "--user",
        "ann@example.com",
    ]
    done = subprocess.run(command, input=raw, capture_output=True, check=False, timeout=PATIENCE)
    return done.returncode, done.stdout + done.stderr


def test_a_filtered_message_is_found_by_its_signature_and_taught_once(program: FilterProcess) -> None:
    raw = _delivered(program)
    match = re.search(rb"X-DSPAM-Signature: (\S+)", raw)
    assert match is not None
    said = [_learn(program, raw, verdict) for verdict in ("--spam", "--spam", "--ham")]
    assert said == [
        (0, b"learned as spam\n"),
        (0, b"spam already; nothing changed\n"),
        (0, b"corrected: it is ham now\n"),
    ]
    with contextlib.closing(Store(program.database)) as store:
        ann = Dictionaries(store).make("ann")
        assert TokenStore(store).verdict(ann.number, match[1].decode()) is False
        assert ann.totals() == (5, 6)
    assert "ann teaches ham: corrected" in program.log()


def test_while_the_filter_takes_over_a_new_configuration_a_lesson_is_not_lost(program: FilterProcess) -> None:
    """Its socket changes hands."""
    os.kill(program.pid, signal.SIGHUP)
    for number in range(10):
        raw = b"From: pills@example.org\r\nSubject: Pills %d\r\n\r\nBuy %d!\r\n" % (number, number)
        assert _learn(program, raw) == (0, b"learned as spam\n")
    wait_until(lambda: "generation 2" in program.log(), "the new configuration is in force")


def test_what_is_no_mail_is_refused(program: FilterProcess) -> None:
    assert _learn(program, b"no mail")[0] == os.EX_DATAERR
