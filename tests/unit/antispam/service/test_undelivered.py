"""A copy that we took over and could not deliver: its sender is told, as RFC 5321 section 6.1 and RFC 3461 want it."""

from __future__ import annotations

import contextlib
import dataclasses
import email
import email.policy
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from antispam.mail.draft import Draft
from antispam.mail.message import Body, Message, Recipient
from antispam.protocols import dsn_parameters
from antispam.service.courier import Courier
from antispam.service.undelivered import report_of
from antispam.settings.outbox import OutboxSettings
from antispam.store import Store, migrate, outbox
from antispam.store.outbox import Claimed, Kind, QueuedMessage, State
from support.scripted_mta import ScriptedMta

NOW = 1_700_000_000.0
CONTENT = b"From: ann@example.org\r\nSubject: hi\r\n\r\nsecret words\r\n"
QUEUED = QueuedMessage(Kind.COPY, "abcdefghijkl", "ann@example.org", ("b@example.com", "c@example.com"), CONTENT)


def claimed(**changes: object) -> Claimed:
    values = {
        "id": 7,
        "kind": Kind.COPY,
        "ref": "abcdefghijkl",
        "created_at": NOW,
        "mail_from": "ann@example.org",
        "recipients": ("b@example.com",),
        "content": CONTENT,
        "tries": 1,
        "secret": "s",
        "ends": NOW + 60,
        "notify": {},
    }
    return Claimed(**(values | changes))  # type: ignore[arg-type]


def report(answer: str = "550 5.1.1 no such user", **changes: object) -> QueuedMessage | None:
    queued = claimed(**changes)
    return report_of(queued, queued.recipients, answer, reporter="mx.example.com", now=NOW)


def status_of(queued: QueuedMessage) -> list[dict[str, str]]:
    parsed = email.message_from_bytes(queued.content, policy=email.policy.default)
    assert parsed.get_content_type() == "multipart/report"
    assert [part.get_content_type() for part in parsed.iter_parts()][:2] == ["text/plain", "message/delivery-status"]
    return [dict(block.items()) for block in list(parsed.iter_parts())[1].get_payload()]


def test_the_sender_gets_a_delivery_status_notification_from_the_null_path() -> None:
    made = report()
    assert made is not None
    assert (made.kind, made.mail_from, made.recipients) == (Kind.DSN, "", ("ann@example.org",))
    general, failed = status_of(made)
    assert general["Reporting-MTA"] == "dns; mx.example.com"
    assert failed["Final-Recipient"] == "rfc822; b@example.com"
    assert (failed["Action"], failed["Status"]) == ("failed", "5.1.1")
    assert failed["Diagnostic-Code"] == "smtp; 550 5.1.1 no such user"


def test_the_header_goes_back_and_the_text_only_where_it_was_asked_for() -> None:
    assert b"secret words" not in report().content
    assert b"secret words" in report(notify={"": "RET=FULL"}).content


def test_what_the_client_called_the_recipient_and_the_message_is_told() -> None:
    asked = {"": "ENVID=QQ314159", "b@example.com": "NOTIFY=FAILURE ORCPT=rfc822;Bob+20B@example.com"}
    general, failed = status_of(report(notify=asked))
    assert general["Original-Envelope-Id"] == "QQ314159"
    assert failed["Original-Recipient"] == "rfc822; Bob B@example.com"


@pytest.mark.parametrize(
    "changes",
    [
        {"mail_from": ""},
        {"notify": {"b@example.com": "NOTIFY=NEVER"}},
        {"notify": {"b@example.com": "NOTIFY=SUCCESS,DELAY"}},
        {"kind": Kind.RELEASE},
        {"kind": Kind.ANSWER},
        {"kind": Kind.DSN},
    ],
)
def test_nobody_is_told_who_did_not_send_it_or_does_not_want_to_hear(changes) -> None:
    assert report(**changes) is None


