"""Whom our users write to."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from antispam.checks.auto_whitelist import MAX_RECIPIENTS, Finding, Settings, afterwards, collect, decide
from antispam.mail.access_map import EMPTY
from antispam.mail.connection import Connection
from antispam.mail.evidence import ClientClass, ConnectionFinding
from antispam.mail.findings import Findings
from antispam.mail.learned_evidence import TrainingFinding, Verb
from antispam.mail.message import Body, Header, Message, Recipient
from antispam.mail.verdicts import Action
from antispam.store import Store
from antispam.store.lists import everything
from support.checking import services_of
from support.learning import dspam_settings
from support.learning import services as learning

NOW = 1_800_000_000.0
OURS = ConnectionFinding(client=ClientClass.INTERNAL)


def message(*to: str, sender: str = "ann@example.com", field: str = "", client: Any = OURS) -> Message:
    headers = [Header(*map(str.encode, field.split(":", 1)))] if field else []
    recipients = [Recipient(one) for one in to]
    return Message(
        "m", sender, 0.0, Body(1000), headers=headers, recipients=recipients, findings=Findings(None, [client])
    )


def services(store: Store | None = None, config: str = "whitelist_senders = @example.com") -> Any:
    return services_of(Settings, "dspam", config, store=store)


def found(sent: Message, config: str = "whitelist_senders = @example.com") -> Finding | None:
    return collect(Connection("c"), sent, None, services(config=config))


def test_recipients_are_whitelisted_for_a_time(store: Store) -> None:
    sent = message("Bob@example.org", "eve@example.net")
    finding = found(sent)
    assert finding is not None
    afterwards(finding, sent, services(store))
    assert [(entry.name, entry.expires_at) for entry in everything(store)] == [
        ("bob@example.org", NOW + 60 * 86400),
        ("eve@example.net", NOW + 60 * 86400),
    ]


def test_our_own_users_are_not(store: Store) -> None:
    finding = found(message("carl@example.com", "bob@example.org"))
    assert finding is not None
    assert finding.recipients == ("bob@example.org",)


@pytest.mark.parametrize(
    "sent",
    [
        message("bob@example.org", sender="eve@example.org"),
        message("bob@example.org", sender=""),
        message("bob@example.org", client=ConnectionFinding()),
    ],
)
def test_others_whitelist_nobody(sent: Message) -> None:
    assert found(sent) is None


def test_it_is_off_without_senders() -> None:
    assert found(message("bob@example.org"), config="") is None


@pytest.mark.parametrize(
    "field", ["Auto-Submitted: auto-replied", "Precedence: bulk", "List-Id: <x.example.com>", "Precedence: junk"]
)
def test_automatic_mail_whitelists_nobody(store: Store, field: str) -> None:
    sent = message("bob@example.org", field=field)
    finding = found(sent)
    assert finding is not None
    afterwards(finding, sent, services(store))
    assert everything(store) == []


@pytest.mark.parametrize(
    "field",
    [
        "Content-Type: multipart/report; report-type=disposition-notification",
        "content-type:MULTIPART/Report",
        "Subject: Read: your great offer",
        "Subject: =?utf-8?q?R=C3=A9ponse_automatique?= : absent",
        "Subject: Out of Office Re: offer",
        "Subject: Automatic reply: offer",
        "Subject: AutoReply",
        "Subject: Your message to staff awaits moderator approval",
        "X-Autoreply: yes",
    ],
)
def test_receipts_and_answers_of_programs_whitelist_nobody(field: str) -> None:
    """A spammer asks for a receipt, and the mail program sends one."""
    finding = found(message("win@spam.example", field=field))
    assert finding is not None
    assert finding.automatic


@pytest.mark.parametrize(
    "field", ["Subject: Readings for Monday", "Subject: Re: Read: what?", "Content-Type: multipart/mixed"]
)
def test_mail_of_people_is_not_taken_for_that(field: str) -> None:
    finding = found(message("bob@example.org", field=field))
    assert finding is not None
    assert not finding.automatic


def test_a_mass_mailing_whitelists_its_first_recipients_only() -> None:
    finding = found(message(*(f"u{number}@example.org" for number in range(MAX_RECIPIENTS + 5))))
    assert finding is not None
    assert len(finding.recipients) == MAX_RECIPIENTS


def test_what_is_no_address_is_passed_over(store: Store) -> None:
    sent = message("a\x00b@example.org", "x@localhost", "bob@example.org")
    finding = found(sent)
    assert finding is not None
    afterwards(finding, sent, services(store))
    assert [entry.name for entry in everything(store)] == ["bob@example.org"]


@pytest.mark.parametrize("address", ['""@example.org', "@example.org", '""@gmail.com'])
def test_an_address_without_a_name_whitelists_no_whole_domain(store: Store, address: str) -> None:
    sent = message(address)
    finding = found(sent)
    assert finding is not None
    afterwards(finding, sent, services(store))
    assert everything(store) == []


def written(store: Store, least: int = 100, **found_at_rcpt: Any) -> tuple[int, int]:
    """What everybody's dictionary has learned once Ann's letter is on its way."""
    sent = message("bob@example.org", field="Subject: lunch")
    sent.body.write(b"Shall we meet for lunch?\r\n")
    for finding in found_at_rcpt.values():
        sent.recipients[0].findings.add(finding)
    finding = collect(Connection("c"), sent, None, services())
    assert finding is not None
    given = learning(store, dspam_settings(f"least = {least}"))
    given = dataclasses.replace(given, settings=given.settings.replaced(Settings(whitelist_senders=("@example.com",))))
    afterwards(finding, sent, given)
    teacher = given.dictionaries.get("site")
    return teacher.totals() if teacher is not None else (0, 0)


def test_what_our_users_write_starts_everybody_s_dictionary(store: Store) -> None:
    assert written(store) == (0, 1)


def test_a_dictionary_that_knows_enough_learns_nothing_of_what_they_write(store: Store) -> None:
    assert written(store, least=0) == (0, 0)


def test_a_report_is_not_learned_as_honest_mail(store: Store) -> None:
    assert written(store, at_rcpt=TrainingFinding(verb=Verb.SPAM, claimed="ann", user="ann")) == (0, 0)


def test_the_message_itself_goes_on() -> None:
    assert decide(Finding(), Findings(), Settings(), EMPTY).action is Action.CONTINUE
