"""The SPF check: whom it asks about, what it makes of the answers, what the sender and the headers are told."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import pytest

from antispam.checks import spf
from antispam.checks._shared.dmarc_settings import DmarcSettings
from antispam.checks._shared.spf.settings import DoubtfulAction, Refuse
from antispam.deadline import Deadline
from antispam.journey.services import Services
from antispam.mail.access_map import parse_text
from antispam.mail.connection import Connection
from antispam.mail.draft import Draft, InsertHeader
from antispam.mail.evidence import AuthFinding, ClientClass, ConnectionFinding, SpfFinding
from antispam.mail.findings import Findings
from antispam.mail.message import Auth, Body, Header, Message
from antispam.mail.verdicts import Action, Callback, Verdict
from antispam.net.resolver import Answer, RdType
from antispam.protocols.spf import Result
from antispam.settings import Mode, SettingsError, default_settings, load_text
from support.dns import TIMEOUT, ScriptedResolver

GOOD, BAD = "192.0.2.1", "198.51.100.9"

ZONES: dict[str, Any] = {
    "example.org": {"TXT": [f"v=spf1 ip4:{GOOD} -all exp=why.example.org"]},
    "why.example.org": {"TXT": ["%{i} is a stranger to us"]},
    "soft.test": {"TXT": [f"v=spf1 ip4:{GOOD} ~all"]},
    "neutral.test": {"TXT": [f"v=spf1 ip4:{GOOD} ?all"]},
    "broken.test": {"TXT": [f"v=spf1 ip4:{GOOD} moo -all"]},
    "slow.test": TIMEOUT,
    "bare.test": {"A": ["192.0.2.200"]},
    "mx.bare.test": {"A": [BAD]},
    "mx.client.test": {"TXT": [f"v=spf1 ip4:{GOOD} ip4:{BAD} -all"]},
    "forwarder.test": {"TXT": [f"v=spf1 ip4:{BAD} -all"]},
    "parked.test": {"TXT": ["v=spf1 -all exp=why.example.org"]},
}


class Case:
    """A message from a client, and what the check makes of it."""

    def __init__(
        self,
        mail_from: str = "joe@example.org",
        ip: str = BAD,
        helo: str = "mx.client.test",
        name: str = "mx.client.test",
        known: tuple[Any, ...] = (),
        auth: Auth | None = None,
        access: str = "",
        headers: tuple[Header, ...] = (),
        **options: Any,
    ) -> None:
        self.settings = spf.Settings(**{"refuse": Refuse.AT_ONCE, **options})
        self.connection = Connection("c", ip=ip, helo=helo, name=name, receiver="mx.example.com")
        findings = Findings(self.connection.findings, known)
        self.message = Message("m", mail_from, 0.0, Body(1000), auth=auth or Auth(), findings=findings)
        self.message.headers.extend(headers)
        self.resolver = ScriptedResolver(ZONES)
        self.access = parse_text(access)
        self.services = Services(
            settings=default_settings([spf.Settings]).replaced(self.settings),
            resolver=self.resolver,  # type: ignore[arg-type]
            store=None,
            access=self.access,  # type: ignore[arg-type]
            clock=lambda: 0.0,
            deadline=Deadline.after(60),
        )

    def collect(self) -> SpfFinding | None:
        return spf.collect(self.connection, self.message, None, self.services)

    def decide(self) -> Verdict:
        finding = self.collect()
        assert finding is not None
        stored = SpfFinding.from_json(finding.to_json())
        assert stored == finding, "what is stored can be decided again"
        return spf.decide(stored, self.message.findings, self.settings, self.access)

    def header(self) -> str:
        finding = self.collect()
        assert finding is not None
        draft = Draft(self.message)
        spf.act(finding, Verdict(Action.CONTINUE), draft, self.services)
        edits = [edit for edit in draft.edits() if isinstance(edit, InsertHeader)]
        return edits[0].value if edits else ""


# Whom it asks about


@pytest.mark.parametrize(
    "known",
    [
        ConnectionFinding(client=ClientClass.INTERNAL),
        ConnectionFinding(client=ClientClass.TRUSTED_RELAY),
        AuthFinding(login="joe"),
    ],
)
def test_internal_clients_trusted_relays_and_authenticated_senders_are_not_asked_about(known: Any) -> None:
    case = Case(known=(known,))
    assert case.collect() is None
    assert case.resolver.asked == []


def test_smtp_auth_alone_exempts() -> None:
    assert Case(auth=Auth("joe")).collect() is None


def test_without_a_client_address_there_is_nothing_to_ask() -> None:
    assert Case(ip="").collect() is None


class Foreseeing(ScriptedResolver):
    """A resolver that is told what will be wanted."""

    def __init__(self) -> None:
        super().__init__(ZONES)
        self.foreseen: list[tuple[str, str]] = []

    def ask_ahead(self, name: str, rdtype: RdType, deadline: Deadline, then: Callable[[Answer], None]) -> None:
        self.foreseen.append((name, rdtype))


@pytest.mark.parametrize(
    ("sender", "mode", "foreseen"),
    [
        ("ann@mail.example.org", Mode.ENFORCE, [("_dmarc.mail.example.org", "TXT")]),
        ("ann@mail.example.org", Mode.OFF, []),
        ("", Mode.ENFORCE, []),
        ("ann@no_host..example", Mode.ENFORCE, []),
    ],
)
def test_the_policy_of_the_senders_domain_is_asked_for_before_it_is_wanted(
    sender: str, mode: Mode, foreseen: list[tuple[str, str]]
) -> None:
    case, resolver = Case(sender), Foreseeing()
    policy = dataclasses.replace(default_settings([DmarcSettings])[DmarcSettings], mode=mode)
    settings = default_settings([spf.Settings, DmarcSettings]).replaced(case.settings, policy)
    case.services = dataclasses.replace(case.services, settings=settings, resolver=resolver)  # type: ignore[arg-type]
    case.collect()
    assert [asked for asked in resolver.foreseen if asked[0].startswith("_dmarc")] == foreseen


def test_external_clients_are_asked_about() -> None:
    assert Case(known=(ConnectionFinding(),)).decide().action is Action.REJECT


def test_the_helo_name_is_not_asked_about_where_mail_from_passes_or_is_null() -> None:
    for case in (Case(ip=GOOD), Case(mail_from="")):
        finding = case.collect()
        assert finding is not None
        assert finding.helo is None


# What it decides by itself


@pytest.mark.parametrize(
    ("mail_from", "ip", "code", "enhanced"),
    [
        ("joe@example.org", GOOD, 0, ""),
        ("joe@example.org", BAD, 550, "5.7.23"),
        ("joe@soft.test", BAD, 0, ""),
        ("joe@neutral.test", BAD, 0, ""),
        ("joe@nothing.test", BAD, 0, ""),
        ("joe@slow.test", BAD, 451, "4.7.24"),
        ("", BAD, 0, ""),
    ],
)
def test_defaults_refuse_fail_and_delay_temporary_errors(mail_from: str, ip: str, code: int, enhanced: str) -> None:
    verdict = Case(mail_from, ip).decide()
    assert (verdict.code, verdict.enhanced) == (code, enhanced)


def test_as_shipped_a_fail_waits_for_the_end_of_the_message() -> None:
    verdict = Case(refuse=Refuse.END).decide()
    assert verdict.action is Action.CONTINUE
    assert verdict.reason == "SPF fail for example.org, to be refused unless the message is vouched for"


def test_a_helo_name_that_spf_denies_waits_as_well() -> None:
    assert Case("joe@neutral.test", helo="example.org", refuse=Refuse.END).decide().action is Action.CONTINUE


@pytest.mark.parametrize(("mail_from", "helo"), [("joe@parked.test", "x.test"), ("joe@neutral.test", "parked.test")])
def test_a_domain_that_sends_nothing_is_refused_at_once(mail_from: str, helo: str) -> None:
    assert Case(mail_from, helo=helo, refuse=Refuse.END).decide().enhanced == "5.7.23"


@pytest.mark.parametrize(
    ("entry", "action"), [("REJECT", Action.REJECT), ("BAN", Action.REJECT), ("QUARANTINE", Action.QUARANTINE)]
)
def test_an_entry_of_the_access_map_does_not_wait(entry: str, action: Action) -> None:
    assert Case(refuse=Refuse.END, access=f"spf-fail:example.org {entry}").decide().action is action


def test_what_else_is_refused_is_refused_at_once() -> None:
    assert Case("joe@slow.test", refuse=Refuse.END).decide().code == 451
    assert Case("joe@soft.test", refuse=Refuse.END, reject_neutral=("soft.test",)).decide().code == 550


def test_a_permanent_error_goes_on_by_default() -> None:
    """The domain owner's mistake is no proof of a forgery."""
    assert Case("joe@broken.test", GOOD, lax_permerror=False).decide().action is Action.CONTINUE