@given(
    answer=st.text(max_size=300), sender=st.text(min_size=1, max_size=50), recipient=st.text(min_size=1, max_size=50)
)
def test_nothing_that_mail_wrote_adds_a_field(answer, sender, recipient) -> None:
    made = report(answer, mail_from=sender, recipients=(recipient,))
    assert made is not None
    parsed = email.message_from_bytes(made.content)
    assert set(parsed.keys()) == {
        "From", "To", "Subject", "Date", "Message-ID", "Auto-Submitted", "MIME-Version", "Content-Type"
    }  # fmt: skip
    assert len(parsed.get_payload()) == 3


@pytest.mark.parametrize(
    ("params", "sent_on"),
    [
        (("NOTIFY=NEVER",), "NOTIFY=NEVER"),
        (("notify=success,failure", "ORCPT=rfc822;b@example.com"), "notify=success,failure ORCPT=rfc822;b@example.com"),
        (("NOTIFY=NEVER,FAILURE",), ""),
        (("ORCPT=rfc822;b\r\nDATA",), ""),
        (("X-UNKNOWN=1",), ""),
        ((), ""),
    ],
)
def test_only_what_rfc_3461_knows_is_sent_on(params, sent_on) -> None:
    assert dsn_parameters.of_recipient(params) == sent_on


def test_a_copy_keeps_what_was_asked_of_each_of_its_recipients() -> None:
    message = Message("ref", "ann@example.org", NOW, Body(100), params=("RET=HDRS", "SIZE=100"))
    message.recipients = [Recipient("b@example.com", ("NOTIFY=NEVER",)), Recipient("c@example.com")]
    assert Draft(message).notify == {"": "RET=HDRS", "b@example.com": "NOTIFY=NEVER"}


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    migrate(f"sqlite:///{tmp_path / 'bms.sqlite'}")
    with contextlib.closing(Store(f"sqlite:///{tmp_path / 'bms.sqlite'}")) as made:
        yield made


def sent(store: Store, queued: QueuedMessage, **script: object) -> ScriptedMta:
    with store.write() as connection:
        outbox.post(store, connection, queued, NOW)
    with ScriptedMta(**script) as mta:  # type: ignore[arg-type]
        settings = OutboxSettings(host=mta.host, helo="mx.example.com")
        Courier(store, settings, clock=lambda: NOW, chance=lambda: 0.0, every=0.0).round()
    return mta


def test_a_copy_that_is_refused_for_good_is_reported_before_it_is_given_up(store) -> None:
    mta = sent(store, QUEUED, RCPT=["550 5.1.1 no such user", "550 5.1.1 no such user"])
    found = {entry.kind: entry.state for entry in outbox.entries(store, NOW)}
    assert found == {Kind.COPY: State.FAILED, Kind.DSN: State.SENT}
    (report,) = mta.transactions
    assert (report.mail, report.recipients) == ("MAIL FROM:<>", ["RCPT TO:<ann@example.org>"])


def test_what_the_client_asked_for_is_passed_on_to_an_mta_that_understands_it(store) -> None:
    asked = {"": "RET=HDRS ENVID=1", "b@example.com": "NOTIFY=NEVER"}
    queued = dataclasses.replace(QUEUED, notify=asked)
    (taken,) = sent(store, queued, EHLO=["250-mta.example\r\n250 DSN"]).transactions
    assert taken.mail == "MAIL FROM:<ann@example.org> RET=HDRS ENVID=1"
    assert taken.recipients == ["RCPT TO:<b@example.com> NOTIFY=NEVER", "RCPT TO:<c@example.com>"]


def test_an_mta_that_does_not_understand_it_is_not_told(store) -> None:
    queued = dataclasses.replace(QUEUED, notify={"": "RET=HDRS", "b@example.com": "NOTIFY=NEVER"})
    (taken,) = sent(store, queued).transactions
    assert taken.mail == "MAIL FROM:<ann@example.org>"
    assert taken.recipients == ["RCPT TO:<b@example.com>", "RCPT TO:<c@example.com>"]


def test_a_release_that_is_refused_stays_in_the_quarantine_and_is_not_reported(store) -> None:
    released = QueuedMessage(Kind.RELEASE, "abcdefghijkl", "ann@example.org", ("b@example.com",), CONTENT)
    sent(store, released, RCPT=["550 5.1.1 no such user"])
    assert [entry.kind for entry in outbox.entries(store, NOW)] == [Kind.RELEASE]
