"""The real JOURNEY with real settings and a real store, for tests that attack it as a whole."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from bms import JOURNEY

from antispam.journey.delivery import Outcome
from antispam.journey.session import Session
from antispam.mail.message import Auth
from antispam.mail.verdicts import Verdict
from antispam.net.resolver import Lookup
from antispam.service.application import Application, settings_classes
from antispam.settings import load_text
from antispam.store.connecting import url_from
from support.lists import without_lists
from support.stores import make_store

STRANGER, COLLEAGUE = "198.51.100.7", "10.1.2.3"


class Clock:
    """Seconds since the epoch, `ahead` of the real ones."""

    def __init__(self) -> None:
        self.ahead = 0.0

    def __call__(self) -> float:
        return time.time() + self.ahead


@contextlib.contextmanager
def application(
    folder: Path, resolver: Lookup | None, config: str = "", clock: Clock | None = None
) -> Iterator[Application]:
    """bms.py's application; config is further text of milter.cfg."""
    text = f"[milter]\ndatadir = {folder}\ninternal_connect = 10.0.0.0/8\n{without_lists(config)}"
    settings = load_text(text, settings_classes(JOURNEY))
    make_store(url_from(settings))
    made = Application(JOURNEY, settings, resolver=resolver, clock=clock or Clock())
    try:
        yield made
    finally:
        made.close()


def connected(app: Application, ip: str = STRANGER, helo: str = "mail.example.net") -> Session:
    """A session after HELO."""
    session = app.session()
    session.connect(ip, name="mail.example.net", ptr="mail.example.net", resolve="OK", receiver="mx.example.test")
    session.helo(helo)
    return session


def send(
    session: Session,
    headers: Sequence[tuple[bytes, bytes]],
    body: bytes = b"Hello\r\n",
    sender: str = "ann@example.net",
    recipients: Sequence[str] = ("bob@example.com",),
    login: str = "",
) -> Verdict | Outcome:
    """One message: the verdict of the step that refused it, or the outcome of its end. As an MTA does it, an abort follows
    a refusal."""
    for refusal in _envelope(session, sender, recipients, login):
        if refusal.action.refuses:
            session.abort()
            return refusal
    for name, value in headers:
        session.header(name, value)
    session.body(body)
    outcome = session.end("queue-id")
    session.taken()
    return outcome


def _envelope(session: Session, sender: str, recipients: Sequence[str], login: str) -> Iterator[Verdict]:
    yield session.mail(sender, auth=Auth(login, "PLAIN") if login else None)
    for recipient in recipients:
        yield session.rcpt(recipient)
    yield session.data()