def test_a_permanent_error_is_refused_where_that_is_asked_for() -> None:
    verdict = Case("joe@broken.test", GOOD, lax_permerror=False, reject_permerror=True).decide()
    assert (verdict.code, verdict.enhanced) == (550, "5.7.24")
    assert "Unknown mechanism found: moo" in verdict.text


def test_a_lax_reading_of_a_broken_record_is_judged_in_its_place() -> None:
    assert Case("joe@broken.test", GOOD).decide().action is Action.CONTINUE
    assert Case("joe@broken.test", BAD).decide().enhanced == "5.7.23"


@pytest.mark.parametrize("mail_from", ["joe@neutral.test", "joe@soft.test"])
def test_domains_that_must_pass_are_refused_unless_they_do(mail_from: str) -> None:
    domains = ("neutral.test", "soft.test")
    assert Case(mail_from, reject_neutral=domains).decide().action is Action.REJECT
    assert Case(mail_from, GOOD, reject_neutral=domains).decide().action is Action.CONTINUE


def test_softfail_can_be_accepted_in_spite_of_a_general_rule() -> None:
    verdict = Case("joe@soft.test", reject_neutral=("*.test", "soft.test"), accept_softfail=("soft.test",)).decide()
    assert verdict.action is Action.CONTINUE


