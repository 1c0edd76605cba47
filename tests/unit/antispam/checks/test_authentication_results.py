"""The Authentication-Results check: what it writes and what it removes."""

from __future__ import annotations

from typing import Any

import pytest

from antispam.checks import authentication_results as check
from antispam.deadline import Deadline
from antispam.journey.services import Services
from antispam.mail.access_map import parse_text
from antispam.mail.connection import Connection
from antispam.mail.draft import ChangeHeader, Draft, Edit, InsertHeader
from antispam.mail.evidence import (
    ArcFinding,
    AuthFinding,
    AuthorPolicy,
    ClientClass,
    ConnectionFinding,
    DkimFinding,
    DmarcFinding,
    Override,
    SpfFinding,
)
from antispam.mail.findings import Findings
from antispam.mail.message import Body, Header, Message
from antispam.protocols.arc import ArcResult
from antispam.protocols.dkim import DkimResult, SignatureResult
from antispam.protocols.dmarc import Disposition, DmarcResult, Evaluation
from antispam.protocols.spf import Result, SpfResult
from antispam.settings import SettingsError, default_settings, load_text

PASS = SignatureResult(
    result=DkimResult.PASS, domain="example.org", selector="s", algorithm="rsa-sha256", prefix="AbCd1234"
)
MAILFROM = SpfResult(Result.PASS, "mailfrom", "example.org", "192.0.2.1", "joe@example.org", "mx.example.org")
NULL = SpfResult(Result.FAIL, "mailfrom", "mx.example.org", "192.0.2.1", "", "mx.example.org")
HELO = SpfResult(Result.NONE, "helo", "mx.example.org", "192.0.2.1", "joe@example.org", "mx.example.org")


def edits(
    *known: Any, headers: tuple[Header, ...] = (), receiver: str = "MX.example.com", **options: Any
) -> tuple[list[Edit], str]:
    """The edits, and the reason given for them."""
    settings = check.Settings(**options)
    services = Services(
        settings=default_settings([check.Settings]).replaced(settings),
        resolver=None,  # type: ignore[arg-type]
        store=None,
        access=parse_text(""),  # type: ignore[arg-type]
        clock=lambda: 0.0,
        deadline=Deadline.after(60),
    )
    message = Message("m", "joe@example.org", 0.0, Body(10), findings=Findings(None, known))
    message.headers.extend(headers)
    finding = check.collect(Connection("c", ip="192.0.2.1", receiver=receiver), message, None, services)
    assert finding is not None
    assert check.Finding.from_json(finding.to_json()) == finding
    verdict = check.decide(finding, message.findings, settings, parse_text(""))
    draft = Draft(message)
    check.act(finding, verdict, draft, services)
    return draft.edits(), verdict.reason


def written(*known: Any, **options: Any) -> list[str]:
    (edit,) = edits(*known, **options)[0]
    assert isinstance(edit, InsertHeader)
    assert edit.name == "Authentication-Results"
    return edit.value.split("\n\t")


def test_where_nothing_was_done_it_says_none() -> None:
    assert written() == ["mx.example.com;", "none"]


def test_what_the_checks_found_is_written() -> None:
    lines = written(
        ConnectionFinding(iprev="pass"), SpfFinding(mailfrom=MAILFROM, helo=HELO), DkimFinding(signatures=(PASS,))
    )
    assert lines == [
        "mx.example.com;",
        "iprev=pass policy.iprev=192.0.2.1;",
        "spf=pass smtp.mailfrom=joe@example.org;",
        "spf=none smtp.helo=mx.example.org;",
        "dkim=pass header.d=example.org header.s=s header.a=rsa-sha256",
        "header.b=AbCd1234",
    ]


def test_the_null_reverse_path_is_reported_by_its_helo_name() -> None:
    assert written(SpfFinding(mailfrom=NULL)) == ["mx.example.com;", "spf=fail smtp.helo=mx.example.org"]


def test_an_unsigned_message_is_dkim_none() -> None:
    assert written(DkimFinding()) == ["mx.example.com;", "dkim=none"]


@pytest.mark.parametrize("result", ["pass", "fail", "temperror", "permerror"])
def test_iprev_is_told_with_the_address_of_the_client(result: str) -> None:
    assert written(ConnectionFinding(iprev=result)) == ["mx.example.com;", f"iprev={result} policy.iprev=192.0.2.1"]


