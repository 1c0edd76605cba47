"""What the recipients' own lists do, for each recipient alone."""

from __future__ import annotations

import pytest

from antispam.checks import own_lists
from antispam.checks._shared.own_lists import OwnListSettings, allowed_by
from antispam.checks.own_lists import Finding, collect, decide
from antispam.learning.people import People
from antispam.learning.settings import DspamSettings
from antispam.mail.access_map import EMPTY
from antispam.mail.connection import Connection
from antispam.mail.evidence import ClientClass, ConnectionFinding, DkimFinding, SpfFinding
from antispam.mail.findings import Findings
from antispam.mail.verdicts import Action
from antispam.protocols.dkim import DkimResult, SignatureResult
from antispam.protocols.spf import Result, SpfResult
from antispam.settings import load_text
from antispam.store import StoreError
from antispam.store.digests import BLOCKED_BY_USER
from antispam.store.own_lists import Kind, put
from support.checking import message, services_of

NOW = 1_800_000_000.0
PEOPLE = "[dspam]\ndspam_users = ann\nann = ann@example.com\n"
PASSED = SpfFinding(mailfrom=SpfResult(Result.PASS, "mailfrom", "shop.example", "198.51.100.8", "", ""))
FAILED = SpfFinding(mailfrom=SpfResult(Result.FAIL, "mailfrom", "shop.example", "198.51.100.8", "", ""))


def services(store, config=""):
    people = People(load_text(PEOPLE, [DspamSettings])[DspamSettings], None)
    return services_of(OwnListSettings, config=config, store=store, people=people)


def letter(*found, sender="news@shop.example", author="News <news@shop.example>", to=("ann@example.com",)):
    return message(f"From: {author}", mail_from=sender, to=to, found=found)


def find(store, it, at=0):
    return collect(Connection("c"), it, it.recipients[at], services(store))


def verdict(store, it, at=0):
    finding = find(store, it, at)
    return None if finding is None else decide(finding, Findings(), OwnListSettings(), EMPTY)


@pytest.mark.parametrize("name", ["news@shop.example", "shop.example"])
def test_a_blocked_sender_is_refused(store, name):
    put(store, "ann", Kind.BLOCK, name, NOW)
    refusal = verdict(store, letter())
    assert (refusal.action, refusal.reason) == (Action.REJECT, f"ann blocks {name}")


def test_an_author_is_blocked_whatever_the_envelope(store):
    put(store, "ann", Kind.BLOCK, "news@shop.example", NOW)
    assert verdict(store, letter(sender="bounce-123@esp.example")).action is Action.REJECT


def test_only_the_user_who_blocks_the_sender_is_concerned(store):
    put(store, "ann", Kind.BLOCK, "shop.example", NOW)
    it = letter(to=("carl@example.com", "ann+shop@example.com"))
    assert verdict(store, it) is None
    assert verdict(store, it, 1).action is Action.REJECT


def test_whoever_is_no_user_of_the_filter_has_lists_under_their_address(store):
    put(store, "carl@example.com", Kind.BLOCK, "shop.example", NOW)
    assert verdict(store, letter(to=("Carl@example.com",))).action is Action.REJECT


@pytest.mark.parametrize(
    ("found", "allowed"),
    [
        ((PASSED,), "news@shop.example"),
        ((FAILED,), ""),
        ((), ""),
        (
            (DkimFinding(signatures=(SignatureResult(result=DkimResult.PASS, domain="shop.example", selector="s"),)),),
            "news@shop.example",
        ),
    ],
)
def test_an_allowed_sender_counts_where_it_is_proved(store, found, allowed):
    put(store, "ann", Kind.ALLOW, "news@shop.example", NOW)
    it = letter(*found)
    finding = find(store, it)
    assert (finding.allowed, finding.unproved) == (allowed, "" if allowed else "news@shop.example")
    it.recipients[0].findings.add(finding)
    assert allowed_by(it.recipients[0], services(store)) == allowed


def test_one_of_two_authors_is_not_the_author(store):
    """Whoever adds an allowed address to From is not let through by it."""
    put(store, "ann", Kind.ALLOW, "bob@friend.example", NOW)
    it = letter(PASSED, author="bob@friend.example, news@shop.example")
    assert find(store, it).allowed == ""


@pytest.mark.parametrize(
    ("entries", "action"),
    [
        ({"shop.example": Kind.BLOCK, "news@shop.example": Kind.ALLOW}, Action.CONTINUE),
        ({"shop.example": Kind.ALLOW, "news@shop.example": Kind.BLOCK}, Action.REJECT),
    ],
)
def test_the_more_exact_entry_wins(store, entries, action):
    for name, kind in entries.items():
        put(store, "ann", kind, name, NOW)
    assert verdict(store, letter(PASSED)).action is action


def test_an_unproved_address_does_not_escape_a_blocked_domain(store):
    put(store, "ann", Kind.BLOCK, "shop.example", NOW)
    put(store, "ann", Kind.ALLOW, "news@shop.example", NOW)
    assert verdict(store, letter(FAILED)).action is Action.REJECT


def test_our_own_users_cannot_be_blocked(store):
    put(store, "ann", Kind.BLOCK, "shop.example", NOW)
    assert find(store, letter(ConnectionFinding(client=ClientClass.INTERNAL))) is None


def test_in_mode_log_nobody_is_let_through(store):
    put(store, "ann", Kind.ALLOW, "news@shop.example", NOW)
    it = letter(PASSED)
    it.recipients[0].findings.add(find(store, it))
    assert allowed_by(it.recipients[0], services(store, "[own_lists]\nmode = log\n")) == ""


def test_a_store_that_does_not_answer_is_an_error(store, monkeypatch):
    def fail(*args):
        raise StoreError("gone")

    put(store, "ann", Kind.BLOCK, "other.example", NOW)
    monkeypatch.setattr(own_lists, "find", fail)
    assert find(store, letter()).error == "own lists: gone"


def test_all_recipients_are_asked_for_at_once(store, monkeypatch):
    put(store, "u7@example.com", Kind.BLOCK, "other.example", NOW)
    asked = []
    monkeypatch.setattr(own_lists, "find", lambda *args: asked.append(args) or [])
    it = letter(to=[f"u{number}@example.com" for number in range(20)])
    for at in range(20):
        find(store, it, at)
    assert len(asked) == 1


@pytest.mark.parametrize("sender", ["", "<>", "a" * 500, "\x00@\u202e", "x@!", '"a b"@shop.example'])
def test_odd_senders_raise_nothing(store, sender):
    put(store, "ann", Kind.BLOCK, "other.example", NOW)
    assert find(store, letter(sender=sender, author=sender)) is None


def test_the_digest_knows_this_check_by_its_name():
    assert own_lists.NAME == BLOCKED_BY_USER


def test_a_finding_survives_its_storage():
    finding = Finding(user="ann", blocked="shop.example")
    assert Finding.from_json(finding.to_json()) == finding
