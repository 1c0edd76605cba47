"""Junk folders in a real Dovecot: what users move teaches the running filter."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest
from imapclient import IMAPClient

from antispam.learning.login_settings import LoginSettings
from antispam.learning.teacher import Dictionaries
from antispam.service.imap_server import connect
from antispam.settings import load_text
from antispam.settings.imap import Account, ImapSettings
from antispam.store import Store
from antispam.web.site_logins import SiteLogins, Unavailable
from support.dovecot import PASSWORD, Dovecot, Dovecot24
from support.filter_process import FilterProcess
from support.network import Network
from support.patience import PATIENCE
from support.peers import UnavailableError
from support.places import REPOSITORY
from support.processes import wait_until

pytestmark = pytest.mark.servers

CONFIG = (
    "[learn]\nsocket = {dir}/learn.sock\nsocket_mode = 0666\nteachers = mail\n[greylist]\nmode = off\n"
    "[dspam]\ndspam_users = ann, bob, dora, emil\n"
    "ann = ann@example.com\nbob = bob@example.com\ndora = dora@example.com\nemil = emil@example.com\n"
)
MAIL = "From: pills@example.org\r\nSubject: Pills {0}\r\nMessage-ID: <{0}@example.org>\r\n\r\nBuy {0} now!\r\n"
USERS = [f"{name}@example.com" for name in ("ann", "bob", "carl", "dora", "emil")]


class Site:
    """The filter and the IMAP server beside it."""

    def __init__(self, program: FilterProcess, dovecot: Dovecot) -> None:
        self.program, self.dovecot = program, dovecot

    @contextlib.contextmanager
    def mailbox(self, user: str) -> Iterator[IMAPClient]:
        """The user's mail program."""
        with IMAPClient("127.0.0.1", self.dovecot.port, ssl=False, timeout=PATIENCE) as client:
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
            wait_until(lambda: self.totals(user) == (spam, ham), "the lesson")
        except Exception as error:
            raise AssertionError(f"{self.totals(user)}\n{self.dovecot.log()}\n{self.program.log()}") from error


@pytest.fixture(
    scope="module",
    params=[Dovecot, pytest.param(Dovecot24, marks=pytest.mark.fetched)],
    ids=lambda kind: kind.version,
)
def site(request: pytest.FixtureRequest) -> Iterator[Site]:
    with FilterProcess(Network(), CONFIG) as program:
        learn = program.directory / "learn.sock"
        wait_until(learn.exists, "the filter listens for lessons")
        try:
            dovecot = request.param(Network(), learn, USERS)
        except UnavailableError as error:
            pytest.skip(str(error))
        with dovecot:
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


def _polling(site: Site, name: str) -> str:
    """A configuration that polls the folders of a user in which no hook is."""
    password = site.program.directory / f"password-{name}"
    password.write_text(f"{PASSWORD}\n")
    password.chmod(0o600)
    return (
        f"{site.program.config.read_text()}\n[imap]\nhost = 127.0.0.1\nport = {site.dovecot.tls_port}\njunk = Unwanted\n"
        f"not_junk = Wanted\nca_file = {site.dovecot.authority}\n"
        f"[imap {name}]\nlogin = {name}@example.com\npassword_file = {password}\n"
    )


def test_the_poller_learns_both_folders_goes_on_after_a_broken_connection_and_ends_when_told(site: Site) -> None:
    with site.mailbox("dora@example.com") as client:
        client.append("Unwanted", MAIL.format("six").encode())
    config = site.program.directory / "polling.cfg"
    config.write_text(_polling(site, "dora"))
    poller = subprocess.Popen([sys.executable, REPOSITORY / "bms.py", "-c", config, "imap"])
    try:
        site.demand("dora", 1, 0)
        with site.mailbox("dora@example.com") as client:
            client.append("Wanted", MAIL.format("seven").encode())
            site.demand("dora", 1, 1)
            _move(client, "Unwanted", "Wanted")
            site.demand("dora", 0, 2)
        site.dovecot.cut()
        with site.mailbox("dora@example.com") as client:
            client.append("Unwanted", MAIL.format("eight").encode())
            client.select_folder("Unwanted", readonly=True)
            site.demand("dora", 1, 2)
            assert client.search("SEEN") == [], "to learn a message is not to read it"
        poller.send_signal(signal.SIGTERM)
        assert poller.wait(PATIENCE) == 0
    finally:
        poller.kill()
        poller.wait()


def test_a_certificate_that_nobody_vouches_for_is_refused(site: Site) -> None:
    password = site.program.directory / "password"
    password.write_text(PASSWORD)
    password.chmod(0o600)
    accounts = {"dora@example.com": Account(password_file=password)}
    for authority in (None, site.dovecot.authority):
        own = ImapSettings(host="127.0.0.1", port=site.dovecot.tls_port, ca_file=authority, accounts=accounts)
        (mailbox,) = own.mailboxes
        with contextlib.nullcontext() if authority else pytest.raises(OSError, match="certificate verify failed"):
            connect(mailbox).shutdown()


def test_the_filter_polls_beside_its_workers_once_a_reload_says_so(site: Site) -> None:
    with site.mailbox("emil@example.com") as client:
        client.append("Unwanted", MAIL.format("nine").encode())
    site.program.config.write_text(_polling(site, "emil"))
    os.kill(site.program.pid, signal.SIGHUP)
    site.demand("emil", 1, 0)


@pytest.mark.parametrize(
    ("name", "password", "right"),
    [
        ("ann@example.com", PASSWORD, True),
        ("ann@example.com", 'wrong " \\ {3}\r\n', False),
        ("nobody@example.com", PASSWORD, False),
        ("ann@example.com", "", False),
    ],
)
def test_its_passwords_let_people_in_to_the_console(site: Site, name: str, password: str, right: bool) -> None:
    assert _logins(site, f"login_ca_file = {site.dovecot.authority}\n").accept(name, password) == right


def test_no_password_is_sent_to_a_server_that_nobody_vouches_for(site: Site) -> None:
    before = site.dovecot.log()
    with pytest.raises(Unavailable):
        _logins(site, "").accept("ann@example.com", PASSWORD)
    assert "ann@example.com" not in site.dovecot.log().removeprefix(before)


def _logins(site: Site, more: str) -> SiteLogins:
    options = f"[web]\nlogin_by = imap\nimap = imaps://127.0.0.1:{site.dovecot.tls_port}\n{more}"
    return SiteLogins.from_settings(load_text(options, [LoginSettings])[LoginSettings])
