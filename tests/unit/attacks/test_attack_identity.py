"""Whoever writes somebody else into From, in whatever syntax, gets neither through nor a pass: the whole filter as shipped.

The bank publishes p=reject; the attacker proves a domain of their own, by SPF and by a signature.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from antispam.journey.delivery import Outcome
from antispam.mail.draft import InsertHeader
from antispam.mail.message import split_message
from antispam.mail.verdicts import Action
from antispam.protocols.arc import reported
from antispam.service.application import Application
from support.dns import ScriptedResolver
from support.signing import SigningKey
from support.whole_journey import STRANGER, application, connected, send

EVIL = SigningKey.make("s", "evil.example", "rsa")
ZONES: dict[str, Any] = {
    "_dmarc.bank.example": {"TXT": ["v=DMARC1; p=reject"]},
    "bank.example": {"TXT": ["v=spf1 ip4:203.0.113.1 -all"]},
    "evil.example": {"TXT": [f"v=spf1 ip4:{STRANGER} -all"]},
    "mail.bank.example": {"TXT": [f"v=spf1 ip4:{STRANGER} -all"]},
    "s._domainkey.evil.example": {"TXT": [EVIL.record]},
}
CONFIG = "[greylist]\nmode = off\n[helo]\nmode = off\n"
Fields = list[tuple[bytes, bytes]]


@pytest.fixture
def resolver() -> ScriptedResolver:
    return ScriptedResolver(ZONES)


@pytest.fixture
def app(tmp_path: Path, resolver: ScriptedResolver) -> Iterator[Application]:
    with application(tmp_path, resolver, CONFIG) as made:
        yield made


def signed(*fields: bytes, body: bytes = b"Pay.\r\n") -> Fields:
    """The fields with the attacker's own signature on top, which holds."""
    raw = b"".join(field + b"\r\n" for field in fields) + b"Date: Mon, 2 Nov 2026 12:00:00 +0000\r\n\r\n" + body
    headers, _ = split_message(EVIL.sign(raw))
    return [(header.name, header.value) for header in headers]


def results(outcome: Outcome) -> str:
    edits = (edit for edit in outcome.edits if isinstance(edit, InsertHeader))
    return " ".join(edit.value for edit in edits if edit.name == "Authentication-Results")


def attack(app: Application, fields: Fields, sender: str = "x@evil.example", helo: str = "evil.example") -> Any:
    return send(connected(app, helo=helo), fields, b"Pay.\r\n", sender=sender)


@pytest.mark.parametrize(
    "fields",
    [
        [b"From: x@evil.example", b"From: ceo@bank.example"],
        [b"From: ceo@bank.example", b"From: x@evil.example"],
        [b"From: x@evil.example", b"From : ceo@bank.example"],
        [b"From: x@evil.example", b"FROM: ceo@bank.example"],
        [b"From: x@evil.example,\n ceo@bank.example"],
        [b"From: x@evil.example, ceo@bank.example"],
        [b"From: ceo@bank.example, x@evil.example"],
        [b"From: ceo@bank.example,<x@evil.example>"],
        [b"From: <@evil.example,@b.example:ceo@bank.example>"],
        [b'From: "ceo"@bank.example'],
        [b"From: =?utf-8?q?ceo=40bank=2Eexample=2C?= <x@evil.example>, <ceo@bank.example>"],
        [b"From: <x@evil.example> <ceo@bank.example>"],
        [b"From: <ceo@bank.example"],
        [b"From: ceo@bank.example (x@evil.example)"],
        [b"From: (ceo@bank.example) ceo@bank.example"],
        [b"From: ceo@bank . example"],
        [b"From: ceo@[bank.example], ceo@bank.example"],
        [
            b"From: "
            + b", ".join(b"a%d@d%d.example" % (number, number) for number in range(2000))
            + b", ceo@bank.example"
        ],
    ],
    ids=range(18),
)
def test_a_forged_author_is_refused_however_from_is_written(app: Application, fields: list[bytes]) -> None:
    """Two From fields, blanks before the colon, folds, lists, routes, quotes, encoded words, brackets, thousands of authors."""
    for headers in (signed(*fields), [tuple(field.split(b":", 1)) for field in fields]):
        outcome = attack(app, headers)  # type: ignore[arg-type]
        assert outcome.verdict.action is Action.REJECT


@pytest.mark.parametrize(
    "value", [b"a@evil.example@bank.example", b"<@bank.example>", b"ceo@", b"undisclosed", b"\xff\x00<"]
)
def test_an_author_that_cannot_be_made_out_proves_nothing(app: Application, value: bytes) -> None:
    """CVE-2023-27043."""
    outcome = attack(app, signed(b"From: " + value))
    assert outcome.verdict.action is Action.REJECT or "dmarc=pass" not in results(outcome)