def test_fail_can_be_accepted_of_clients_with_a_confirmed_helo_name() -> None:
    assert Case(accept_fail=("example.org",)).decide().action is Action.CONTINUE
    anonymous = Case(helo="nobody.test", name="", accept_fail=("example.org",))
    assert anonymous.decide().action is Action.REJECT


def test_a_helo_name_that_spf_denies_is_refused_whatever_mail_from_says() -> None:
    verdict = Case("joe@neutral.test", helo="example.org").decide()
    assert (verdict.code, verdict.enhanced) == (550, "5.7.23")
    assert "calls itself example.org" in verdict.text


def test_clients_without_any_credentials_can_be_refused() -> None:
    case = Case("joe@nothing.test", helo="nobody.test", name="", reject_noptr=True)
    assert case.decide().enhanced == "5.7.25"
    assert Case("joe@nothing.test", helo="nobody.test", name="mx.test", reject_noptr=True).decide().code == 0
    assert Case("joe@nothing.test", helo="mx.client.test", name="", reject_noptr=True).decide().code == 0


def test_the_name_of_a_dynamic_client_is_no_credential() -> None:
    dynamic = ConnectionFinding(dynamic=True)
    case = Case("joe@nothing.test", helo="ip-9.pool.test", name="ip-9.pool.test", known=(dynamic,), reject_noptr=True)
    assert case.decide().enhanced == "5.7.25"


def test_a_guess_counts_for_a_domain_without_a_record() -> None:
    finding = Case("joe@bare.test", GOOD, best_guess=True).collect()
    assert finding is not None
    assert finding.mailfrom is not None
    assert (finding.mailfrom.result, finding.mailfrom.guess) == (Result.NONE, Result.PASS)


def test_a_helo_name_below_the_senders_domain_vouches_for_it_when_guessing() -> None:
    finding = Case("joe@bare.test", BAD, helo="mx.bare.test", best_guess=True).collect()
    assert finding is not None
    assert finding.mailfrom is not None
    assert finding.mailfrom.effective is Result.PASS


def test_a_trusted_forwarder_may_use_any_sender_and_others_may_not() -> None:
    forwarded = Case(trusted_forwarder=("other.test", "forwarder.test"))
    assert forwarded.decide() == Verdict(Action.CONTINUE, reason="trusted forwarder forwarder.test")
    assert forwarded.header() == ""
    assert Case(trusted_forwarder=("other.test",)).decide().action is Action.REJECT


# What the access map decides


@pytest.mark.parametrize(
    ("entry", "action"),
    [
        ("spf-fail:joe@example.org OK", Action.CONTINUE),
        ("spf-fail:example.org WHITELIST", Action.ACCEPT),
        ("SPF-Fail: DISCARD", Action.DISCARD),
        ("spf-fail: QUARANTINE", Action.QUARANTINE),
        ("spf-fail: CBV", Action.CONTINUE),
        ("spf-fail: DSN", Action.CONTINUE),
        ("spf-fail: BAN", Action.REJECT),
        ("spf-fail:org TEMPFAIL", Action.TEMPFAIL),
        ("spf-pass:example.org OK", Action.REJECT),
        ("helo-pass:client.test WHITELIST", Action.ACCEPT),
        ("helo-pass: REJECT", Action.REJECT),
    ],
)
def test_an_entry_of_the_access_map_overrides_the_defaults(entry: str, action: Action) -> None:
    assert Case(access=entry).decide().action is action


