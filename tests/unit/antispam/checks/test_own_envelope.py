"""Our own messages are known before anything is refused, by the pass in their envelope; nobody else's are."""

from __future__ import annotations

import time

import pytest
from bms import JOURNEY
from hypothesis import given
from hypothesis import strategies as st

from antispam.checks.own_envelope import Finding, Settings, collect, decide
from antispam.mail.access_map import EMPTY
from antispam.mail.connection import Connection
from antispam.mail.findings import Findings
from antispam.mail.message import Body, Message
from antispam.mail.verdicts import CONTINUE, Action
from antispam.net.resolver import Lookup
from antispam.store import outbox
from antispam.store.lists import Kind as ListKind
from antispam.store.lists import find as listed
from antispam.store.outbox import Kind, QueuedMessage
from support.checking import services_of
from support.dns import ScriptedResolver
from support.whole_journey import Clock, application

SECRET = "0123456789abcdef0123456789abcdef"


def found(*params: str) -> Finding | None:
    """What is found where there is no store to ask."""
    message = Message("ref", "", 0.0, Body(100), params=params)
    return collect(Connection("c"), message, None, services_of(Settings))


@pytest.mark.parametrize("params", [(), ("SIZE=100", "BODY=8BITMIME"), ("ENVID=QQ314159",), (f"ENVID=1.{SECRET}",)])
def test_an_envelope_without_a_pass_is_not_asked_about(params):
    assert found(*params) is None


def test_a_store_that_can_not_answer_is_an_error():
    assert found(f"ENVID=bms-1.{SECRET}").error == "there is no store"


@given(st.text(max_size=60))
def test_whatever_the_identifier_holds_a_stranger_s_is_a_stranger_s(text):
    finding = found(f"ENVID=bms-{text}", text)
    assert finding is None or finding.error


def test_a_pass_that_is_worth_nothing_changes_nothing():
    assert decide(Finding(), Findings(), Settings(), EMPTY) is CONTINUE


@pytest.fixture
def app(tmp_path):
    """Loopback is not internal here, and whoever is not ours is refused by several checks before DATA."""
    resolver: Lookup = ScriptedResolver({"example.com": {"TXT": ["v=spf1 -all"]}})
    config = "hello_blacklist = mx.example.test\ninternal_domains = example.com\n"
    with application(tmp_path, resolver, config, Clock()) as made:
        yield made


def brought(app, *, identifier: bool):
    """What becomes of a message of ours that our MTA shows us, from its claim to its end."""
    with app.store.write() as connection:
        queued = QueuedMessage(Kind.ANSWER, "abcdefghijkl", "bms@example.com", ("bob@example.com",), b"\r\n")
        outbox.post(app.store, connection, queued, time.time())
    claimed = outbox.claim(app.store, time.time(), 600.0)
    session = app.session()
    session.connect("127.0.0.1", name="localhost", ptr="localhost", resolve="OK", receiver="mx.example.test")
    session.helo("mx.example.test")
    session.mail("bms@example.com", (f"ENVID=bms-{claimed.pass_value}",) if identifier else ())
    refusal = session.rcpt("bob@example.com")
    if refusal.action.refuses:
        session.abort()
        return refusal.action
    session.header(b"X-BMS-Pass", f" {claimed.pass_value}".encode())
    session.body(b"\r\n")
    outcome = session.end("queue-id")
    session.taken()
    return outcome.verdict.action


def test_our_message_is_taken_although_loopback_is_not_internal(app):
    assert brought(app, identifier=True) is Action.CONTINUE


def test_without_its_identifier_the_same_message_is_judged_as_a_stranger_s(app):
    assert brought(app, identifier=False) is Action.REJECT


def test_our_messages_ban_nobody(app):
    """Saying our own name is an offence, and our MTA was banned by its fourth message."""
    assert [brought(app, identifier=True) for _ in range(4)] == [Action.CONTINUE] * 4
    assert listed(app.store, [(ListKind.BANNED_IP, "127.0.0.1")], time.time()) == []


def test_no_row_that_is_left_out_for_accepted_mail_is_asked_before():
    """An answer of the greylist, or a lesson from a blacklisted sender, could not be taken back."""
    rows = list(JOURNEY.rows)
    first = next(place for place, row in enumerate(rows) if row.check.NAME == "own_envelope")
    skipping = [place for place, row in enumerate(rows) if row.accepted.value == "skip"]
    assert first < min(skipping)
