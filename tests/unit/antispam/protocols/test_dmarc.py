"""DMARC as RFC 9989 has it: records, the walk up the DNS tree, alignment, and which policy holds."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from antispam.deadline import Deadline
from antispam.protocols.dmarc import (
    Disposition,
    DmarcResult,
    Evaluation,
    Identifier,
    Record,
    Suffix,
    evaluate,
    names_of_walk,
    parse_record,
    walk,
)
from support.dns import TIMEOUT, ScriptedResolver

NONE, QUARANTINE, REJECT = Disposition


def zones(**records: str) -> dict[str, Any]:
    """DMARC records by domain, with `_` for the dots."""
    return {"_dmarc." + name.replace("_", "."): {"TXT": [text]} for name, text in records.items()}


def judge(domain: str, records: dict[str, Any], *identifiers: Identifier, **options: Any) -> Evaluation:
    return evaluate(domain, identifiers, ScriptedResolver(records), Deadline.after(60), **options)


def organizational(domain: str, records: dict[str, Any]) -> str:
    return walk(domain, ScriptedResolver(records), Deadline.after(60)).organizational


def spf(domain: str, passed: bool = True) -> Identifier:
    return Identifier("spf", domain, passed)


def dkim(domain: str, passed: bool = True) -> Identifier:
    return Identifier("dkim", domain, passed)


# Records, sections 4.7 and 4.8


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (b"v=DMARC1", Record()),
        (b"v=DMARC1; p=reject", Record(policy=REJECT)),
        (b"v=DMARC1;p=reject;", Record(policy=REJECT)),
        (b"V\t= DMARC1 ;\t p = Quarantine ; ", Record(policy=QUARANTINE)),
        (b"v=DMARC1; p=none; sp=quarantine; np=reject", Record(subdomains=QUARANTINE, missing=REJECT)),
        (b"v=DMARC1; p=reject; adkim=s; aspf=s", Record(policy=REJECT, strict_dkim=True, strict_spf=True)),
        (b"v=DMARC1; p=reject; adkim=r; aspf=nonsense", Record(policy=REJECT)),
        (b"v=DMARC1; p=reject; psd=y", Record(policy=REJECT, suffix=Suffix.YES)),
        (b"v=DMARC1; p=reject; psd=n; t=y", Record(policy=REJECT, suffix=Suffix.NO, testing=True)),
        (b"v=DMARC1; p=reject; pct=0; rf=afrf; ri=3600; unknown=x", Record(policy=REJECT)),
        (b"v=DMARC1; p=reject; p=none", Record(policy=REJECT)),
        (b"v=DMARC1; p=reject; broken; =; sp; \x00=\xff; t=\xff", Record(policy=REJECT)),
        (b"v=DMARC1; rua=mailto:a@example.org", Record(rua=("a@example.org",))),
        # Policies that can't be understood ask for nothing where there is an address for reports (section 4.10.1).
        (b"v=DMARC1; p=rejct; rua=mailto:a@example.org", Record(rua=("a@example.org",))),
        (b"v=DMARC1; p=reject; sp=x; rua=nonsense,mailto:a@example.org!10m", Record(rua=("a@example.org",))),
    ],
)
def test_a_record_says_what_its_tags_say(text: bytes, expected: Record) -> None:
    assert parse_record(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"v=spf1 -all",
        b"v=DMARC2; p=reject",
        b"v=dmarc1; p=reject",
        b"v=DMARC11",
        b"p=reject; v=DMARC1",
        b" v=DMARC1",
    ],
)
def test_what_does_not_begin_with_the_version_is_no_record(text: bytes) -> None:
    assert parse_record(text) is None


@pytest.mark.parametrize("tag", ["p", "sp", "np"])
def test_a_policy_that_cannot_be_understood_is_a_problem_where_nobody_wants_reports(tag: str) -> None:
    record = parse_record(f"v=DMARC1; {tag}=rejct".encode())
    assert record is not None
    assert record.problem == f"the tag {tag} has none of the values none, quarantine and reject"


@given(st.binary(max_size=300) | st.lists(st.sampled_from(
    [b"v", b"=", b"DMARC1", b";", b" ", b"\t", b"p", b"sp", b"np", b"none", b"reject", b"quarantine", b"t", b"y", b"psd",
     b"\x00", b"\xff", b"rua", b"mailto:", b","]
), max_size=40).map(b"".join))  # fmt: skip
def test_no_text_is_too_odd_and_what_follows_the_version_never_makes_it_another_record(text: bytes) -> None:
    record = parse_record(text)
    behind = parse_record(b"v=DMARC1;" + text)
    assert behind is not None
    assert record is None or text.lower().startswith(b"v")
    assert not behind.problem or behind.policy is NONE
    assert behind.problem.isprintable()


@given(st.sampled_from(Disposition), st.none() | st.sampled_from(Disposition), st.none() | st.sampled_from(Disposition),
       st.booleans(), st.booleans(), st.sampled_from(Suffix), st.booleans(), st.sampled_from(["", " ", "\t "]))  # fmt: skip
def test_a_record_that_is_written_out_is_read_back(
    p: Disposition, sp: Any, np: Any, adkim: bool, aspf: bool, psd: Suffix, testing: bool, blank: str
) -> None:
    tags = {"v": "DMARC1", "p": p, "adkim": "s" if adkim else "r", "aspf": "s" if aspf else "r", "psd": psd}
    tags |= ({"sp": sp} if sp else {}) | ({"np": np} if np else {}) | ({"t": "y"} if testing else {})
    text = f"{blank};{blank}".join(f"{name}{blank}={blank}{value}" for name, value in tags.items())
    assert parse_record(text.encode()) == Record(
        policy=p, subdomains=sp, missing=np, strict_dkim=adkim, strict_spf=aspf, suffix=psd, testing=testing
    )


# The walk, section 4.10


def test_the_walk_of_the_rfc_takes_eight_queries() -> None:
    resolver = ScriptedResolver()
    walk("a.b.c.d.e.f.g.h.i.j.mail.example.com", resolver, Deadline.after(60))
    assert [name for name, _ in resolver.asked] == [
        "_dmarc.a.b.c.d.e.f.g.h.i.j.mail.example.com",
        "_dmarc.g.h.i.j.mail.example.com",
        "_dmarc.h.i.j.mail.example.com",
        "_dmarc.i.j.mail.example.com",
        "_dmarc.j.mail.example.com",
        "_dmarc.mail.example.com",
        "_dmarc.example.com",
        "_dmarc.com",
    ]


@pytest.mark.parametrize(("labels", "queries"), [(1, 1), (2, 2), (7, 7), (8, 8), (9, 8), (100, 8)])
def test_a_walk_takes_one_query_a_label_and_eight_at_most(labels: int, queries: int) -> None:
    assert len(list(names_of_walk(".".join(["x"] * labels)))) == queries


@pytest.mark.parametrize(
    ("records", "expected"),
    [
        # The three examples of section 4.10.2.
        (zones(mail_example_com="v=DMARC1", example_com="v=DMARC1"), "example.com"),
        (zones(mail_example_com="v=DMARC1; psd=n", example_com="v=DMARC1"), "mail.example.com"),
        (zones(com="v=DMARC1; psd=y"), "example.com"),
        # Neither a psd=u at the top nor one in between ends the walk.
        (zones(example_com="v=DMARC1; psd=u", com="v=DMARC1"), "com"),
        (zones(example_com="v=DMARC1; psd=y"), "mail.example.com"),
        (zones(a_mail_example_com="v=DMARC1", mail_example_com="v=DMARC1; psd=y"), "a.mail.example.com"),
        # The record where the walk starts is not that of a suffix above it.
        (zones(a_mail_example_com="v=DMARC1; psd=y", example_com="v=DMARC1"), "a.mail.example.com"),
        ({}, "a.mail.example.com"),
    ],
)
def test_the_organizational_domain(records: dict[str, Any], expected: str) -> None:
    assert organizational("a.mail.example.com", records) == expected


def test_of_two_records_at_a_name_none_is_used() -> None:
    records = {"_dmarc.a.example.com": {"TXT": ["v=DMARC1; p=reject", "v=DMARC1; p=none"]}}
    assert judge("a.example.com", records).result is DmarcResult.NONE
    assert judge("a.example.com", records | zones(example_com="v=DMARC1; p=quarantine")).asked is QUARANTINE


def test_other_texts_beside_the_record_do_not_matter() -> None:
    records = {"_dmarc.example.com": {"TXT": ["google-site-verification=x", "v=DMARC1; p=reject", "v=DMARC2; p=none"]}}
    assert judge("example.com", records).asked is REJECT


class AskingAhead(ScriptedResolver):
    """Notes what is asked for before its answer is wanted."""

    def __init__(self) -> None:
        super().__init__()
        self.ahead: list[str] = []

    def ask_ahead(self, name: str, rdtype: str, deadline: Deadline, then: Any) -> None:
        assert not self.asked, "the walk has begun already"
        self.ahead.append(name)


def test_what_the_walk_needs_further_up_is_asked_for_at_once() -> None:
    resolver = AskingAhead()
    walk("mail.example.com", resolver, Deadline.after(60))
    assert resolver.ahead == ["_dmarc.example.com", "_dmarc.com"]


# Alignment, section 4.10.2


BANK = zones(bank_example="v=DMARC1; p=reject")


@pytest.mark.parametrize(
    ("author", "proved", "aligned"),
    [
        ("bank.example", "bank.example", True),
        ("bank.example", "mail.bank.example", True),
        ("news.bank.example", "bank.example", True),
        ("a.bank.example", "b.bank.example", True),
        ("bank.example", "otherbank.example", False),
        ("bank.example", "bank.example.evil.example", False),
        ("bank.example", "example", False),
    ],
)
@pytest.mark.parametrize("method", ["spf", "dkim"])
def test_relaxed_alignment_wants_the_same_organizational_domain(
    method: str, author: str, proved: str, aligned: bool
) -> None:
    found = judge(author, BANK, Identifier(method, proved))
    assert found.result is (DmarcResult.PASS if aligned else DmarcResult.FAIL)
    assert found.aligned == (f"{method} {proved}" if aligned else "")


def test_a_domain_below_that_is_an_organization_of_its_own_is_not_aligned() -> None:
    records = BANK | zones(tenant_bank_example="v=DMARC1; p=none; psd=n")
    assert judge("bank.example", records, dkim("tenant.bank.example")).result is DmarcResult.FAIL


def test_two_customers_below_a_public_suffix_are_strangers() -> None:
    records = zones(co_example="v=DMARC1; p=reject; psd=y")
    assert judge("a.co.example", records, dkim("b.co.example")).result is DmarcResult.FAIL
    assert judge("a.co.example", records, dkim("x.a.co.example")).result is DmarcResult.PASS


@pytest.mark.parametrize(
    ("record", "identifier", "result"),
    [
        ("adkim=s", dkim("mail.bank.example"), DmarcResult.FAIL),
        ("adkim=s", dkim("bank.example"), DmarcResult.PASS),
        ("adkim=s", spf("mail.bank.example"), DmarcResult.PASS),
        ("aspf=s", spf("mail.bank.example"), DmarcResult.FAIL),
        ("aspf=s", spf("bank.example"), DmarcResult.PASS),
        ("aspf=s", dkim("mail.bank.example"), DmarcResult.PASS),
    ],
)
def test_strict_alignment_wants_the_same_domain_of_the_method_that_it_names(
    record: str, identifier: Identifier, result: DmarcResult
) -> None:
    assert judge("bank.example", zones(bank_example=f"v=DMARC1; p=reject; {record}"), identifier).result is result


def test_one_aligned_identifier_of_many_is_enough() -> None:
    found = judge("bank.example", BANK, spf("list.example"), dkim("list.example"), dkim("bank.example"))
    assert (found.result, found.aligned) == (DmarcResult.PASS, "dkim bank.example")


def test_signatures_of_strangers_cost_no_query() -> None:
    resolver = ScriptedResolver(BANK)
    evaluate("bank.example", [dkim(f"d{n}.evil.example") for n in range(50)], resolver, Deadline.after(60))
    assert len(resolver.asked) == 2


# Which policy holds, sections 4.7 and 4.10.1


EXISTS = {"news.bank.example": {"A": ["192.0.2.1"]}}


@pytest.mark.parametrize(
    ("author", "tags", "expected"),
    [
        ("bank.example", "p=reject; sp=none; np=none", ("p", REJECT)),
        ("news.bank.example", "p=reject", ("p", REJECT)),
        ("news.bank.example", "p=reject; sp=none", ("sp", NONE)),
        ("news.bank.example", "p=none; sp=quarantine; np=reject", ("sp", QUARANTINE)),
        ("news.bank.example", "p=quarantine; np=reject", ("p", QUARANTINE)),
        ("no.bank.example", "p=none; sp=none; np=reject", ("np", REJECT)),
        ("no.bank.example", "p=none; sp=quarantine", ("sp", QUARANTINE)),
        ("no.bank.example", "p=reject", ("p", REJECT)),
    ],
)
def test_which_tag_holds_for_the_author_domain(author: str, tags: str, expected: tuple[str, Disposition]) -> None:
    found = judge(author, zones(bank_example=f"v=DMARC1; {tags}") | EXISTS)
    assert (found.tag, found.asked) == expected
    assert found.publisher == "bank.example"


@pytest.mark.parametrize("kind", [{"A": ["192.0.2.1"]}, {"AAAA": ["2001:db8::1"]}, {"MX": [(10, "mx.example")]}])
def test_an_address_or_a_mail_exchanger_makes_a_domain_exist(kind: dict[str, Any]) -> None:
    records = zones(bank_example="v=DMARC1; p=none; np=reject") | {"x.bank.example": kind}
    assert judge("x.bank.example", records).tag == "p"


def test_a_name_with_other_records_only_does_not_exist() -> None:
    records = zones(bank_example="v=DMARC1; p=none; np=reject") | {"x.bank.example": {"TXT": ["hello"]}}
    assert judge("x.bank.example", records).tag == "np"


def test_a_record_between_author_and_organization_has_no_say() -> None:
    records = zones(mail_bank_example="v=DMARC1; p=none", bank_example="v=DMARC1; p=reject")
    found = judge("a.mail.bank.example", records)
    assert (found.publisher, found.asked) == ("bank.example", REJECT)


def test_a_public_suffix_speaks_for_organizations_that_publish_nothing() -> None:
    records = zones(bank="v=DMARC1; p=reject; np=reject; psd=y")
    found = judge("some.bank", records)
    assert (found.publisher, found.organizational, found.asked) == ("bank", "some.bank", REJECT)
    assert judge("some.bank", records | zones(some_bank="v=DMARC1; p=none")).asked is NONE


@pytest.mark.parametrize(
    ("tags", "expected"),
    [("p=reject; t=y", QUARANTINE), ("p=quarantine; t=y", NONE), ("p=none; t=y", NONE), ("p=reject; t=n", REJECT)],
)
def test_the_test_mode_takes_one_step_down(tags: str, expected: Disposition) -> None:
    assert judge("bank.example", zones(bank_example=f"v=DMARC1; {tags}")).asked is expected


def test_pct_is_ignored() -> None:
    assert judge("bank.example", zones(bank_example="v=DMARC1; p=reject; pct=0")).asked is REJECT


def test_without_a_policy_there_is_nothing_to_fail() -> None:
    assert judge("bank.example", {}, dkim("evil.example")) == Evaluation(domain="bank.example")


def test_a_domain_without_a_policy_can_be_held_to_one_of_ours() -> None:
    assert judge("bank.example", {}, unpublished=True).result is DmarcResult.FAIL
    assert judge("bank.example", {}, dkim("bank.example"), unpublished=True).result is DmarcResult.NONE


def test_a_policy_that_cannot_be_used_is_a_permerror() -> None:
    found = judge("bank.example", zones(bank_example="v=DMARC1; p=nonsense"), spf("evil.example"))
    assert (found.result, found.asked) == (DmarcResult.PERMERROR, NONE)


# What can't be found out now


@pytest.mark.parametrize("name", ["_dmarc.a.bank.example", "_dmarc.bank.example", "_dmarc.example"])
def test_a_name_of_the_walk_that_does_not_answer_is_a_temperror(name: str) -> None:
    assert judge("a.bank.example", BANK | {name: TIMEOUT}).result is DmarcResult.TEMPERROR


def test_an_aligned_identifier_that_may_pass_later_is_a_temperror() -> None:
    found = judge("bank.example", BANK, dkim("bank.example", False))
    assert (found.result, found.asked) == (DmarcResult.TEMPERROR, NONE)
    assert found.problem == "dkim of bank.example could not be looked up"


def test_a_strangers_broken_name_servers_do_not_save_a_forgery() -> None:
    assert judge("bank.example", BANK, dkim("evil.example", False)).result is DmarcResult.FAIL


def test_a_pass_does_not_wait_for_what_cannot_be_looked_up() -> None:
    records = BANK | {"_dmarc.x.bank.example": TIMEOUT}
    assert judge("bank.example", records, dkim("x.bank.example")).result is DmarcResult.TEMPERROR
    assert judge("bank.example", records, dkim("x.bank.example"), spf("bank.example")).result is DmarcResult.PASS


def test_whether_a_domain_exists_may_be_unknown() -> None:
    records = zones(bank_example="v=DMARC1; p=none; np=reject") | {"x.bank.example": TIMEOUT}
    assert judge("x.bank.example", records).result is DmarcResult.TEMPERROR
