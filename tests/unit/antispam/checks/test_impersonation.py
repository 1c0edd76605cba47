"""Who pretends to be one of us, what the score and the reader are told, and what honest mail gets."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from antispam.checks import impersonation, sender_domain
from antispam.checks.impersonation import Kind
from antispam.mail.draft import Draft
from antispam.mail.evidence import AuthFinding, AuthorFinding, DkimFinding, SenderListFinding
from antispam.mail.findings import Findings
from antispam.mail.message import Message
from antispam.mail.verdicts import Action, Verdict
from antispam.protocols.dkim import DkimResult, SignatureResult
from antispam.settings import SettingsError, load_text
from antispam.settings.program import ProgramSettings
from antispam.store import Store, StoreError, own_names
from support import checking

NOW = checking.NOW


def signed(domain: str) -> DkimFinding:
    return DkimFinding(signatures=(SignatureResult(result=DkimResult.PASS, domain=domain),))


@pytest.fixture(autouse=True)
def _ann(store: Store) -> None:
    own_names.learn(store, "ann smith", "ann@example.com", NOW)


def judged(it: Message, config: str = "", store: Store | None = None) -> tuple[Any, Verdict | None]:
    return checking.judge(impersonation, it, f"[impersonation]\n{config}", store=store)


def hits(finding: Any, *evidence: Any) -> list[str]:
    return [one.test for one in impersonation.points(finding, Findings(None, evidence), impersonation.Settings())]


def test_our_own_address_from_outside_without_proof() -> None:
    finding, verdict = judged(checking.message("From: Bob <bob@example.com>"))
    assert (finding.kind, finding.meant, hits(finding)) == (Kind.ADDRESS, "example.com", ["OUR_ADDRESS_UNPROVED"])
    assert verdict is not None
    assert verdict.action is Action.CONTINUE


def test_our_own_address_with_proof_is_ours() -> None:
    assert judged(checking.message("From: bob@example.com", found=[signed("example.com")])) == (None, None)


def test_an_address_of_ours_is_not_counted_twice() -> None:
    finding, _ = judged(checking.message("From: bob@example.com"))
    assert hits(finding, AuthorFinding(foreign=("bob@example.com",))) == []


@pytest.mark.parametrize(
    ("author", "kind", "test"),
    [
        ("bob@examp1e.com", Kind.DOMAIN, "DOMAIN_LOOKALIKE"),
        ("bob@exаmple.com", Kind.DOMAIN, "DOMAIN_LOOKALIKE"),
        ("bob@exampel.com", Kind.NEAR_DOMAIN, "DOMAIN_ONE_LETTER"),
    ],
)
def test_a_domain_like_that_of_the_recipients(author: str, kind: Kind, test: str) -> None:
    domain = author.partition("@")[2].encode("idna").decode()
    finding, _ = judged(checking.message(f"From: Bob <{author}>", found=[signed(domain)]))
    assert (finding.kind, finding.meant, hits(finding)) == (kind, "example.com", [test])


def test_a_domain_like_one_of_the_configuration() -> None:
    finding, _ = judged(checking.message("From: x@our-0ther.example"), "domains = our-other.example")
    assert (finding.kind, finding.meant) == (Kind.DOMAIN, "our-other.example")


@pytest.mark.parametrize("author", ["x@sales2.example.com", "x@sa1es1.example.com"])
def test_two_departments_of_one_organization_do_not_imitate_one_another(author: str) -> None:
    assert judged(checking.message(f"From: {author}", to=["bob@sales1.example.com"])) == (None, None)
    assert judged(checking.message("From: x@sales2.co.uk", to=["bob@sales1.co.uk"]))[0].kind is Kind.NEAR_DOMAIN


def test_domains_that_are_known_to_be_internal_are_ours_too() -> None:
    settings = load_text(
        "[milter]\ninternal_domains = our-other.example\n",
        [ProgramSettings, sender_domain.Settings, impersonation.Settings],
    )
    given = dataclasses.replace(checking.services(impersonation), settings=settings)
    finding = impersonation.collect(None, checking.message("From: x@our-0ther.example"), None, given)  # type: ignore[arg-type]
    assert finding is not None
    assert (finding.kind, finding.meant) == (Kind.DOMAIN, "our-other.example")


def test_protected_names_stand_on_lines_or_between_commas() -> None:
    settings = load_text(
        "[impersonation]\nprotected_names = Jane Boss, Ann Smith\n  Joe Miller\n", [impersonation.Settings]
    )
    assert settings[impersonation.Settings].protected_names == ("Jane Boss", "Ann Smith", "Joe Miller")
    with pytest.raises(SettingsError, match="at least two words"):
        load_text("[impersonation]\nprotected_names = Jane\n", [impersonation.Settings])


@pytest.mark.parametrize("name", ["Ann Smith", '"Smith, Ann"', "=?utf-8?q?Ann_Sm=D1=96th?=", "ANN SMITH (Director)"])
def test_the_name_of_one_of_our_users_with_a_foreign_address(name: str, store: Store) -> None:
    finding, _ = judged(
        checking.message(f"From: {name} <x1@free.example>", found=[signed("free.example")]), store=store
    )
    assert (finding.kind, finding.of, hits(finding)) == (Kind.NAME, "ann@example.com", ["OUR_NAME_OUTSIDE"])


@pytest.mark.parametrize("name", ["Ann", "Ann Jones", "Smith", ""])
def test_part_of_a_name_is_nobodys(name: str, store: Store) -> None:
    assert judged(checking.message(f"From: {name} <x1@free.example>"), store=store) == (None, None)


def test_somebody_whom_our_users_write_to_may_have_that_name(store: Store) -> None:
    known = SenderListFinding(sender="x1@free.example", whitelisted="bob wrote to it")
    it = checking.message(
        "From: Ann Smith <x1@free.example>", mail_from="x1@free.example", found=[known, signed("free.example")]
    )
    assert judged(it, store=store) == (None, None)


@pytest.mark.parametrize(
    ("fields", "sealed"),
    [
        (["From: Ann Smith via Hikers <hikers@lists.example>"], "lists.example"),
        (["From: Ann Smith <hikers@lists.example>", "List-Id: <hikers.lists.example>"], "lists.example"),
        (["From: Ann Smith <ann@example.com>", "List-Id: <hikers.lists.example>"], "lists.example"),
    ],
)
def test_honest_list_mail_gets_next_to_nothing_and_no_mark(fields: list[str], sealed: str, store: Store) -> None:
    it = checking.message(*fields, found=[signed(sealed)])
    finding, verdict = judged(it, store=store)
    assert hits(finding) == ["OUR_NAME_VIA_LIST"]
    assert verdict is not None
    draft = Draft(it)
    impersonation.act(finding, verdict, draft, checking.services(impersonation))
    assert draft.edits() == []


def test_a_list_that_nothing_proves_is_none(store: Store) -> None:
    finding, _ = judged(checking.message("From: Ann Smith via Hikers <hikers@lists.example>"), store=store)
    assert hits(finding) == ["OUR_NAME_OUTSIDE"]


@pytest.mark.parametrize(
    ("answer", "action"),
    [
        ("ignore", Action.CONTINUE),
        ("reject", Action.REJECT),
        ("quarantine", Action.QUARANTINE),
        ("tempfail", Action.TEMPFAIL),
    ],
)
def test_what_becomes_of_a_protected_name_is_a_setting(answer: str, action: Action) -> None:
    it = checking.message("From: Jane Boss via Friends <x1@free.example>", found=[signed("free.example")])
    finding, verdict = judged(it, f"protected_names = Jane Boss\nprotected = {answer}")
    assert verdict is not None
    assert (finding.kind, hits(finding), verdict.action) == (Kind.PROTECTED, ["PROTECTED_NAME"], action)
    if action is Action.REJECT:
        assert "Jane Boss via Friends is one of us" in verdict.text


def test_where_our_users_write_from_elsewhere_is_known_if_it_is_proved(store: Store) -> None:
    config = "protected_names = Jane Boss\nown_addresses = jane@free.example"
    it = checking.message("From: Jane Boss <jane@free.example>", found=[signed("free.example")])
    assert judged(it, config) == (None, None)
    forged = checking.message("From: Jane Boss <jane@free.example>")
    assert judged(forged, config)[0].kind is Kind.PROTECTED


@pytest.mark.parametrize("fields", [["From: a@example.com, b@examp1e.com"], ["From: nobody"], ["Subject: x"]])
def test_without_exactly_one_author_nothing_is_said(fields: list[str]) -> None:
    assert judged(checking.message(*fields)) == (None, None)


def test_the_reader_is_told() -> None:
    it = checking.message("From: Bob <bob@examp1e.com>", "Subject: Pay")
    finding, verdict = judged(it)
    assert verdict is not None
    draft = Draft(it)
    impersonation.act(finding, verdict, draft, checking.services(impersonation, "[impersonation]\nsubject = [OUTSIDE]"))
    assert [header.value for header in draft.headers if header.key == b"x-bms-impersonation"] == [
        b" domain; the domain of bob@examp1e.com looks like example.com"
    ]
    assert [header.value.strip() for header in draft.headers if header.key == b"subject"] == [b"[OUTSIDE] Pay"]


def test_the_mark_is_plain_text_on_one_line(store: Store) -> None:
    it = checking.message("From: =?utf-8?q?Ann_Smith=0D=0AX-Evil:_=E2=80=A8yes?= <x@free.example>")
    finding, _ = judged(it, "protected_names = Ann Smith X-Evil yes")
    assert finding is not None
    draft = Draft(it)
    impersonation.act(finding, Verdict(Action.CONTINUE), draft, checking.services(impersonation))
    (value,) = (header.value for header in draft.headers if header.key == b"x-bms-impersonation")
    assert value.decode("ascii").isprintable()


# Learning


@pytest.mark.parametrize(
    ("fields", "mail_from", "login", "config", "learned"),
    [
        ("From: Ann Smith <ann@example.com>", "ann@example.com", "ann", "", "ann smith"),
        ("From: Ann Smith <ann@example.com>", "ann@example.com", "", "", ""),
        ("From: Ann Smith <ann@example.com>", "list-bounces@example.com", "ann", "", ""),
        ("From: Ann <ann@example.com>", "ann@example.com", "ann", "", ""),
        ("From: Ann Smith <ann@example.com>", "ann@example.com", "ann", "learn_names = no", ""),
    ],
)
def test_names_are_learned_from_what_our_users_send(
    fields: str, mail_from: str, login: str, config: str, learned: str, store: Store
) -> None:
    it = checking.message(fields, mail_from=mail_from, login=login, found=[AuthFinding(login=login)])
    finding, _ = judged(it, config, store)
    assert ("" if finding is None else finding.learned) == learned


def test_a_name_is_remembered_until_its_user_has_not_written_for_long(store: Store) -> None:
    it = checking.message("From: Joe Miller <joe@example.com>", mail_from="joe@example.com", login="joe")
    finding, _ = judged(it, store=store)
    given = checking.services(impersonation, store=store)
    impersonation.afterwards(finding, it, given)
    assert own_names.of_us(store, "joe miller") == "joe@example.com"
    assert not impersonation.tidy(given)
    later = checking.services(impersonation, store=store, clock=lambda: NOW + 400 * 86400)
    assert impersonation.tidy(later)
    assert own_names.of_us(store, "joe miller") == ""


def test_a_store_that_is_down_is_an_error_that_accepts() -> None:
    class Down:
        def read(self, deadline: Any = None) -> Any:
            raise StoreError("down")

    it = checking.message("From: Ann Smith <x@free.example>")
    given = checking.services(impersonation, store=Down())
    finding = impersonation.collect(None, it, None, given)  # type: ignore[arg-type]
    assert finding is not None
    assert finding.error == "impersonation: down"
    assert given.settings[impersonation.Settings].on_error == "accept"
