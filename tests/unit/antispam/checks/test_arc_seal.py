"""Sealing: which messages, with what, and that others can verify it."""

from __future__ import annotations

import dataclasses
import time
from pathlib import Path
from typing import Any

import dkim as dkimpy
import pytest

from antispam.checks import arc, arc_seal
from antispam.mail.draft import Draft
from antispam.mail.evidence import AuthFinding, OwnMailFinding
from antispam.mail.message import Message, split_message
from antispam.settings import load_text
from antispam.settings.program import ProgramSettings
from support import checking
from support.dns import ScriptedResolver
from support.signing import SigningKey

OURS = SigningKey.make("k", "ours.example", "rsa")
LISTS = SigningKey.make("s", "lists.example", "rsa")
ZONES = {f"{key.selector}._domainkey.{key.domain}": {"TXT": [key.record]} for key in (OURS, LISTS)}
LETTER = b"From: Ann <ann@bank.example>\r\nSubject: Sunday\r\nDate: Mon, 2 Nov 2026 12:00:00 +0000\r\n\r\nAt nine?\r\n"
RESULTS = "mx.ours.example;\n\tspf=pass smtp.mailfrom=ann@bank.example;\n\tdmarc=pass header.from=bank.example"


def dns(name: bytes, timeout: int = 5) -> bytes:
    return ZONES[name.decode().rstrip(".")]["TXT"][0].encode()


@pytest.fixture
def config(tmp_path: Path) -> str:
    file = tmp_path / "key"
    file.write_text(OURS.private_pem)
    file.chmod(0o600)
    return f"[dkim_sign]\nkeys = ours.example k {file}\n"


def sealed(
    raw: bytes, config: str, arc_config: str, results: str = RESULTS, change: Any = None, **more: Any
) -> tuple[Message, Draft]:
    """The message as the two ARC checks leave it, after Authentication-Results was written."""
    settings = load_text(f"{config}[arc]\n{arc_config}", [ProgramSettings, arc_seal.Settings, *arc_seal.ALSO_READS])
    given = dataclasses.replace(
        checking.services(arc, resolver=ScriptedResolver(ZONES), clock=time.time), settings=settings
    )
    headers, body = split_message(raw)
    it = checking.message(body=body, **more)
    it.headers.extend(headers)
    chain = arc.collect(None, it, None, given)  # type: ignore[arg-type]
    if chain is not None:
        it.findings.add(chain)
    draft = Draft(it)
    if change:
        change(draft)
    if results:
        draft.insert_header("Authentication-Results", results)
    finding = arc_seal.collect(None, it, None, given)  # type: ignore[arg-type]
    if finding is not None:
        arc_seal.act(finding, arc_seal.decide(finding, it.findings, given.settings[arc.Settings], None), draft, given)  # type: ignore[arg-type]
    return it, draft


def names(draft: Draft) -> list[bytes]:
    return [header.name for header in draft.headers]


SET = [b"ARC-Seal", b"ARC-Message-Signature", b"ARC-Authentication-Results"]


def test_our_set_stands_on_top_and_reports_what_we_found(config: str) -> None:
    _, draft = sealed(LETTER, config, "seal = all")
    assert names(draft)[:4] == [*SET, b"Authentication-Results"]
    assert draft.headers[2].value == b" i=1; " + RESULTS.encode()
    state, results, _ = dkimpy.arc_verify(draft.raw(), dnsfunc=dns)
    assert (state, results[0]["as-domain"], results[0]["ams-domain"]) == (b"pass", b"ours.example", b"ours.example")


def test_a_chain_that_holds_is_gone_on_with(config: str) -> None:
    _, draft = sealed(LISTS.seal(LETTER, "mx; arc=none; spf=pass"), config, "seal = all")
    state, results, _ = dkimpy.arc_verify(draft.raw(), dnsfunc=dns)
    assert (state, [one["instance"] for one in results]) == (b"pass", [2, 1])


def test_what_we_change_is_sealed_as_it_leaves(config: str) -> None:
    def change(draft: Draft) -> None:
        draft.replace_body(b"We took something out.\r\n")

    _, draft = sealed(LISTS.seal(LETTER, "mx; arc=none; spf=pass"), config, "seal = yes", change=change)
    assert dkimpy.arc_verify(draft.raw(), dnsfunc=dns)[0] == b"pass"


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (None, False),
        (lambda draft: draft.append_header("X-Spam-Flag", "NO"), False),
        (lambda draft: draft.change_header(draft.message.headers[1], "[x] Sunday"), True),
        (lambda draft: draft.add_recipient("carl@elsewhere.example"), True),
    ],
)
def test_by_yes_only_what_is_changed_or_goes_elsewhere_is_sealed(config: str, change: Any, expected: bool) -> None:
    _, draft = sealed(LETTER, config, "seal = yes", change=change)
    assert (SET[0] in names(draft)) is expected


def test_what_a_list_server_of_ours_passes_on_tells_what_came_in(config: str) -> None:
    came = LISTS.seal(LETTER, "mx; arc=none; spf=pass")
    changed = (
        b"Authentication-Results: mx.ours.example; arc=pass; dmarc=pass header.from=bank.example\r\n"
        + came.replace(b"Sunday", b"[hikers] Sunday")
    )
    _, draft = sealed(changed, config, "seal = yes", "mx.ours.example; none", found=[AuthFinding(login="mailman")])
    assert draft.headers[2].value == b" i=2; mx.ours.example; arc=pass; dmarc=pass header.from=bank.example"
    assert dkimpy.arc_verify(draft.raw(), dnsfunc=dns)[0] == b"pass"


def test_what_our_users_write_themselves_is_not_sealed(config: str) -> None:
    foreign = b"Authentication-Results: mx.other.example; dmarc=pass\r\n" + LETTER
    for raw in (LETTER, foreign):
        _, draft = sealed(raw, config, "seal = yes", "mx.ours.example; auth=pass", found=[AuthFinding(login="ann")])
        assert SET[0] not in names(draft)


@pytest.mark.parametrize("arc_config", ["seal = no", "seal = all\ndomain = other.example"])
def test_without_a_wish_or_a_key_nothing_is_sealed(config: str, arc_config: str) -> None:
    assert SET[0] not in names(sealed(LETTER, config, arc_config)[1])


def test_without_results_of_ours_there_is_nothing_to_report(config: str) -> None:
    assert SET[0] not in names(sealed(LETTER, config, "seal = all", "")[1])


def test_messages_of_our_outbox_are_left_alone(config: str) -> None:
    assert SET[0] not in names(sealed(LETTER, config, "seal = all", found=[OwnMailFinding(outbox_id=7)])[1])


def test_a_message_that_was_not_kept_whole_is_not_sealed(config: str) -> None:
    settings = load_text(f"{config}[arc]\nseal = all", [ProgramSettings, arc_seal.Settings, *arc_seal.ALSO_READS])
    it = checking.message("From: a@b.example")
    it.body.limit = 1
    given = dataclasses.replace(checking.services(arc), settings=settings)
    finding = arc_seal.collect(None, it, None, given)  # type: ignore[arg-type]
    assert finding is not None
    verdict = arc_seal.decide(finding, it.findings, settings[arc_seal.Settings], None)  # type: ignore[arg-type]
    assert verdict.reason == "not sealed: the message is larger than max_message"