def test_the_access_map_can_forgive_a_helo_name() -> None:
    assert Case("joe@neutral.test", helo="example.org", access="helo-fail: OK").decide().action is Action.CONTINUE


@pytest.mark.parametrize(
    ("mail_from", "options", "callback"),
    [
        ("joe@soft.test", {"doubtful": DoubtfulAction.CBV}, Callback("CBV", "spf-softfail")),
        ("joe@soft.test", {"doubtful": DoubtfulAction.DSN}, Callback("DSN", "spf-softfail")),
        ("joe@soft.test", {}, None),
        ("joe@soft.test", {"doubtful": DoubtfulAction.CBV, "accept_softfail": ("soft.test",)}, None),
        ("joe@soft.test", {"doubtful": DoubtfulAction.CBV, "access": "spf-softfail: OK"}, None),
        ("joe@soft.test", {"access": "spf-softfail:test DSN"}, Callback("DSN", "spf-softfail")),
        ("joe@neutral.test", {"doubtful": DoubtfulAction.CBV}, None),
        ("joe@neutral.test", {"access": "helo-pass: CBV"}, Callback("CBV", "helo-pass")),
        ("joe@neutral.test", {"access": "helo-pass: CBV\nspf-neutral: DSN"}, Callback("DSN", "spf-neutral")),
        (
            "joe@bare.test",
            {"doubtful": DoubtfulAction.CBV, "name": "", "helo": "nonsense"},
            Callback("CBV", "spf-none"),
        ),
        ("joe@bare.test", {"doubtful": DoubtfulAction.CBV}, None),
        (
            "joe@example.org",
            {"doubtful": DoubtfulAction.CBV, "accept_fail": ("example.org",)},
            Callback("CBV", "spf-fail"),
        ),
        ("joe@example.org", {"ip": GOOD, "doubtful": DoubtfulAction.CBV}, None),
    ],
)
def test_a_callback_is_asked_for_by_the_map_or_in_doubt(
    mail_from: str, options: dict[str, Any], callback: Callback | None
) -> None:
    verdict = Case(mail_from, **options).decide()
    assert (verdict.action, verdict.callback) == (Action.CONTINUE, callback)


def test_what_is_refused_is_not_called_back() -> None:
    refused = Case("joe@bare.test", name="", helo="nonsense", doubtful=DoubtfulAction.CBV, reject_noptr=True).decide()
    assert (refused.action, refused.callback) == (Action.REJECT, None)


def test_the_null_path_is_looked_up_as_postmaster_of_the_helo_name() -> None:
    case = Case("", access="spf-pass:postmaster@mx.client.test WHITELIST")
    assert case.decide().action is Action.ACCEPT


def test_an_entry_may_prescribe_the_reply() -> None:
    verdict = Case(access='spf-fail: REJECT "554 5.7.9 Not from there."').decide()
    assert (verdict.code, verdict.enhanced, verdict.text) == (554, "5.7.9", "Not from there.")


def test_refusing_a_temporary_error_delays_it_unless_the_entry_has_a_code() -> None:
    assert Case("joe@slow.test", access="spf-temperror: REJECT").decide().code == 451
    firm = Case("joe@slow.test", access="spf-temperror: REJECT 550 go away").decide()
    assert (firm.action, firm.code, firm.enhanced) == (Action.REJECT, 550, "5.7.24")
    assert Case("joe@slow.test", access="spf-temperror: OK").decide().action is Action.CONTINUE


def test_the_log_names_result_problem_and_entry() -> None:
    assert Case(access="spf-fail:org TEMPFAIL").decide().reason == (
        "SPF fail for example.org, access map spf-fail:org TEMPFAIL"
    )
    assert "time-out" in Case("joe@slow.test").decide().reason


# What people and headers are told


def test_a_refusal_tells_what_was_found_and_what_to_do() -> None:
    verdict = Case().decide()
    assert verdict.reply_lines() == (
        "The SPF record of example.org does not permit 198.51.100.9 to send mail with that sender address.",
        "example.org explains: 198.51.100.9 is a stranger to us",
        "If you sent the message, use the mail server of the provider of that address. "
        "Please ask the administrator of example.org to add 198.51.100.9 to its SPF record.",
    )


def test_the_explanation_is_not_fetched_if_nobody_wants_it() -> None:
    case = Case(explain=False)
    assert "stranger" not in case.decide().text
    assert ("why.example.org", "TXT") not in case.resolver.asked


