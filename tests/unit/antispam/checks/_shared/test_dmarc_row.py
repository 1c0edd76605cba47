"""What the aggregate report says of a message, and of which messages it says nothing."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from antispam.checks import dmarc
from antispam.checks._shared.dmarc_reports import DmarcReportSettings
from antispam.mail.connection import Connection
from antispam.mail.decisions import Decision
from antispam.mail.evidence import ArcFinding, DkimFinding, SpfFinding
from antispam.mail.verdicts import CONTINUE, Verdict, quarantine, reject
from antispam.protocols.arc import ArcResult
from antispam.protocols.dkim import DkimResult, SignatureResult
from antispam.protocols.dmarc_reports import Published, Record
from antispam.protocols.spf import Result, SpfResult
from antispam.settings import Mode, load_text
from antispam.settings.program import ProgramSettings
from support import checking
from support.dns import ScriptedResolver

ZONES = {
    "_dmarc.bank.example": {"TXT": ["v=DMARC1; p=reject; sp=none; adkim=s; rua=mailto:rua@bank.example"]},
    "_dmarc.test.example": {"TXT": ["v=DMARC1; p=reject; t=y; rua=mailto:rua@test.example"]},
    "_dmarc.watch.example": {"TXT": ["v=DMARC1; p=none; rua=mailto:rua@watch.example"]},
    "_dmarc.silent.example": {"TXT": ["v=DMARC1; p=reject"]},
}
SEND = "[dmarc_reports]\nsend = yes\nsender = dmarc@example.com\n"
REFUSED = reject("no", "forged")


def spf_of(domain: str, result: str = "pass") -> SpfFinding:
    return SpfFinding(mailfrom=SpfResult(Result(result), "mailfrom", domain, "192.0.2.1", f"a@{domain}", "helo"))


def dkim_of(domain: str, result: str = "pass") -> DkimFinding:
    return DkimFinding(signatures=(SignatureResult(result=DkimResult(result), domain=domain, selector="s1"),))


def noted(
    *fields: str,
    spf: SpfFinding | None = None,
    dkim: DkimFinding | None = None,
    config: str = SEND,
    verdict: Verdict = CONTINUE,
    decided: Verdict | None = None,
    more: Any = (),
    mode: Mode = Mode.ENFORCE,
) -> list[dict[str, Any]]:
    """The rows that one message leaves."""
    rows: list[Any] = []
    settings = load_text(config, [ProgramSettings, dmarc.Settings, DmarcReportSettings])
    found = [spf or spf_of("evil.example"), dkim or DkimFinding(), *more]
    it = checking.message(*fields, mail_from="bounce@evil.example", found=found)
    given = checking.services(dmarc, resolver=ScriptedResolver(ZONES), write_later=lambda table, row: rows.append(row))
    given = type(given)(**{**given.__dict__, "settings": settings})
    finding = dmarc.collect(Connection("c"), it, None, given)
    assert finding is not None
    if decided is not None:
        it.decisions.append(Decision("dmarc", decided, mode))
    dmarc.concluded(finding, Connection("c", ip="192.0.2.1"), it, verdict, given)
    return rows


def record_of(rows: list[dict[str, Any]]) -> Record:
    (row,) = rows
    return msgspec.json.decode(row["record"], type=Record)


def test_a_forged_message_is_told_with_its_results_and_what_was_done() -> None:
    (row,) = rows = noted("From: ceo@bank.example", dkim=dkim_of("evil.example"), decided=REFUSED, verdict=REFUSED)
    assert (row["day"], row["domain"]) == (int(checking.NOW) // 86400, "bank.example")
    assert msgspec.json.decode(row["published"], type=Published) == Published(
        domain="bank.example", p="reject", sp="none", adkim="s"
    )
    assert record_of(rows) == Record(
        source_ip="192.0.2.1",
        disposition="reject",
        dkim=False,
        spf=False,
        header_from="bank.example",
        envelope_from="evil.example",
        signatures=(("evil.example", "s1", "pass"),),
        spf_domain="evil.example",
        spf_result="pass",
    )


@pytest.mark.parametrize(
    ("spf", "dkim", "expected"),
    [
        (spf_of("bank.example"), dkim_of("bank.example"), (True, True)),
        (spf_of("mail.bank.example"), dkim_of("mail.bank.example"), (True, False)),
        (spf_of("bank.example", "softfail"), dkim_of("bank.example"), (False, True)),
    ],
)
def test_each_method_is_told_as_it_is_aligned(spf: SpfFinding, dkim: DkimFinding, expected: tuple[bool, bool]) -> None:
    record = record_of(noted("From: ceo@bank.example", spf=spf, dkim=dkim))
    assert (record.spf, record.dkim, record.disposition, record.reason) == (*expected, "pass", "")


def test_a_pass_under_a_policy_of_none_is_none() -> None:
    assert record_of(noted("From: a@watch.example", spf=spf_of("watch.example"))).disposition == "none"


@pytest.mark.parametrize(
    ("author", "decided", "config", "more", "expected"),
    [
        ("a@bank.example", quarantine("x"), "", (), ("quarantine", "local_policy", "")),
        ("a@bank.example", CONTINUE, "", (), ("none", "local_policy", "")),
        ("a@test.example", quarantine("x"), "", (), ("quarantine", "policy_test_mode", "")),
        ("a@watch.example", CONTINUE, "", (), ("none", "", "")),
        ("a@bank.example", CONTINUE, "[dmarc]\nnever = bank.example", (), ("none", "local_policy", "exempt here")),
        (
            "a@bank.example",
            CONTINUE,
            "[dmarc]\nmailing_lists = evil.example",
            (),
            ("none", "mailing_list", "mailing list evil.example"),
        ),
        (
            "a@bank.example",
            CONTINUE,
            "",
            (
                ArcFinding(
                    result=ArcResult.PASS,
                    sealers=("b.example", "a.example"),
                    trusted="b.example",
                    authors=("bank.example",),
                ),
            ),
            ("none", "local_policy", "arc=pass as[2].d=b.example as[1].d=a.example"),
        ),
    ],
)
def test_why_something_else_was_done_than_the_policy_asks_for(
    author: str, decided: Verdict, config: str, more: Any, expected: tuple[str, str, str]
) -> None:
    record = record_of(noted(f"From: {author}", decided=decided, config=f"{SEND}{config}\n", more=more))
    assert (record.disposition, record.reason, record.comment) == expected


def test_what_is_only_logged_was_not_done() -> None:
    record = record_of(noted("From: ceo@bank.example", decided=REFUSED, mode=Mode.LOG))
    assert (record.disposition, record.reason) == ("none", "local_policy")


@pytest.mark.parametrize(
    ("fields", "config"),
    [
        (["From: ceo@bank.example"], ""),
        (["From: ceo@bank.example"], f"{SEND}never = bank.example\n"),
        (["From: ceo@silent.example"], SEND),
        (["From: ceo@unpublished.example"], SEND),
        (["From: a@bank.example, b@watch.example"], SEND),
        (["From: a@bank.example", "From: b@bank.example"], SEND),
        (["From: a@bank.example", "Subject: Report Domain: example.com Submitter: bank.example"], SEND),
    ],
)
def test_of_these_nothing_is_noted(fields: list[str], config: str) -> None:
    assert noted(*fields, config=config, decided=REFUSED) == []


def test_reports_without_a_sender_are_an_error_of_the_configuration() -> None:
    with pytest.raises(ValueError, match="sender"):
        load_text("[dmarc_reports]\nsend = yes\n", [DmarcReportSettings])
