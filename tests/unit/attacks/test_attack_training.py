"""The training addresses and per-recipient verdicts under attack: floods, other people's signatures, very many recipients."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from antispam.journey.delivery import Outcome
from antispam.learning.teacher import Teacher
from antispam.mail.verdicts import Action, Verdict
from antispam.service.application import Application
from antispam.store.schema import outbox, quarantine_entry
from dspam.features import extract
from dspam.schema import dspam_signature, dspam_training
from dspam.store import pack_keys, put_signature
from support.dns import ScriptedResolver
from support.learning import HAM, SPAM, teach
from support.whole_journey import COLLEAGUE, STRANGER, application, connected, send

CONFIG = """
[greylist]
mode = off
[dspam]
dspam_users = ann, bob, carol
ann = ann@example.com
bob = bob@example.com
carol = @carol.example
spam = spam@example.com
ham = ham@example.com
report_rate = 20
signature_location = message
"""
HONEST = "honesthonest"


@pytest.fixture
def app(tmp_path: Path) -> Iterator[Application]:
    with application(tmp_path, ScriptedResolver(), CONFIG) as made:
        yield made


def forward(text: str, number: int = 0) -> dict[str, object]:
    """What the user's client makes of a forwarded message."""
    body = f"Spam!\r\n\r\n-------- Forwarded Message --------\r\nSubject: x\r\nFrom: a@spam.example\r\n\r\n{text}\r\n"
    return {
        "headers": [(b"From", b" ann@example.com"), (b"Message-ID", f" <{number}@example.com>".encode())],
        "body": body.encode(),
        "sender": "ann@example.com",
    }


def learned(app: Application, user: str = "ann") -> tuple[int, int]:
    return Teacher(app.store, user).totals()


def test_a_flood_of_reports_is_taken_up_to_the_rate_and_the_rest_has_to_wait(app: Application) -> None:
    """10,000 within a minute are no different: each refusal is one read of one row."""
    session = connected(app, COLLEAGUE)
    results = [
        send(session, **forward(f"offer number {number}", number), recipients=["spam@example.com"])
        for number in range(200)
    ]
    taken = [result for result in results if isinstance(result, Outcome)]
    waiting = [result for result in results if isinstance(result, Verdict)]
    assert len(taken) == 20
    assert {(verdict.action, verdict.code) for verdict in waiting} == {(Action.TEMPFAIL, 451)}
    assert learned(app) == (20, 0)
    with app.store.read() as connection:
        assert connection.scalar(sa.select(sa.func.count()).select_from(outbox)) == 20


def test_many_messages_in_one_report_use_the_rate_up(app: Application) -> None:
    parts = "".join(
        f"--b\r\nContent-Type: message/rfc822\r\n\r\nSubject: {number}\r\n\r\noffer {number}\r\n"
        for number in range(50)
    )
    headers = [(b"MIME-Version", b" 1.0"), (b"Content-Type", b" multipart/mixed; boundary=b")]
    session = connected(app, COLLEAGUE)
    mail = {"headers": headers, "body": f"{parts}--b--\r\n".encode(), "sender": "ann@example.com"}
    assert isinstance(send(session, **mail, recipients=["spam@example.com"]), Outcome)
    assert learned(app) == (20, 0)
    assert isinstance(send(session, **mail, recipients=["spam@example.com"]), Verdict)


def test_a_stranger_and_a_forged_from_teach_nothing(app: Application) -> None:
    session = connected(app, STRANGER)
    for sender in ("ann@example.com", "", "x@example.net"):
        result = send(
            session, **{**forward("offer"), "sender": sender}, recipients=["spam@example.com", "HAM@example.com"]
        )
        assert isinstance(result, Verdict)
    with app.store.read() as connection:
        assert connection.scalar(sa.select(sa.func.count()).select_from(dspam_training)) == 0


