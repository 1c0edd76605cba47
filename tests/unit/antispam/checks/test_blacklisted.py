"""What blacklisted senders write, learned before it is refused."""

from __future__ import annotations

from typing import Any

import pytest

from antispam.checks import callback, sender_lists
from antispam.checks._shared.bans import BanSettings
from antispam.checks.blacklisted import Finding, collect, concluded, decide
from antispam.journey.services import Services
from antispam.learning.settings import DspamSettings
from antispam.learning.teacher import Dictionaries
from antispam.mail.access_map import EMPTY
from antispam.mail.connection import Connection
from antispam.mail.evidence import CallbackFinding, SenderListFinding
from antispam.mail.findings import Findings
from antispam.mail.message import Body, Header, Message
from antispam.mail.verdicts import CONTINUE, Action, reject
from antispam.protocols.callback_dialogue import Outcome
from antispam.settings import load_text
from antispam.settings.program import ProgramSettings
from antispam.store import Store
from support.checking import services_of

LISTED = SenderListFinding(sender="win@spam.example", blacklisted="reported")
REFUSED = reject("No.", "no")


def message(*found: Any, ref: str = "abcdefghijkl") -> Message:
    body = Body(1000)
    body.write(b"Buy cheap pills now\r\n")
    headers = [Header(b"From", b" win@spam.example"), Header(b"Subject", b" WIN")]
    return Message(ref, "win@spam.example", 0.0, body, headers=headers, findings=Findings(None, found))


def services(store: Store, config: str = "[bans]\nlearn = yes\n") -> Services:
    settings = load_text(config, [ProgramSettings, BanSettings, DspamSettings])
    base = services_of(BanSettings, store=store, dictionaries=Dictionaries(store))
    return Services(**(vars(base) | {"settings": settings}))


def learned(store: Store) -> int:
    teacher = Dictionaries(store).get("site")
    return 0 if teacher is None else teacher.totals(None)[0]


def test_a_blacklisted_sender_is_refused_at_the_end_and_learned(store: Store) -> None:
    it, use = message(LISTED), services(store)
    settings = use.settings[BanSettings]
    assert sender_lists.decide(LISTED, Findings(), settings, EMPTY).action is Action.CONTINUE
    finding = collect(Connection("c"), it, None, use)
    assert isinstance(finding, Finding)
    verdict = decide(finding, it.findings, settings, EMPTY)
    assert (verdict.action, verdict.demerits) == (Action.REJECT, 1)
    concluded(finding, Connection("c"), it, verdict, use)
    concluded(finding, Connection("c"), it, verdict, use)
    assert learned(store) == 1, "once, however often it comes"


def test_it_is_off_by_default(store: Store) -> None:
    assert collect(Connection("c"), message(LISTED), None, services(store, "")) is None
    assert sender_lists.decide(LISTED, Findings(), BanSettings(), EMPTY).action is Action.REJECT


@pytest.mark.parametrize("found", [[], [SenderListFinding(sender="x@y.example", whitelisted="ann wrote to it")]])
def test_others_are_not_asked_about(store: Store, found: list[Any]) -> None:
    assert collect(Connection("c"), message(*found), None, services(store)) is None


def test_what_was_not_read_or_not_refused_teaches_nothing(store: Store) -> None:
    finding, unread = Finding(sender="win@spam.example", reason="reported"), message(LISTED)
    unread.headers.clear()
    concluded(finding, Connection("c"), unread, REFUSED, services(store))
    concluded(finding, Connection("c"), message(LISTED), CONTINUE, services(store))
    concluded(finding, Connection("c"), None, REFUSED, services(store))
    assert learned(store) == 0


def test_no_more_is_learned_than_of_one_user(store: Store) -> None:
    use = services(store, "[bans]\nlearn = yes\n[dspam]\nreport_rate = 2\n")
    for number in range(5):
        concluded(Finding(), Connection("c"), message(LISTED, ref=f"abcdefghij{number}"), REFUSED, use)
    assert learned(store) == 2


@pytest.mark.parametrize(("outcome", "number"), [(Outcome.FAILED, 1), (Outcome.OK, 0), (Outcome.UNKNOWN, 0)])
def test_a_sender_whom_his_server_does_not_know_is_learned_from(store: Store, outcome: Outcome, number: int) -> None:
    finding = CallbackFinding(word="CBV", outcome=outcome)
    callback.concluded(finding, Connection("c"), message(), REFUSED, services(store))
    assert learned(store) == number
