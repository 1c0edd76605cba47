"""Hiding from some recipients which way a message went."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from antispam.checks.scrub import Finding, Settings, act, collect, content, decide, hidden
from antispam.mail.access_map import EMPTY
from antispam.mail.connection import Connection
from antispam.mail.draft import Draft
from antispam.mail.evidence import AuthFinding, ClientClass, ConnectionFinding
from antispam.mail.findings import Finding as BaseFinding
from antispam.mail.findings import Findings
from antispam.mail.message import Body, Header, Message, Recipient
from antispam.mail.verdicts import CONTINUE, Action
from support.checking import services_of

CONFIG = "hide_path = shy.example, *.shyer.example"
INTERNAL = ConnectionFinding(client=ClientClass.INTERNAL)
RECEIVED = Header(b"Received", b" from a ([10.0.0.1])\n\tby b; Mon, 23 Nov 2026 10:00:00 +0100")


def message(*headers: Header, known: tuple[BaseFinding, ...] = (INTERNAL,)) -> Message:
    it = Message("m", "ann@example.com", 0.0, Body(100), findings=Findings(None, known))
    it.headers += headers
    return it


def found(it: Message, to: str = "bo@shy.example", config: str = CONFIG) -> Finding | None:
    return collect(Connection("c"), it, Recipient(to), services_of(Settings, "scrub", config))


@pytest.mark.parametrize(
    ("to", "hides"),
    [
        ("bo@shy.example", True),
        ("bo@SHY.example", True),
        ("bo@a.shyer.example", True),
        ("bo@a.shy.example", False),
        ("bo@example.org", False),
        ("postmaster", False),
    ],
)
def test_the_path_is_hidden_from_recipients_of_these_domains(to: str, hides: bool) -> None:
    assert (found(message(RECEIVED), to) is not None) is hides


@pytest.mark.parametrize(
    ("known", "hides"),
    [((INTERNAL,), True), ((AuthFinding(login="ann"),), True), ((ConnectionFinding(),), False), ((), False)],
)
def test_only_mail_of_our_own_users_has_something_to_hide(known: tuple[BaseFinding, ...], hides: bool) -> None:
    assert (found(message(RECEIVED, known=known)) is not None) is hides


def test_nothing_is_asked_where_nothing_is_configured_or_hidden() -> None:
    assert found(message(RECEIVED), config="") is None
    assert found(message(Header(b"From", b" ann@example.com"))) is None


def test_all_from_whom_it_is_hidden_get_the_same_message() -> None:
    assert content(Finding(fields=1)) == content(Finding(fields=1))


def test_hiding_stops_no_mail() -> None:
    services = services_of(Settings, "scrub", CONFIG)
    verdict = decide(Finding(fields=2), Findings(), services.settings[Settings], EMPTY)
    assert (verdict.action, verdict.reason) == (Action.CONTINUE, "2 fields hidden")


def test_received_fields_keep_date_and_number_and_addresses_of_clients_go() -> None:
    it = message(
        RECEIVED,
        Header(b"From", b" ann@example.com"),
        Header(b"RECEIVED ", b" nonsense"),
        Header(b"X-Originating-IP", b" [10.0.0.1]"),
    )
    draft = Draft(it)
    act(Finding(fields=3), CONTINUE, draft, services_of(Settings, "scrub", CONFIG))
    assert [(header.name, header.value) for header in draft.headers] == [
        (b"Received", b" from hidden.invalid by hidden.invalid; Mon, 23 Nov 2026 10:00:00 +0100"),
        (b"From", b" ann@example.com"),
        (b"RECEIVED ", b" from hidden.invalid by hidden.invalid"),
    ]


@given(st.binary(max_size=300))
def test_a_hostile_date_raises_nothing_and_says_nothing(value: bytes) -> None:
    told = hidden(Header(b"Received", value))
    assert told.startswith("from hidden.invalid by hidden.invalid")
    assert told.isprintable()
    assert len(told) < 100


@pytest.mark.parametrize("date", [b";", b"; Mon, 99 Foo", b"; 1 Jan 99999999999999999999 00:00:00", b"; (" * 999])
def test_no_date_is_no_date(date: bytes) -> None:
    assert hidden(Header(b"Received", b" by x" + date)) == "from hidden.invalid by hidden.invalid"


def test_fields_are_counted_once_a_message_however_many_recipients_ask() -> None:
    it = message(RECEIVED)
    first = found(it)
    it.headers = None  # type: ignore[assignment]
    assert found(it, "cy@shy.example") == first