@pytest.mark.parametrize("sender", ["x@evil.example", "x@nothing.example"])
def test_a_helo_name_that_passes_proves_no_author(app: Application, sender: str) -> None:
    """CVE-2019-20790: the HELO name is below the bank, and passes SPF."""
    outcome = attack(app, [(b"From", b" ceo@bank.example")], sender, "mail.bank.example")
    assert outcome.verdict.action is Action.REJECT
    assert outcome.verdict.enhanced == "5.7.26"


@pytest.mark.parametrize(
    "hostile", ["x;dmarc=pass", "a(b", 'a"b', "a\0b", "a\r\n dmarc=pass", "bank.example; spf=pass"]
)
def test_no_result_can_be_forged_by_what_is_quoted_in_it(app: Application, hostile: str) -> None:
    """CVE-2020-12272: in MAIL FROM, HELO, and the tags of a signature."""
    tags = f" v=1; a=rsa-sha256; d={hostile}; s={hostile}; h=from; bh=AAAA; b=AAAA".encode()
    outcome = attack(
        app,
        [(b"DKIM-Signature", tags), (b"From", b" ceo@watch.example")],
        f'"{hostile}"@nothing.example',
        f"{hostile}.example",
    )
    assert isinstance(outcome, Outcome)
    read = reported(results(outcome).encode())
    assert [one.method for one in read] == ["iprev", "spf", "spf", "dkim", "dmarc"]
    assert [one.method for one in read if one.result == "pass"] == ["iprev"]
    assert "\r" not in results(outcome)


def test_malformed_seals_are_no_chain_and_cost_no_question(app: Application, resolver: ScriptedResolver) -> None:
    """i= beyond 50, sets by the hundred, and a seal that nobody trusts."""
    seal = b" i=%d; a=rsa-sha256; t=1; cv=pass; d=slow%d.example; s=s; b=AAAA"
    sets = [(b"ARC-Seal", seal % (number, number)) for number in range(1, 200)]
    sets += [(b"ARC-Authentication-Results", b" i=1; mx; dmarc=pass header.from=bank.example")]
    outcome = attack(app, [*sets, (b"From", b" ceo@watch.example")])
    assert "arc=fail" in results(outcome)
    assert not any("slow" in name for name, _ in resolver.asked)
    own = EVIL.seal(
        b"From: ceo@bank.example\r\n\r\nPay.\r\n", "mx.evil.example; arc=none; dmarc=pass header.from=bank.example"
    )
    headers, _ = split_message(own)
    outcome = attack(app, [(header.name, header.value) for header in headers])
    assert (outcome.verdict.action, outcome.verdict.enhanced) == (Action.REJECT, "5.7.26")


@pytest.mark.parametrize(
    ("tags", "told"),
    [
        (b"a=rsa-sha1; d=bank.example; s=s; h=from; bh=AAAA; b=AAAA", "dkim=permerror"),
        (b"a=rsa-sha256; d=bank.example; s=s; l=1; h=from; bh=AAAA; b=AAAA", "dkim=permerror"),
    ],
)
def test_signatures_that_prove_nothing(app: Application, tags: bytes, told: str) -> None:
    fields = [(b"DKIM-Signature", b" v=1; " + tags)] * 500
    assert attack(app, [*fields, (b"From", b" ceo@bank.example")]).verdict.enhanced == "5.7.26"
    assert told in results(attack(app, [*fields, (b"From", b" ceo@watch.example")]))


@pytest.mark.parametrize(
    ("record", "result"),
    [
        ("v=spf1 " + " ".join(f"include:i{number}.example" for number in range(50)) + " -all", "permerror"),
        ("v=spf1 include:loop.example -all", "permerror"),
        ("v=spf1 exists:%{l1r-}%{" + "d" * 300 + "}.example -all", "permerror"),
        ("v=spf1 ip4:192.0.2.1 \x07 -all", "permerror"),
    ],
)
def test_records_that_are_made_to_cost_time_are_errors(tmp_path: Path, record: str, result: str) -> None:
    """What is an error must not pass, and is none of "none"."""
    resolver = ScriptedResolver({**ZONES, "loop.example": {"TXT": [record]}})
    with application(tmp_path, resolver, f"{CONFIG}[spf]\nlax_permerror = no\n") as app:
        outcome = attack(app, [(b"From", b" a@watch.example")], "a@loop.example")
    assert f"spf={result} smtp.mailfrom=a@loop.example" in results(outcome)
    assert len(resolver.asked) < 100
