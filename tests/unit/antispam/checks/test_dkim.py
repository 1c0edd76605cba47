"""The DKIM check: whose mail is verified, and what follows from the result."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any

import pytest

from antispam.checks import dkim as dkim_check
from antispam.deadline import Deadline
from antispam.journey.services import Services
from antispam.mail.access_map import parse_policy, parse_text
from antispam.mail.connection import Connection
from antispam.mail.evidence import AuthFinding, ClientClass, ConnectionFinding, DkimFinding
from antispam.mail.findings import Findings
from antispam.mail.message import Auth, Body, Header, Message
from antispam.mail.verdicts import Action, Verdict
from antispam.net.resolver import Answer, DNSTemporaryError, RdType, Status
from antispam.protocols.dkim import DkimResult, SignatureResult
from antispam.settings import SettingsError, default_settings, load_text
from support.dkim_mail import BODY, HEADERS, NOW, RSA, signed
from support.dns import TIMEOUT, ScriptedResolver
from support.patience import PATIENCE

KEY = {"s._domainkey.example.com": {"TXT": [RSA.dns_record]}}


def message_of(
    headers: Sequence[tuple[bytes, bytes]],
    body: bytes = BODY,
    *known: Any,
    limit: int = 100_000,
    auth: Auth | None = None,
) -> Message:
    content = Body(limit)
    content.write(body)
    message = Message("m", "joe@example.com", float(NOW), content, auth=auth or Auth(), findings=Findings(None, known))
    message.headers.extend(Header(*header) for header in headers)
    return message


def collect(
    message: Message | None,
    zones: Any = None,
    resolver: Any = None,
    deadline: Deadline | None = None,
    **options: Any,
) -> DkimFinding | None:
    services = Services(
        settings=default_settings([dkim_check.Settings]).replaced(dkim_check.Settings(**options)),
        resolver=resolver or ScriptedResolver(KEY if zones is None else zones),  # type: ignore[arg-type]
        store=None,
        access=parse_text(""),  # type: ignore[arg-type]
        clock=lambda: float(NOW),
        deadline=deadline or Deadline.after(60),
    )
    return dkim_check.collect(Connection("c"), message, None, services)


def decide(finding: DkimFinding | None, access: str = "", **options: Any) -> Verdict:
    assert finding is not None
    stored = DkimFinding.from_json(finding.to_json())
    assert stored == finding, "what is stored can be decided again"
    return dkim_check.decide(stored, Findings(), dkim_check.Settings(**options), parse_text(access))


def finding(
    result: str = "fail", domain: str = "example.com", author: str = "joe@example.com", **more: Any
) -> DkimFinding:
    one = SignatureResult(result=DkimResult(result), domain=domain, reason="because", **more)
    return DkimFinding(signatures=(one,), author=author)


def test_a_good_signature_passes() -> None:
    verdict = decide(collect(message_of(signed())))
    assert (verdict.action, verdict.reason) == (Action.CONTINUE, "DKIM pass of example.com")


def test_signed_and_then_altered_is_said_and_by_default_not_refused() -> None:
    verdict = decide(collect(message_of(signed(), BODY + b"Buy!\r\n")))
    assert (verdict.action, verdict.reason) == (
        Action.CONTINUE,
        "DKIM fail of example.com (body altered after signing)",
    )


def test_signed_and_then_altered_is_refused_where_the_administrator_wants_it() -> None:
    verdict = decide(collect(message_of(signed(), BODY + b"Buy!\r\n")), fail=parse_policy("REJECT"))
    assert (verdict.action, verdict.code, verdict.enhanced) == (Action.REJECT, 550, "5.7.20")
    assert "does not match the DKIM signature of example.com: body altered after signing." in verdict.text


@pytest.mark.parametrize(
    ("known", "auth"),
    [
        ((ConnectionFinding(client=ClientClass.INTERNAL),), None),
        ((AuthFinding(login="joe"),), None),
        ((), Auth("joe", "PLAIN")),
    ],
)
def test_mail_of_our_own_users_is_not_verified(known: tuple[Any, ...], auth: Auth | None) -> None:
    assert collect(message_of(signed(), BODY, *known, auth=auth)) is None


def test_mail_through_a_trusted_relay_is_verified() -> None:
    relay = ConnectionFinding(client=ClientClass.TRUSTED_RELAY)
    found = collect(message_of(signed(), BODY, relay))
    assert found is not None
    assert found.signatures[0].result is DkimResult.PASS


def test_outside_of_a_message_there_is_nothing_to_verify() -> None:
    assert collect(None) is None


def test_a_body_that_was_not_kept_whole_is_neither_pass_nor_fail() -> None:
    found = collect(message_of(signed(), limit=5))
    assert found is not None
    assert [one.result for one in found.signatures] == [DkimResult.NEUTRAL]
    assert collect(message_of(HEADERS, limit=5)) == DkimFinding(author="joe@example.com")


def test_a_time_out_is_a_temperror_that_can_be_told_to_come_back() -> None:
    found = collect(message_of(signed()), {"s._domainkey.example.com": TIMEOUT})
    assert decide(found).action is Action.CONTINUE
    verdict = decide(found, temperror=parse_policy("TEMPFAIL"))
    assert (verdict.action, verdict.code, verdict.enhanced) == (Action.TEMPFAIL, 451, "4.7.20")


def test_after_the_deadline_no_look_up_waits() -> None:
    found = collect(message_of(signed()), deadline=Deadline.after(-1))
    assert found is not None
    assert found.signatures[0].result is DkimResult.TEMPERROR


class MeetingResolver:
    """Answers a question only while another one is being asked, unless there is no time, as a cache would."""

    def __init__(self) -> None:
        self._meeting = threading.Barrier(2, timeout=PATIENCE)

    def lookup(self, name: str, rdtype: RdType, deadline: Deadline) -> Answer:
        if deadline.expired:
            raise DNSTemporaryError("not in the cache")
        self._meeting.wait()
        return Answer(name, rdtype, Status.FOUND, texts=(RSA.dns_record.encode(),))


def test_keys_are_looked_up_at_the_same_time() -> None:
    field, *rest = signed()
    other = (field[0], field[1].replace(b" s=s;", b" s=t;"))
    found = collect(message_of([field, other, *rest]), resolver=MeetingResolver())
    assert found is not None
    assert [one.result for one in found.signatures] == [DkimResult.PASS, DkimResult.FAIL]


def test_the_cap_on_signatures_is_a_setting_and_what_it_skips_is_said() -> None:
    field, *rest = signed()
    found = collect(message_of([field] * 5 + rest), max_signatures=2)
    assert found is not None
    assert (len(found.signatures), found.skipped) == (2, 3)
    assert decide(found).reason == "DKIM pass of example.com (3 more signatures ignored)"


@pytest.mark.parametrize(
    ("headers", "author"),
    [
        ([(b"From", b" Joe <joe@Example.com>")], "joe@example.com"),
        ([(b"From", b" a@x.example, b@y.example")], ""),
        ([(b"From", b" a@x.example"), (b"From ", b" b@y.example")], ""),
        ([], ""),
    ],
)
def test_the_author_is_noted_where_there_is_exactly_one(headers: list[tuple[bytes, bytes]], author: str) -> None:
    found = collect(message_of(headers))
    assert found is not None
    assert found.author == author


@pytest.mark.parametrize(
    ("found", "entry", "action"),
    [
        (finding("fail"), "DKIM-Fail:example.com REJECT", Action.REJECT),
        (finding("fail"), "DKIM-Fail:joe@example.com OK\nDKIM-Fail: REJECT", Action.CONTINUE),
        (finding("fail", "lists.example.org"), "DKIM-Fail:example.com REJECT", Action.CONTINUE),
        (finding("fail", "lists.example.org"), "DKIM-Fail:example.org REJECT", Action.REJECT),
        (finding("pass"), "DKIM-Pass:example.com WHITELIST", Action.ACCEPT),
        (finding("pass", "com"), "DKIM-Pass:joe@example.com WHITELIST", Action.ACCEPT),
        (finding("pass", "evil.example"), "DKIM-Pass:example.com WHITELIST", Action.CONTINUE),
        (finding("pass", "evil.example", identity="x@evil.example"), "DKIM-Pass:x@evil.example REJECT", Action.REJECT),
        (finding("permerror"), "DKIM-Permerror: QUARANTINE", Action.QUARANTINE),
        (finding("neutral"), "DKIM-Neutral: DISCARD", Action.DISCARD),
        (finding("policy"), "DKIM-Policy: TEMPFAIL", Action.TEMPFAIL),
        (DkimFinding(author="joe@example.com"), "DKIM-None:example.com REJECT", Action.REJECT),
        (DkimFinding(author=""), "DKIM-None:example.com REJECT", Action.CONTINUE),
        (finding("fail"), "DKIM-Fail: CBV", Action.CONTINUE),
    ],
)
def test_the_access_map_decides_by_author_or_signing_domain(found: DkimFinding, entry: str, action: Action) -> None:
    assert decide(found, entry).action is action


def test_the_access_map_overrules_the_setting() -> None:
    reject = parse_policy("REJECT")
    assert decide(finding("fail"), "DKIM-Fail:example.com OK", fail=reject).action is Action.CONTINUE
    assert decide(finding("fail", "other.example"), "DKIM-Fail:example.com OK", fail=reject).action is Action.REJECT


def test_one_passing_signature_is_enough() -> None:
    both = DkimFinding(signatures=(*finding("fail").signatures, *finding("pass", "list.example").signatures))
    assert decide(both, fail=parse_policy("REJECT")).reason.startswith("DKIM pass of list.example")


def test_any_of_several_passing_signatures_can_be_whitelisted() -> None:
    both = DkimFinding(signatures=(*finding("pass", "a.example").signatures, *finding("pass", "b.example").signatures))
    assert decide(both, "DKIM-Pass:b.example WHITELIST").action is Action.ACCEPT


def test_a_failure_of_a_domain_that_only_tests_dkim_counts_as_no_signature() -> None:
    testing = finding("fail", testing=True)
    assert decide(testing, fail=parse_policy("REJECT")).action is Action.CONTINUE
    assert decide(testing, none=parse_policy("REJECT")).action is Action.REJECT


@pytest.mark.parametrize(
    ("found", "enhanced"),
    [
        (finding("fail"), "5.7.20"),
        (finding("permerror"), "5.7.20"),
        (DkimFinding(author="joe@example.com"), "5.7.20"),
        (finding("policy"), "5.7.21"),
        (finding("pass"), "5.7.21"),
        (finding("pass", "other.example"), "5.7.22"),
    ],
)
def test_the_enhanced_codes_of_rfc_7372(found: DkimFinding, enhanced: str) -> None:
    access = "\n".join(f"DKIM-{result}: REJECT" for result in ("fail", "permerror", "none", "policy", "pass"))
    verdict = decide(found, access)
    assert (verdict.code, verdict.enhanced) == (550, enhanced)
    assert all(len(line) < 400 for line in verdict.text.splitlines())


def test_the_access_map_can_prescribe_the_reply() -> None:
    verdict = decide(finding("fail"), 'DKIM-Fail:example.com REJECT "554 5.7.1 No altered invoices"')
    assert (verdict.code, verdict.enhanced, verdict.text) == (554, "5.7.1", "No altered invoices")


def test_settings_in_the_words_of_the_access_map() -> None:
    settings = load_text("[dkim]\nfail = REJECT\ntemperror = TEMPFAIL\n", [dkim_check.Settings])[dkim_check.Settings]
    assert settings.fail == parse_policy("REJECT")
    assert settings.none is None


@pytest.mark.parametrize("line", ["fail = REJEKT", "max_signatures = 0", "min_key = 512"])
def test_settings_that_make_no_sense_are_refused(line: str) -> None:
    with pytest.raises(SettingsError):
        load_text(f"[dkim]\n{line}\n", [dkim_check.Settings])


class Cache(ScriptedResolver):
    """Answers what it was asked before even without time."""

    def lookup(self, name: str, rdtype: RdType, deadline: Deadline) -> Answer:
        return super().lookup(name, rdtype, Deadline.after(60) if (name, rdtype) in self.asked else deadline)


@pytest.mark.parametrize("change", [None, (b"d=example.com", b"d = \n\tExample.COM"), (b"s=s;", b"s=\tS ;")])
def test_a_message_whose_keys_are_known_has_nothing_to_wait_for(change: tuple[bytes, bytes] | None) -> None:
    resolver = Cache(KEY)
    message = message_of(signed())
    if change is not None:
        field = message.headers[0]
        assert change[0] in field.value
        message.headers[0] = Header(field.name, field.value.replace(*change))
    services = Services(
        settings=default_settings([dkim_check.Settings]),
        resolver=resolver,  # type: ignore[arg-type]
        store=None,
        access=parse_text(""),  # type: ignore[arg-type]
        clock=lambda: float(NOW),
        deadline=Deadline.after(60),
    )
    assert not dkim_check.ready(Connection("c"), message, services)
    resolver.lookup("s._domainkey.example.com", "TXT", Deadline.after(60))
    assert dkim_check.ready(Connection("c"), message, services)
    assert dkim_check.ready(Connection("c"), message_of(HEADERS), services)


def test_a_signature_in_which_no_key_can_be_made_out_may_have_to_wait() -> None:
    message = message_of([(b"DKIM-Signature", b" v=1; a=rsa-sha256"), *HEADERS])
    services = Services(
        settings=default_settings([dkim_check.Settings]),
        resolver=ScriptedResolver({}),  # type: ignore[arg-type]
        store=None,
        access=parse_text(""),  # type: ignore[arg-type]
        clock=lambda: float(NOW),
        deadline=Deadline.after(60),
    )
    assert not dkim_check.ready(Connection("c"), message, services)


@pytest.mark.parametrize(
    ("reject", "published", "code"),
    [
        ("", "dkim=all", 0), ("all", "dkim=all", 550), ("all", "dkim=discardable", 550), ("all", "dkim=unknown", 0),
        ("all", "", 0), ("all", TIMEOUT, 451), ("discardable", "dkim=all", 0), ("discardable", "dkim = discardable ;", 550),
        ("all", "v=spf1 -all", 0), ("all", "dkim=allx", 0),
    ],
)  # fmt: skip
def test_upstreams_reject_follows_the_author_domains_word(reject: str, published: str, code: int) -> None:
    settings = load_text(f"[dkim]\nreject = {reject}\n", [dkim_check.Settings])[dkim_check.Settings]
    name = "_adsp._domainkey.example.com"
    zones: dict[str, Any] = {name: published if published == TIMEOUT else {"TXT": [published] if published else []}}
    finding = collect(message_of(HEADERS), zones, reject=settings.reject)
    assert finding is not None
    assert dkim_check.decide(finding, Findings(), settings, parse_text("")).code == code


def test_a_signature_that_passes_satisfies_any_practice() -> None:
    finding = collect(message_of(signed()), reject=dkim_check.Practice.ALL)
    assert finding is not None
    assert finding.practice == ""
