"""Junk folders in a real Dovecot: what users move teaches the running filter."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import pytest
from imapclient import IMAPClient

from antispam.learning.teacher import Dictionaries
from antispam.store import Store
from support.dovecot import PASSWORD, Dovecot
from support.filter_process import FilterProcess
from support.network import Network
from support.processes import wait_until

pytestmark = pytest.mark.servers

CONFIG = (
    "[learn]\nsocket = {dir}/learn.sock\nsocket_mode = 0666\nteachers = mail\n[greylist]\nmode = off\n"
    "[dspam]\ndspam_users = ann, bob\nann = ann@example.com\nbob = bob@example.com\n"
)
MAIL = "From: pills@example.org\r\nSubject: Pills {0}\r\nMessage-ID: <{0}@example.org>\r\n\r\nBuy {0} now!\r\n"


class Site:
    """The filter and the IMAP server beside it."""

    def __init__(self, program: FilterProcess, dovecot: Dovecot) -> None:
        self.program, self.dovecot = program, dovecot

    @contextlib.contextmanager
    def mailbox(self, user: str) -> Iterator[IMAPClient]:
        """The user's mail program."""
        with IMAPClient("127.0.0.1", self.dovecot.port, ssl=False, timeout=20) as client:
            client.login(user, PASSWORD)
            yield client

    def totals(self, user: str) -> tuple[int, int]:
        """What a dictionary has learned: spam, ham."""
        with contextlib.closing(Store(self.program.database)) as store:
            found = Dictionaries(store).get(user)
            return found.totals() if found is not None else (0, 0)

    def demand(self, user: str, spam: int, ham: int) -> None:
        """Wait until the dictionary has learned that; else tell what it has, and what both programs logged."""
        try:
            wait_until(lambda: self.totals(user) == (spam, ham), "the lesson", 20)
        except Exception as error:
            raise AssertionError(f"{self.totals(user)}\n{self.dovecot.log()}\n{self.program.log()}") from error


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    with FilterProcess(Network(), CONFIG) as program:
        learn = program.directory / "learn.sock"
        wait_until(learn.exists, "the filter listens for lessons")
        with Dovecot(Network(), learn, ["ann@example.com", "bob@example.com", "carl@example.com"]) as dovecot:
            yield Site(program, dovecot)


def _move(client: IMAPClient, source: str, target: str) -> None:
    client.select_folder(source)
    client.move(client.search("ALL"), target)


def test_into_the_junk_folder_is_spam_and_out_of_it_is_ham_once_and_for_the_right_user(site: Site) -> None:
    with site.mailbox("ann@example.com") as client:
        client.append("INBOX", MAIL.format("one").encode())
        _move(client, "INBOX", "Junk")
        site.demand("ann", 1, 0)
        _move(client, "Junk", "INBOX")
        site.demand("ann", 0, 1)
        _move(client, "INBOX", "Junk")
        site.demand("ann", 1, 0)
        client.append("Junk", MAIL.format("one").encode())  # the same message again
        client.append("Junk", MAIL.format("two").encode())
        site.demand("ann", 2, 0)
    assert site.totals("bob") == (0, 0)


def test_from_the_junk_folder_to_the_trash_is_no_word_about_it(site: Site) -> None:
    with site.mailbox("bob@example.com") as client:
        client.append("Junk", MAIL.format("three").encode())
        site.demand("bob", 1, 0)
        _move(client, "Junk", "Trash")
        client.append("Junk", MAIL.format("four").encode())  # comes after it, and when it is learned that was done
        site.demand("bob", 2, 0)
        assert client.folder_status("Trash")[b"MESSAGES"] == 1


def test_who_has_no_dictionary_teaches_the_screener(site: Site) -> None:
    spam, ham = site.totals("site")
    with site.mailbox("carl@example.com") as client:
        client.append("Junk", MAIL.format("five").encode())
        site.demand("site", spam + 1, ham)