@pytest.mark.parametrize("hostile", ["x\r\n250 OK", '"; identity=helo', "(", "\udcff\x00", "x" * 5000, "a@b@", "é"])
def test_hostile_identities_can_forge_neither_reply_nor_log_nor_header(hostile: str) -> None:
    for case in (Case(f"{hostile}@example.org"), Case("joe@soft.test", helo=f"{hostile}.example.org")):
        verdict = case.decide()
        assert all(line.isprintable() and line.isascii() for line in verdict.reply_lines())
        assert verdict.reason.isprintable()
        assert case.header().isprintable()


def test_received_spf_goes_on_top_with_both_identities() -> None:
    assert Case("joe@soft.test").header() == (
        "softfail (mx.example.com: 198.51.100.9 is probably not permitted by soft.test) client-ip=198.51.100.9; "
        'envelope-from="joe@soft.test"; helo=mx.client.test; receiver=mx.example.com; identity=mailfrom; '
        "mechanism=~all; x-helo-spf=pass"
    )


def test_received_spf_tells_a_guess_and_a_lax_reading_beside_the_result() -> None:
    assert Case("joe@bare.test", GOOD, best_guess=True).header().endswith("x-helo-spf=pass; x-bestguess=pass")
    header = Case("joe@broken.test", GOOD).header()
    assert header.startswith("permerror ")
    assert header.endswith("x-lax=pass")


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ((Header(b"From", b" Jo <jo@other.test>"),), [b" <joe@soft.test>"]),
        ((Header(b"From", b" Jo <jo@soft.test>"),), []),
        ((Header(b"From", b" jo@other.test"), Header(b"Sender", b" x@y.test")), [b" x@y.test"]),
        ((Header(b"From", b" jo@soft.test.evil.test"),), [b" <joe@soft.test>"]),
        ((Header(b"From", b' "x@soft.test" <jo@other.test>'),), [b" <joe@soft.test>"]),
        ((Header(b"From", b" jo@other.test, joe@SOFT.test"),), []),
        ((Header(b"From", b" nobody"),), [b" <joe@soft.test>"]),
    ],
)
def test_a_missing_sender_field_can_be_supplied(fields: tuple[Header, ...], expected: list[bytes]) -> None:
    case = Case("joe@soft.test", headers=fields, supply_sender=True)
    finding = case.collect()
    assert finding is not None
    draft = Draft(case.message)
    spf.act(finding, Verdict(Action.CONTINUE), draft, case.services)
    assert [header.value for header in draft.headers if header.key == b"sender"] == expected


def test_an_author_in_a_domain_above_the_senders_needs_no_sender_field() -> None:
    case = Case("joe@bounce.soft.test", headers=(Header(b"From", b" jo@soft.test"),), supply_sender=True)
    finding = case.collect()
    assert finding is not None
    draft = Draft(case.message)
    spf.act(finding, Verdict(Action.CONTINUE), draft, case.services)
    assert [header for header in draft.headers if header.key == b"sender"] == []


@pytest.mark.parametrize("local", ['"a b"', "a\r\nX-Forged: yes", "a>b", "", "a,b"])
def test_a_sender_that_cannot_be_written_is_not_supplied(local: str) -> None:
    case = Case(f"{local}@soft.test", headers=(Header(b"From", b" jo@other.test"),), supply_sender=True)
    finding = case.collect()
    assert finding is not None
    draft = Draft(case.message)
    spf.act(finding, Verdict(Action.CONTINUE), draft, case.services)
    assert [header for header in draft.headers if header.key == b"sender"] == []


def test_to_have_no_credentials_at_all_is_an_offence() -> None:
    case = Case("joe@nothing.test", helo="nobody.test", name="", reject_noptr=True)
    assert case.decide().demerits == 1


def test_upstreams_section_is_understood() -> None:
    text = """[spf]
delegate = domain.com
reject_neutral = aol.com
best_guess = 1
reject_noptr = 0
accept_softfail = bounces.amazon.com
accept_fail = custhelp.com
supply_sender = 0
trusted_forwarder = careerbuilder.com
"""
    settings = load_text(text, [spf.Settings])[spf.Settings]
    assert (settings.best_guess, settings.reject_neutral) == (True, ("aol.com",))
    with pytest.raises(SettingsError, match="trusted_forwarder"):
        load_text("[spf]\ntrusted_forwarders = a.test\n", [spf.Settings])
    with pytest.raises(SettingsError, match="at most"):
        load_text(f"[spf]\ntrusted_forwarder = {'a.test,' * 50}\n", [spf.Settings])
    with pytest.raises(SettingsError, match="is not a domain"):
        load_text("[spf]\ntrusted_forwarder = a.test, 192.0.2.0/24\n", [spf.Settings])
