"""The ARC check: whose word counts, for what, and what is left alone."""

from __future__ import annotations

from typing import Any

import pytest

from antispam.checks import arc
from antispam.deadline import Deadline
from antispam.mail.evidence import ArcFinding, AuthFinding
from antispam.mail.message import Message, split_message
from antispam.mail.verdicts import Action
from antispam.protocols.arc import ArcResult
from support import checking
from support.dns import TIMEOUT, ScriptedResolver
from support.signing import SigningKey

LISTS = SigningKey.make("s", "lists.example", "rsa")
ALUMNI = SigningKey.make("s", "alumni.example", "rsa")
EVIL = SigningKey.make("s", "evil.example", "rsa")
ZONES: dict[str, Any] = {
    **{f"s._domainkey.{key.domain}": {"TXT": [key.record]} for key in (LISTS, ALUMNI, EVIL)},
    "_dmarc.bank.example": {"TXT": ["v=DMARC1; p=reject"]},
}
LETTER = b"From: Ann <ann@bank.example>\r\nSubject: Sunday\r\n\r\nAt nine?\r\n"
PASSED = "mx; arc=none; spf=pass smtp.mailfrom=ann@bank.example; dmarc=pass header.from=bank.example"
TRUSTED = "trusted_sealers = lists.example, alumni.example"


def message(raw: bytes, mail_from: str = "ann@bank.example", **more: Any) -> Message:
    headers, body = split_message(raw)
    it = checking.message(mail_from=mail_from, body=body, **more)
    it.headers.extend(headers)
    return it


def found(raw: bytes, config: str = TRUSTED, **more: Any) -> ArcFinding:
    zones = more.pop("zones", ZONES)
    finding, verdict = checking.judge(
        arc, message(raw, **more), f"[arc]\n{config}", resolver=ScriptedResolver(zones), clock=lambda: 4e9
    )
    assert finding is not None
    assert verdict is not None
    assert verdict.action is Action.CONTINUE
    return finding


def test_a_message_without_seals_is_not_asked_about() -> None:
    assert checking.judge(arc, message(LETTER)) == (None, None)


def test_what_a_trusted_sealer_saw_proved_is_believed() -> None:
    finding = found(LISTS.seal(LETTER, PASSED))
    assert (finding.result, finding.sealers, finding.trusted) == (ArcResult.PASS, ("lists.example",), "lists.example")
    assert (finding.authors, finding.sender) == (("bank.example",), "bank.example")


def test_a_sealer_that_nobody_trusts_is_not() -> None:
    finding = found(EVIL.seal(LETTER, PASSED))
    assert (finding.result, finding.trusted, finding.authors, finding.sender) == (ArcResult.PASS, "", (), "")


def test_of_several_trusted_sealers_the_first_saw_it_best() -> None:
    finding = found(LISTS.seal(ALUMNI.seal(LETTER, PASSED), "mx; arc=pass; dmarc=fail header.from=bank.example"))
    assert (finding.trusted, finding.authors) == ("alumni.example", ("bank.example",))


def test_a_forgers_seal_under_a_trusted_one_counts_for_nothing() -> None:
    finding = found(LISTS.seal(EVIL.seal(LETTER, PASSED), "mx; arc=pass; dmarc=fail header.from=bank.example"))
    assert (finding.result, finding.trusted, finding.authors, finding.sender) == (
        ArcResult.PASS,
        "lists.example",
        (),
        "",
    )


@pytest.mark.parametrize(
    ("results", "authors"),
    [
        ("mx; arc=none; dmarc=pass header.from=bank.example", ("bank.example",)),
        ("mx; arc=none; dmarc=pass", ("bank.example",)),
        ("mx; arc=none; dmarc=pass header.from=evil.example", ()),
        ("mx; arc=none; dmarc=fail header.from=bank.example; dkim=pass header.d=bank.example", ()),
        ("mx; arc=none; dmarc=temperror; dkim=pass header.d=bank.example", ()),
        ("mx; arc=none; dkim=pass header.d=bank.example", ("bank.example",)),
        ("mx; arc=none; dkim=pass header.d=mail.bank.example", ("bank.example",)),
        ("mx; arc=none; dkim=fail header.d=bank.example", ()),
        ("mx; arc=none; dkim=pass header.d=evil.example; spf=pass smtp.mailfrom=x@evil.example", ()),
        ("mx; arc=none; spf=pass smtp.mailfrom=ann@bank.example", ("bank.example",)),
        ("mx; arc=none; spf=pass smtp.helo=bank.example", ()),
    ],
)
def test_only_what_is_aligned_with_the_author_proves_him(results: str, authors: tuple[str, ...]) -> None:
    assert found(LISTS.seal(LETTER, results)).authors == authors


def test_spf_of_another_sender_does_not_vouch_for_this_one() -> None:
    assert found(LISTS.seal(LETTER, PASSED), mail_from="boss@other.example").sender == ""


@pytest.mark.parametrize(("old", "new"), [(b"At nine", b"At ten"), (b"ann@", b"eve@"), (b"cv=none", b"cv=pass")])
def test_a_chain_that_was_tampered_with_vouches_for_nobody(old: bytes, new: bytes) -> None:
    sealed = LISTS.seal(LETTER, PASSED)
    head, tail = sealed.rsplit(old, 1)
    finding = found(head + new + tail)
    assert (finding.result, finding.authors) == (ArcResult.FAIL, ())


def test_a_seal_that_does_not_cover_from_vouches_for_nobody() -> None:
    second = b"From: boss@bank.example\r\n" + LISTS.seal(LETTER, PASSED)
    assert found(second).authors == ()


def test_a_key_that_cannot_be_looked_up_is_told() -> None:
    finding = found(LISTS.seal(LETTER, PASSED), zones={"s._domainkey.lists.example": TIMEOUT})
    assert (finding.result, finding.authors) == (ArcResult.TEMPERROR, ())
    assert finding.reason.startswith("key look-up failed")


def test_of_our_own_users_nothing_has_to_be_believed() -> None:
    finding = found(LISTS.seal(LETTER, PASSED), found=[AuthFinding(login="ann")])
    assert (finding.result, finding.trusted) == (ArcResult.PASS, "")


def test_the_deadline_is_kept() -> None:
    it = message(LISTS.seal(LETTER, PASSED))
    given = checking.services(arc, resolver=ScriptedResolver(ZONES), deadline=Deadline.after(-1), clock=lambda: 4e9)
    finding = arc.collect(None, it, None, given)  # type: ignore[arg-type]
    assert finding is not None
    assert finding.result is ArcResult.TEMPERROR


def test_points_are_given_for_what_is_believed_only() -> None:
    believed = ArcFinding(result=ArcResult.PASS, trusted="lists.example", authors=("bank.example",))
    settings = arc.Settings()
    none: Any = None
    assert [hit.test for hit in arc.points(believed, none, settings)] == ["ARC_TRUSTED"]
    assert arc.points(ArcFinding(result=ArcResult.PASS), none, settings) == ()
