"""A console over a store of its own: its accounts, its messages, and browsers that are logged in."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from bms import JOURNEY
from starlette.testclient import TestClient

from antispam.journey.history_row import address_rows, row_for
from antispam.journey.recorder import StoreRecorder
from antispam.mail.connection import Connection
from antispam.mail.decisions import Decision
from antispam.mail.evidence import ScoreFinding
from antispam.mail.message import Body, Message, Recipient, split_message
from antispam.mail.score import Counted
from antispam.mail.subject import Subject
from antispam.mail.verdicts import CONTINUE, quarantine
from antispam.service.application import settings_classes
from antispam.service.trying import tried
from antispam.settings import load_text
from antispam.store import Store, accounts, sessions
from antispam.store.accounts import Account, Role
from antispam.store.history import HistoryWriter
from antispam.store.quarantine import NewEntry, NoEntry, of_ref
from antispam.store.sessions import How
from antispam.web import passwords
from antispam.web.answers import COOKIE
from antispam.web.app import application
from antispam.web.console import Console
from dspam.features import extract
from dspam.store import pack_keys, put_signature, user_id
from support.dns import ScriptedResolver
from support.stores import make_store

NOW = 1_700_000_000.0
PASSWORD = "correct horse battery"
SPAM = Decision("spam_action", quarantine("score 7.1 reaches 6.0"))
HASHED = passwords.hashed(PASSWORD)
ROLES = {"bob": Role.USER, "carol": Role.USER, "helen": Role.HELPDESK, "ann": Role.ADMINISTRATOR}
RAW = (
    b"From: Eve <eve@example.org>\r\nTo: bob@example.com\r\nSubject: %s\r\nMIME-Version: 1.0\r\n"
    b"Content-Type: text/html; charset=utf-8\r\n\r\n%s\r\n"
)


class Clock:
    now = NOW

    def __call__(self) -> float:
        return self.now


class Place:
    """A console over a store of its own.

    more  lines of the configuration, [web] not among them
    """

    def __init__(self, folder: Path, url_option: str = "", more: str = "") -> None:
        url = make_store(folder / "bms.sqlite")
        self.store = Store(url)
        self.clock = Clock()
        self.dns = ScriptedResolver()
        self.taught: list[tuple[str, str]] = []
        text = f"[milter]\ndatadir = {folder}\n[store]\nurl = {url}\n[web]\nlisten = 127.0.0.1:1\nurl = {url_option}\n{more}"
        self.console = Console(
            settings=load_text(text, settings_classes(JOURNEY)), store=self.store, journey=JOURNEY, clock=self.clock,
            protect=lambda raw, ref: raw, teach=lambda user, ref: self.taught.append((user, ref)),
            dns=self.dns, try_out=lambda question: tried(JOURNEY, self.console.settings, question),
        )  # fmt: skip
        self.app = application(self.console)
        for name, role in ROLES.items():
            accounts.add(self.store, Account(name, role, HASHED, (name,)), NOW)

    def client(self, name: str = "") -> TestClient:
        """A browser; that of somebody who is logged in, where a name is given."""
        client = TestClient(self.app, base_url="http://console.example", follow_redirects=False)
        if name:
            secret = sessions.begin(self.store, name, How.PASSWORD, self.clock(), 12 * 3600)
            client.cookies.set(COOKIE, secret, domain="console.example")
        return client

    def log_in(self, name: str, password: str = PASSWORD) -> TestClient:
        """A browser that sent the name and the password, which takes a tenth of a second."""
        client = self.client()
        answer = client.post("/login", data={"name": name, "password": password})
        assert answer.status_code == 303, answer.text
        return client

    def keep(
        self,
        ref: str,
        *users: str,
        subject: bytes = b"Win",
        body: bytes = b"<p>money</p>",
        sender: str = "eve@example.org",
    ) -> None:
        headers, content = split_message(RAW % (subject, body))
        message = Message(ref, sender, self.clock(), Body(1 << 20), headers=headers)
        message.body.write(content)
        message.recipients.extend(Recipient(f"{user}@example.com", decisions=[SPAM]) for user in users)
        writer = HistoryWriter(self.store)
        kept = [NewEntry(user, (f"{user}@example.com",), SPAM) for user in users]
        assert StoreRecorder(self.store, writer, self.clock).store(message, kept)
        subject_ = Subject(Connection(ref="c", ip="192.0.2.1"), message)
        writer.record(lambda node: row_for(subject_, SPAM.verdict, node), lambda: address_rows(subject_, SPAM.verdict))
        writer.close()

    def deliver(
        self,
        ref: str,
        *users: str,
        subject: bytes = b"Hello",
        kept_from: str = "",
        score: float = 1.5,
        hide: bool = False,
    ) -> None:
        """A message that was delivered to some users; from one it was kept. With `hide` the history has hashes of addresses."""
        headers, content = split_message(RAW % (subject, b"hello"))
        message = Message(ref, "eve@example.org", self.clock(), Body(1 << 20), headers=headers)
        message.body.write(content)
        for user in users:
            recipient = Recipient(f"{user}@example.com", decisions=[SPAM] if user == kept_from else [])
            recipient.findings.add(ScoreFinding(total=score, tests=(Counted("SEEN", score, f"Seen for {user}."),)))
            message.recipients.append(recipient)
            keys = pack_keys(extract(message.raw()))
            put_signature(self.store, user_id(self.store, user.partition("+")[0]), ref, keys, self.clock())
        writer = HistoryWriter(self.store, hide=hide)
        subject_ = Subject(Connection(ref="c", ip="192.0.2.1"), message)
        writer.record(lambda node: row_for(subject_, CONTINUE, node), lambda: address_rows(subject_, CONTINUE))
        writer.close()


def token(client: TestClient, path: str = "/") -> str:
    found = re.search(r'name="token" value="([^"]+)"', client.get(path).text)
    assert found is not None
    return found[1]


def without_tokens(page: str) -> str:
    """The page without what chance writes into it: a given name of three letters is in one token of ten thousand."""
    return re.sub(r'(name="token" value=)"[^"]*"', r"\1", page)


def press(client: TestClient, do: str, *refs: str, **more: str) -> Any:
    return client.post("/quarantine", data={"token": token(client), "do": do, "ref": list(refs), **more})


def kept(place: Place, ref: str) -> list[str]:
    try:
        return [entry.user for entry in of_ref(place.store, ref)]
    except NoEntry:
        return []