@pytest.mark.parametrize(
    ("finding", "expected"),
    [
        (ArcFinding(result=ArcResult.PASS), "arc=pass"),
        (
            ArcFinding(result=ArcResult.FAIL, reason='a "seal" does not fit'),
            'arc=fail reason="a \\"seal\\" does not fit"',
        ),
        (ArcFinding(result=ArcResult.TEMPERROR, reason="key look-up failed"), 'arc=fail reason="key look-up failed"'),
    ],
)
def test_the_state_of_a_chain_is_told_in_the_words_of_the_standard(finding: ArcFinding, expected: str) -> None:
    """RFC 8617 section 10.1 knows none, pass and fail."""
    assert written(finding) == ["mx.example.com;", expected]


def dmarc_of(*authors: AuthorPolicy, **more: Any) -> DmarcFinding:
    return DmarcFinding(authors=authors, **more)


def author(result: str, domain: str = "bank.example", override: Override | None = None, **more: Any) -> AuthorPolicy:
    found = Evaluation(domain=domain, result=DmarcResult(result), **more)
    return AuthorPolicy(found=found, override=override, because="lists.example" if override else "")


@pytest.mark.parametrize(
    ("finding", "expected"),
    [
        (dmarc_of(author("pass")), "dmarc=pass header.from=bank.example"),
        (dmarc_of(author("none")), "dmarc=none header.from=bank.example"),
        (
            dmarc_of(author("fail", asked=Disposition.REJECT)),
            "dmarc=fail header.from=bank.example policy.dmarc=reject",
        ),
        (
            dmarc_of(author("fail", asked=Disposition.REJECT, override=Override.MAILING_LIST)),
            'dmarc=fail reason="mailing list lists.example" header.from=bank.example policy.dmarc=none',
        ),
        (
            dmarc_of(author("temperror", problem="SERVFAIL"), error="SERVFAIL"),
            "dmarc=temperror reason=SERVFAIL header.from=bank.example",
        ),
        (
            dmarc_of(author("pass", "evil.example"), author("fail", asked=Disposition.QUARANTINE)),
            "dmarc=fail header.from=bank.example policy.dmarc=quarantine",
        ),
        (
            dmarc_of(author("pass"), ambiguous=True),
            'dmarc=permerror reason="several From fields" header.from=bank.example',
        ),
        (
            dmarc_of(author("pass"), unreadable=True),
            'dmarc=permerror reason="From cannot be examined" header.from=bank.example',
        ),
        (dmarc_of(), 'dmarc=permerror reason="no author domain in From"'),
    ],
)
def test_dmarc_is_told_of_the_author_domain_that_decides(finding: DmarcFinding, expected: str) -> None:
    assert " ".join(written(finding)) == f"mx.example.com; {expected}"


def test_the_login_of_a_sender_is_told_only_where_wanted() -> None:
    auth = AuthFinding(login="joe")
    assert written(auth, ConnectionFinding(client=ClientClass.INTERNAL)) == ["mx.example.com;", "auth=pass"]
    assert written(auth, show_login=True) == ["mx.example.com;", "auth=pass smtp.auth=joe"]


FORGED = (
    Header(b"Authentication-Results", b" mx.example.com; spf=pass"),
    Header(b"Authentication-Results", b" other.example; spf=pass"),
    Header(b"authentication-results", b" (x) MX.example.com 1; dkim=pass"),
    Header(b"Authentication-Results", b" old.example.com; dkim=pass"),
)


def test_forged_fields_are_removed_from_the_last_one_up_and_foreign_ones_stay() -> None:
    found, reason = edits(headers=FORGED)
    assert found[:-1] == [
        ChangeHeader("authentication-results", 3, None),
        ChangeHeader("Authentication-Results", 1, None),
    ]
    assert isinstance(found[-1], InsertHeader)
    assert reason == "2 Authentication-Results under our name removed"


def test_former_names_can_be_protected_too() -> None:
    found, _ = edits(headers=FORGED, authserv_id="new.example.com", aliases=("mx.example.com", "old.example.com"))
    assert [edit.occurrence for edit in found if isinstance(edit, ChangeHeader)] == [4, 3, 1]


def test_removing_works_without_writing() -> None:
    found, _ = edits(headers=FORGED, write=False)
    assert [edit.occurrence for edit in found if isinstance(edit, ChangeHeader)] == [3, 1]
    assert len(found) == 2


def test_a_name_from_the_mta_that_cannot_stand_in_the_field_is_not_used() -> None:
    assert not written(receiver="evil; dkim=pass")[0].startswith("evil")


def test_an_authserv_id_that_is_none_is_refused() -> None:
    with pytest.raises(SettingsError, match="expected a name"):
        load_text("[authentication_results]\nauthserv_id = a b\n", [check.Settings])
