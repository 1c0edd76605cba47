"""SMTP AUTH and the senders that a login may use."""

from __future__ import annotations

import pytest

from antispam.checks import auth as auth_check
from antispam.checks import connection as connection_check
from antispam.checks import greeting, helo
from antispam.deadline import Deadline
from antispam.journey.runner import Runner
from antispam.journey.services import Services
from antispam.journey.session import Session
from antispam.journey.table import Journey, Row, Scope, Stage
from antispam.mail.access_map import EMPTY, AccessMap, parse_text
from antispam.mail.connection import Connection
from antispam.mail.findings import Findings
from antispam.mail.message import Auth, Body, Message
from antispam.mail.verdicts import BAN, CONTINUE, Action, Verdict
from antispam.settings import default_settings
from antispam.settings.program import PROGRAM_SETTINGS
from support.dns import ScriptedResolver

JOURNEY = Journey(
    [
        Row(Stage.CONNECT, Scope.CONNECTION, connection_check),
        Row(Stage.HELO, Scope.CONNECTION, helo, needs=("connection",)),
        Row(Stage.MAIL, Scope.MESSAGE, auth_check),
        Row(Stage.MAIL, Scope.MESSAGE, greeting, needs=("connection",)),
    ]
)
SERVICES = Services(
    settings=default_settings([*PROGRAM_SETTINGS, *JOURNEY.settings_classes()]),
    resolver=ScriptedResolver({}),
    store=None,
    access=AccessMap(),
    clock=lambda: 0.0,
    deadline=Deadline(1.0, clock=lambda: 0.0),  # never over, however long the run lasts
)

MAP = parse_text(
    """\
smtp-auth:good@example.com    OK
smtp-auth:list@example.com    WHITELIST
smtp-auth:later@example.com   ERROR:4.7.1:451 Not today
smtp-auth:odd@example.com     QUARANTINE
smtp-auth:void@example.com    DISCARD
smtp-auth:gone@example.com    BAN
smtp-auth:call@example.com    CBV
smtp-auth:told@example.com    REJECT "554 5.7.9 Ask the postroom"
smtp-auth:example.com         REJECT
"""
)


def judge(login: str, sender: str, policy=MAP) -> Verdict:  # type: ignore[no-untyped-def]
    message = Message("m", sender, 0.0, Body(100), auth=Auth(login, "PLAIN"))
    finding = auth_check.collect(Connection("c"), message, None, SERVICES)
    assert finding is not None
    return auth_check.decide(finding, Findings(), auth_check.Settings(), policy)


@pytest.mark.parametrize(
    ("login", "action"),
    [
        ("good", Action.ACCEPT),
        ("good@example.com", Action.ACCEPT),
        ("list", Action.ACCEPT),
        ("later", Action.TEMPFAIL),
        ("odd", Action.QUARANTINE),
        ("void", Action.DISCARD),
        ("gone", Action.REJECT),
        ("call", Action.REJECT),
        ("other", Action.REJECT),
        ("good@evil.example", Action.REJECT),
    ],
)
def test_the_access_map_says_who_may_send_as_whom(login: str, action: Action) -> None:
    assert judge(login, "anybody@example.com").action is action


def test_a_prescribed_reply_is_given() -> None:
    verdict = judge("told", "x@example.com")
    assert (verdict.code, verdict.enhanced, verdict.text) == (554, "5.7.9", "Ask the postroom")


def test_a_refusal_names_login_and_sender() -> None:
    assert "login other is not authorised to send as x@example.com" in judge("other", "x@example.com").text


def test_a_ban_refuses_and_counts_as_more_than_any_limit() -> None:
    verdict = judge("gone", "x@example.com")
    assert (verdict.action, verdict.demerits) == (Action.REJECT, BAN)


def test_the_null_sender_is_free_for_everybody() -> None:
    assert judge("anybody", "", parse_text("smtp-auth: REJECT\n")).action is Action.ACCEPT


def test_a_user_of_whom_the_map_says_nothing_is_one_of_ours() -> None:
    assert judge("other", "x@example.org").action is Action.ACCEPT


def test_who_did_not_authenticate_is_not_judged_here() -> None:
    assert judge("", "x@example.com") is CONTINUE


@pytest.fixture
def session() -> Session:
    return Session(Runner(JOURNEY), SERVICES)


def test_authentication_pardons_what_was_wrong_with_the_helo_name(session: Session) -> None:
    session.connect("203.0.113.9", receiver="mx.example.com")
    session.helo("192.168.1.5")
    session.mail("joe@example.org", auth=Auth("joe", "PLAIN"))
    assert session.rcpt("ann@example.com") is CONTINUE


def test_authentication_ends_with_its_message(session: Session) -> None:
    session.connect("203.0.113.9", receiver="mx.example.com")
    session.helo("192.168.1.5")
    session.mail("joe@example.org", auth=Auth("joe", "PLAIN"))
    session.mail("joe@example.org")
    assert session.rcpt("ann@example.com").action is Action.REJECT


def test_a_second_helo_is_judged_afresh(session: Session) -> None:
    session.connect("203.0.113.9", receiver="mx.example.com")
    session.helo("192.168.1.5")
    session.helo("mail.example.org")
    session.mail("joe@example.org")
    assert session.rcpt("ann@example.com") is CONTINUE


def test_a_refusal_found_at_helo_waits_for_the_recipient(session: Session) -> None:
    session.connect("203.0.113.9", receiver="mx.example.com")
    assert session.helo("192.168.1.5") is CONTINUE
    assert session.mail("joe@example.org") is CONTINUE
    assert session.rcpt("ann@example.com").action is Action.REJECT


def test_mail_without_helo_is_refused_at_the_recipient(session: Session) -> None:
    session.connect("203.0.113.9", receiver="mx.example.com")
    session.mail("joe@example.org")
    assert session.rcpt("ann@example.com").action is Action.REJECT


def test_an_empty_map_is_silent() -> None:
    assert judge("joe", "x@example.com", EMPTY).action is Action.ACCEPT