def test_a_signature_that_the_spammer_put_into_his_text_does_not_stand_for_his_spam(app: Application) -> None:
    """Ann's replies quote tags, so others know some of hers. Ours stands behind all that a message brings along."""
    ann = Teacher(app.store, "ann")
    put_signature(app.store, ann.number, HONEST, pack_keys(extract(HAM.encode())))
    ann.learn(HONEST, extract(HAM.encode()), False)
    trap = f"Buy pills. <!DSPAM:{HONEST}>\r\n"
    outcome = send(connected(app), [(b"From", b" win@spam.example"), (b"X-DSPAM-Signature", f" {HONEST}".encode())],
                   trap.encode(), recipients=["ann@example.com"])  # fmt: skip
    assert isinstance(outcome, Outcome)
    body = next(edit.content for edit in outcome.edits if hasattr(edit, "content"))
    app.history.close()  # what is written after the reply
    with app.store.read() as connection:
        known = set(connection.scalars(sa.select(dspam_signature.c.signature)))
    assert len(known) == 2
    for text in (body.decode(), "> " + body.decode().replace("\r\n", "\r\n> ")):
        send(connected(app, COLLEAGUE), **forward(text), recipients=["spam@example.com"])
    assert learned(app) == (1, 1)


def test_nobody_releases_what_was_kept_from_another(app: Application) -> None:
    teach(app.store, "site", 110)
    with app.store.write() as connection:
        connection.execute(
            sa.text(
                "INSERT INTO preference (scope, owner, name, value) VALUES ('user', 'ann', 'spamAction', 'quarantine')"
            )
        )
    mail = SPAM.format(999).encode().partition(b"\r\n\r\n")
    headers = [(name, value) for name, _, value in (line.partition(b":") for line in mail[0].split(b"\r\n"))]
    assert isinstance(send(connected(app), headers, mail[2], recipients=["ann@example.com"]), Outcome)
    app.history.close()
    with app.store.read() as connection:
        (ref,) = connection.scalars(sa.select(quarantine_entry.c.ref)).all()
    thief = {**forward(f"<!DSPAM:{ref}>"), "sender": "bob@example.com"}
    send(connected(app, COLLEAGUE), **thief, recipients=["ham@example.com"])
    with app.store.read() as connection:
        assert connection.scalar(sa.select(quarantine_entry.c.outbox_id)) is None
    send(connected(app, COLLEAGUE), **forward(f"<!DSPAM:{ref}>"), recipients=["ham@example.com"])
    with app.store.read() as connection:
        number = connection.scalar(sa.select(quarantine_entry.c.outbox_id))
        to = connection.scalar(sa.select(outbox.c.recipients).where(outbox.c.id == number))
    assert json.loads(to) == ["ann@example.com"]


def test_thousands_of_recipients_with_different_wishes_take_bounded_time(app: Application) -> None:
    teach(app.store, "site", 110)
    with app.store.write() as connection:
        for user, name, value in (("ann", "spamAction", "quarantine"), ("carol", "spamSubject", "[SPAM]")):
            row = {"user": user, "name": name, "value": value}
            connection.execute(
                sa.text("INSERT INTO preference (scope, owner, name, value) VALUES ('user', :user, :name, :value)"), row
            )
    to = [f"x{number}@{('example.net', 'carol.example')[number % 2]}" for number in range(3000)] + ["ann@example.com"]
    began = time.process_time()
    outcome = send(connected(app), [(b"From", b" win@spam.example"), (b"Subject", b" WIN 5")],
                   b"Buy cheap pills now, offer 5, click here!\r\n", recipients=to)  # fmt: skip
    spent = time.process_time() - began
    assert isinstance(outcome, Outcome)
    assert outcome.verdict.action is Action.CONTINUE
    with app.store.read() as connection:
        (queued,) = connection.scalars(sa.select(outbox.c.recipients)).all()
        assert connection.scalar(sa.select(sa.func.count()).select_from(quarantine_entry)) == 1
    assert len(json.loads(queued)) == 1500
    assert spent < 20
