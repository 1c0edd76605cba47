"""A client that never hears our answer brings its message again: whatever was stored for it is stored once.

The attack: the connection breaks at the end of the message, or the MTA refuses an edit, after everything was committed. The
client keeps the message and comes back, three times.
"""

from __future__ import annotations

import contextlib
import mailbox
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from antispam.journey.delivery import Outcome
from antispam.mail.message import Body, Header, Message, Recipient
from antispam.service.application import Application
from antispam.store.schema import history, outbox, quarantine_entry, stored_message
from dspam.schema import dspam_training, dspam_user
from support.dns import ScriptedResolver
from support.learning import SPAM, Learned
from support.whole_journey import Clock, application, connected, send

USERS = ("bob", "carol", "dave", "erin", "tina")
RECIPIENTS = tuple(f"{user}@example.com" for user in USERS)
WISHES = Learned(
    taught=[("site", 120)],
    preferences=[
        ("bob", "spamAction", "tag"),
        ("carol", "spamAction", "quarantine"),
        ("dave", "spamAction", "deliver"),
        ("erin", "spamAction", "quarantine"),
        ("tina", "trainingMode", "teft"),
    ],
)
CONFIG = "[greylist]\nmode = off\n[wiretap]\narchive = archive\n[dspam]\n" + "".join(
    [f"dspam_users = {', '.join(USERS)}\n", *(f"{user} = {user}@example.com\n" for user in USERS)]
)
BODY = SPAM.format(7).partition("\r\n\r\n")[2].encode()


def headers(identifier: bytes) -> list[tuple[bytes, bytes]]:
    return [(b"From", b" Pills <win7@spam.example>"), (b"Subject", b" WIN 7"), (b"Message-ID", identifier)]


class Stored:
    """What is stored, in numbers."""

    def __init__(self, app: Application, folder: Path) -> None:
        self._app = app
        self._archive = folder / "archive"

    def _count(self, query: sa.Select[tuple[int]]) -> int:
        with self._app.store.read() as connection:
            return connection.scalar(query) or 0

    def _archived(self) -> int:
        if not self._archive.exists():
            return 0
        with contextlib.closing(mailbox.mbox(self._archive)) as archive:
            return len(archive)

    def numbers(self) -> dict[str, int]:
        count = sa.func.count()
        with self._app.store.read() as connection:
            tina = connection.scalar(sa.select(dspam_user.c.id).where(dspam_user.c.name == "tina"))
        taught = sa.select(sa.func.coalesce(sa.func.sum(dspam_training.c.sign), 0))
        return {
            "entries": self._count(sa.select(count).select_from(quarantine_entry)),
            "messages": self._count(sa.select(count).select_from(stored_message)),
            "queued": self._count(sa.select(count).select_from(outbox)),
            "lessons": self._count(taught.where(dspam_training.c.user_id == tina)),
            "archived": self._archived(),
        }

    def told(self) -> list[tuple[str, str]]:
        """The actions and reasons of the history."""
        self._app.history.flush()
        with self._app.store.read() as connection:
            rows = connection.execute(sa.select(history.c.action, history.c.reason).order_by(history.c.id)).all()
        return [(row.action, row.reason) for row in rows]


@pytest.fixture
def site(tmp_path: Path) -> Iterator[tuple[Application, Stored]]:
    WISHES.put_into(f"sqlite:///{tmp_path / 'bms.sqlite'}")
    with application(tmp_path, ScriptedResolver(), CONFIG, Clock()) as app:
        yield app, Stored(app, tmp_path)


def bring(app: Application, identifier: bytes, recipients: tuple[str, ...] = RECIPIENTS) -> None:
    """A message to the end, whose answer the client never hears."""
    session = connected(app)
    assert isinstance(send(session, headers(identifier), BODY, recipients=recipients), Outcome)
    session.close()


def test_what_was_stored_for_a_message_is_stored_once_however_often_it_comes(site) -> None:
    app, stored = site
    bring(app, b" <7@spam.example>")
    once = stored.numbers()
    assert once["entries"] == 2
    assert once["messages"] == 1
    assert once["lessons"] == 1
    assert min(once["queued"], once["archived"]) >= 1
    for _ in range(3):
        bring(app, b" <7@spam.example>")
        assert stored.numbers() == once


def test_what_the_mta_refused_to_edit_is_stored_once_and_told_as_deferred(site) -> None:
    """It was in the history as accepted, and had taught, once for each time the MTA refused."""
    app, stored = site
    for _ in range(3):
        session = connected(app)
        session.mail("ann@example.net")
        for recipient in RECIPIENTS:
            session.rcpt(recipient)
        session.headers(headers(b" <7@spam.example>"))
        session.body(BODY)
        session.end("queue-id")
        assert session.refused("the MTA did not accept a change").code == 451
        session.close()
    refused = stored.numbers()
    assert refused["lessons"] == 0
    bring(app, b" <7@spam.example>")
    assert stored.numbers() == refused | {"lessons": 1}
    assert stored.told() == [*[("tempfail", "the MTA did not accept a change")] * 3, ("continue", "")]


def test_another_message_is_stored_whatever_it_looks_like(site) -> None:
    app, stored = site
    bring(app, b" <7@spam.example>")
    once = stored.numbers()
    bring(app, b" <8@spam.example>")
    assert stored.numbers() == {what: 2 * number for what, number in once.items()}


def test_messages_without_a_message_id_may_be_the_same_report_of_every_night(site) -> None:
    app, stored = site
    bring(app, b" ")
    once = stored.numbers()
    bring(app, b" ")
    assert stored.numbers() == {what: 2 * number for what, number in once.items()}


def test_a_message_for_others_is_not_taken_for_the_one_that_came_before(site) -> None:
    """A list server sends one copy a recipient, all alike but for the envelope."""
    app, stored = site
    bring(app, b" <7@spam.example>", ("carol@example.com",))
    bring(app, b" <7@spam.example>", ("erin@example.com",))
    assert stored.numbers()["entries"] == 2


def message(**changes: object) -> Message:
    made = Message(
        ref="abc",
        mail_from="ann@example.net",
        received_at=0.0,
        body=Body(1000),
        recipients=[Recipient("bob@example.com"), Recipient("carol@example.com")],
        headers=[Header(b"Message-ID", b" <7@example.net>"), Header(b"Subject", b" lunch")],
    )
    for name, value in changes.items():
        setattr(made, name, value)
    return made


def test_the_order_of_recipients_makes_no_other_message() -> None:
    turned = [Recipient("carol@example.com"), Recipient("bob@example.com")]
    assert message(recipients=turned).identity() == message().identity()


@pytest.mark.parametrize(
    "change",
    [
        {"mail_from": "eve@example.net"},
        {"recipients": [Recipient("bob@example.com")]},
        {"headers": [Header(b"Message-ID", b" <7@example.net>"), Header(b"Subject", b" dinner")]},
        {"headers": [Header(b"Message-ID", b" <8@example.net>"), Header(b"Subject", b" lunch")]},
    ],
)
def test_whatever_else_differs_makes_another_message(change) -> None:
    assert message(**change).identity() != message().identity()


def test_a_message_that_was_not_kept_whole_has_no_identity() -> None:
    cut = message(body=Body(3))
    cut.body.write(b"longer")
    assert cut.identity() == ""
