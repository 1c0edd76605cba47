"""check_host beyond the RFC's own suite: hostile input, limits, options, and the header field that reports it."""

from __future__ import annotations

import re
import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from antispam.deadline import Deadline
from antispam.net.resolver import Answer, RdType
from antispam.protocols.spf import (
    BEST_GUESS,
    BEST_GUESS_DYNAMIC,
    MAX_QUESTIONS,
    Result,
    SpfOptions,
    SpfResult,
    check_host,
    received_spf,
)
from support.dns import TIMEOUT, ScriptedResolver

ALLOWED = "192.0.2.1"
STRANGER = "198.51.100.9"


def check(
    zones: dict[str, Any],
    ip: str = STRANGER,
    mailfrom: str = "a@example.org",
    helo: str = "mx.example.net",
    identity: Any = "mailfrom",
    **options: Any,
) -> SpfResult:
    return check_host(ip, identity, mailfrom, helo, ScriptedResolver(zones), Deadline.after(60), SpfOptions(**options))


def publishing(*records: str | bytes) -> dict[str, Any]:
    return {"example.org": {"TXT": list(records)}}


# Identities


def test_the_domain_follows_the_last_at_sign() -> None:
    """A quoted local part may hold another one, which must not choose the domain that is checked."""
    zones = {"evil.test": {"TXT": ["v=spf1 +all"]}, "example.org": {"TXT": ["v=spf1 -all"]}}
    outcome = check(zones, mailfrom='"x@evil.test"@example.org')
    assert (outcome.result, outcome.domain) == (Result.FAIL, "example.org")


def test_the_null_reverse_path_stands_for_postmaster_at_the_helo_name() -> None:
    zones = {"mx.example.net": {"TXT": ["v=spf1 exists:%{l}.%{o} -all"]}, "postmaster.mx.example.net": {"A": [ALLOWED]}}
    outcome = check(zones, mailfrom="")
    assert (outcome.result, outcome.identity, outcome.domain) == (Result.PASS, "mailfrom", "mx.example.net")


def test_the_helo_identity_ignores_the_reverse_path() -> None:
    zones = {"mx.example.net": {"TXT": [f"v=spf1 ip4:{ALLOWED} -all"]}, "example.org": {"TXT": ["v=spf1 -all"]}}
    outcome = check(zones, ALLOWED, identity="helo")
    assert (outcome.result, outcome.identity, outcome.domain) == (Result.PASS, "helo", "mx.example.net")


@pytest.mark.parametrize(
    "helo", ["localhost", "[192.0.2.1]", "192.0.2.1", "", "a..b", "x" * 64 + ".org", "\x00.org", "a@b.org"]
)
def test_what_is_no_domain_is_none_without_a_question(helo: str) -> None:
    resolver = ScriptedResolver()
    outcome = check_host(ALLOWED, "helo", "", helo, resolver, Deadline.after(60))
    assert outcome.result is Result.NONE
    assert resolver.asked == []


@pytest.mark.parametrize("ip", ["", "local", "list", "list6", "999.1.2.3"])
def test_without_a_client_address_there_is_no_result(ip: str) -> None:
    assert check(publishing("v=spf1 +all"), ip).result is Result.NONE


@pytest.mark.parametrize("ip", ["::ffff:192.0.2.1", "192.0.2.1"])
def test_a_mapped_ipv4_address_is_an_ipv4_address(ip: str) -> None:
    assert check(publishing("v=spf1 ip4:192.0.2.1 -all"), ip).result is Result.PASS


def test_a_scope_does_not_hide_an_ipv6_address() -> None:
    assert check(publishing("v=spf1 ip6:fe80::/10 -all"), "fe80::1%eth0").result is Result.PASS


def test_an_internationalised_domain_is_checked_as_a_labels() -> None:
    zones = {"xn--bcher-kva.example": {"TXT": ["v=spf1 -all"]}}
    outcome = check(zones, mailfrom="a@bücher.example")
    assert (outcome.result, outcome.domain) == (Result.FAIL, "xn--bcher-kva.example")


def test_an_internationalised_local_part_never_matches_a_macro() -> None:
    zones = publishing("v=spf1 exists:%{l}.example.org -all") | {"xn--jos-dma.example.org": {"A": [ALLOWED]}}
    assert check(zones, mailfrom="josé@example.org").result is Result.FAIL


# Errors that pass, and errors that don't


@pytest.mark.parametrize("record", [None, "v=spf1 include:slow.test -all", "v=spf1 a:slow.test mx:slow.test -all"])
def test_a_time_out_is_temperror_never_none_and_never_fail(record: str | None) -> None:
    zones = {"slow.test": TIMEOUT, "example.org": {"TXT": [record]} if record else TIMEOUT}
    assert check(zones).result is Result.TEMPERROR


def test_an_exceeded_deadline_is_temperror() -> None:
    resolver = ScriptedResolver(publishing("v=spf1 -all"))
    outcome = check_host(STRANGER, "mailfrom", "a@example.org", "h", resolver, Deadline.after(0))
    assert outcome.result is Result.TEMPERROR


def test_a_time_out_on_the_way_to_the_clients_name_only_means_that_ptr_does_not_match() -> None:
    """RFC 7208 section 5.5."""
    zones = publishing("v=spf1 ptr -all") | {"9.100.51.198.in-addr.arpa": TIMEOUT}
    assert check(zones).result is Result.FAIL


@pytest.mark.parametrize(
    "record",
    [b"v=spf1 \x00 +all", b"v=spf1 +all\n", b"v=spf1 \x1b[2J +all", b"v=spf1 \xe9 +all", b"v=spf1 \t+all", b"v=spf1\n"],
)
def test_control_and_foreign_octets_in_a_record_are_permerror(record: bytes) -> None:
    outcome = check(publishing(record))
    assert outcome.result is Result.PERMERROR
    assert outcome.problem.isprintable()


@pytest.mark.parametrize("macro", ["%{d0}", "%{x}", "%{d", "%", "%(d)", "%{d2x}", "%{drr}", "%{d" + "9" * 300 + "!}"])
def test_malformed_macros_are_permerror(macro: str) -> None:
    assert check(publishing(f"v=spf1 exists:{macro}.example.org -all")).result is Result.PERMERROR


def test_the_problem_names_the_term() -> None:
    assert check(publishing("v=spf1 ipv4:1.2.3.4 -all")).problem == "Unknown mechanism found: ipv4:1.2.3.4"


# Limits


@pytest.mark.parametrize(
    ("record", "nothing"),
    [
        ("v=spf1 -all", True),
        ("v=spf1 -ALL exp=why.test", True),
        ("v=spf1 -ip4:192.0.2.0/24 -all", True),
        ("v=spf1 ip4:203.0.113.1 -all", False),
        ("v=spf1 ?ip4:203.0.113.1 -all", False),
        ("v=spf1 include:none.test -all", False),
        ("v=spf1 redirect=none.test", False),
    ],
)
def test_of_a_fail_it_is_told_whether_the_domain_sends_anything_at_all(record: str, nothing: bool) -> None:
    """RFC 7208 section 10.1.2 has such a record for domains that send no mail."""
    outcome = check({**publishing(record), "none.test": {"TXT": ["v=spf1 -all"]}})
    assert (outcome.result, outcome.sends_nothing) == (Result.FAIL, nothing)


def test_eleven_terms_that_ask_the_dns_are_permerror() -> None:
    names = [f"h{number}.example.org" for number in range(11)]
    zones = publishing("v=spf1 " + " ".join(f"a:{name}" for name in names) + " -all")
    zones |= {name: {"A": [ALLOWED]} for name in names}
    assert check(zones).result is Result.PERMERROR
    assert check(publishing("v=spf1 " + " ".join(f"a:{name}" for name in names[:10]) + " -all") | zones).lookups > 9


def test_three_terms_with_void_lookups_are_permerror_and_two_are_not() -> None:
    assert check(publishing("v=spf1 a:v1.test a:v2.test -all")).result is Result.FAIL
    assert check(publishing("v=spf1 a:v1.test a:v2.test a:v3.test -all")).result is Result.PERMERROR


def test_hosts_of_one_mx_without_ipv6_are_one_void_term() -> None:
    """Or every client with IPv6 would be a permerror at domains with three IPv4-only mail exchangers."""
    hosts = [f"mx{number}.example.org" for number in range(4)]
    zones = {"example.org": {"TXT": ["v=spf1 mx -all"], "MX": [(10, host) for host in hosts]}}
    zones |= {host: {"A": [ALLOWED]} for host in hosts}
    assert check(zones, "2001:db8::1").result is Result.FAIL


class Bomb(ScriptedResolver):
    """Every name has an SPF record, a thousand mail exchangers and host names, wherever one looks."""

    def __init__(self, record: str) -> None:
        super().__init__()
        self.record = record

    def lookup(self, name: str, rdtype: RdType, deadline: Deadline) -> Answer:
        zone = {
            "TXT": [self.record],
            "A": [ALLOWED],
            "AAAA": ["2001:db8::1"],
            "MX": [(n, f"{n}.mx.test") for n in range(1000)],
            "PTR": [f"{n}.ptr.test" for n in range(1000)],
        }
        self.zones = {name.lower(): zone}
        return super().lookup(name, rdtype, deadline)


@pytest.mark.parametrize(
    "record",
    [
        "v=spf1 include:%{d}.loop.test -all",
        "v=spf1 redirect=again.%{d}",
        "v=spf1 include:a.test include:b.test -all",
        "v=spf1 mx mx:a.test mx:b.test -all",
        "v=spf1 " + "ptr:nowhere.test " * 12 + "-all",
        "v=spf1 " + " ".join(["a:" + "%{l}" * 100 + ".test"] * 20),
        "v=spf1 " + " ".join(["a:%{p}.test"] * 700),
        "v=spf1 " + "a:%{l}.t " * 900,
        "v=spf1 " + "x=%{l} " * 1100,
        "v=spf1 a:" + "a" * 500 + "!",
        "v=spf1 a:" + "." * 500,
        "v=spf1 a:" + "%%." * 160,
        "v=spf1 " + "%{l}" * 16_000,
    ],
)
@pytest.mark.parametrize("lax", [False, True])
def test_bombs_cost_bounded_time_and_questions(record: str, lax: bool) -> None:
    resolver = Bomb(record)
    began = time.process_time()
    outcome = check_host(
        STRANGER,
        "mailfrom",
        "l." * 2000 + "@example.org",
        "mx.example.net",
        resolver,
        Deadline.after(60),
        SpfOptions(lax=lax, explain=True, best_guess=BEST_GUESS),
    )
    assert outcome.result in (Result.PERMERROR, Result.NEUTRAL, Result.FAIL)
    assert len(resolver.asked) <= 2 * MAX_QUESTIONS
    assert time.process_time() - began < 2


WORDS = """v=spf1 a mx ptr all include exists ip4 ip6 redirect= exp= default= op= : / // - ~ ? . = , _ %{ } % %% %_ %- l p
S H r 9 0 example.org 1.2.3.4 ::1 /99999999999 %{L} %{S2r-} %{ir} %{p} é"""
RECORD_PARTS = st.sampled_from([*WORDS.split(), " ", " ", "\x00"])
ANY_TEXT = st.text(st.characters(exclude_categories=[]), max_size=40)  # lone surrogates too


@settings(max_examples=300)
@given(
    st.lists(RECORD_PARTS, max_size=30).map(lambda parts: "v=spf1 " + "".join(parts)),
    ANY_TEXT,
    ANY_TEXT,
    st.sampled_from([ALLOWED, "2001:db8::1"]),
)
def test_no_record_and_no_identity_raises(record: str, local: str, helo: str, ip: str) -> None:
    outcome = check_host(
        ip,
        "mailfrom",
        f"{local}@example.org",
        helo,
        Bomb(record),
        Deadline.after(60),
        SpfOptions(explain=True, lax=True, best_guess=BEST_GUESS, delegate="d.test"),
    )
    header = received_spf(outcome, "mx.example.com")
    assert header.isascii()
    assert header.isprintable()


def test_a_sender_that_is_not_ascii_is_named_by_the_domain() -> None:
    for mailfrom in ("jürgen@bücher.example", "j\udcfcrgen@bücher.example"):
        header = received_spf(check({}, mailfrom=mailfrom, helo="bücher.example"), "mx.example.com")
        assert " envelope-from=xn--bcher-kva.example; helo=xn--bcher-kva.example; " in header


# Options


def test_the_explanation_is_fetched_only_if_asked_for() -> None:
    zones = publishing("v=spf1 -all exp=why.example.org")
    zones["why.example.org"] = {"TXT": ["%{i} may not use %{o}%_- see https://example.org/%{l}"]}
    resolver = ScriptedResolver(zones)
    quiet = check_host(STRANGER, "mailfrom", "bob@example.org", "h.test", resolver, Deadline.after(60))
    assert quiet.explanation == ""
    assert ("why.example.org", "TXT") not in resolver.asked
    told = check(zones, mailfrom="bob@example.org", explain=True)
    assert told.explanation == "198.51.100.9 may not use example.org - see https://example.org/bob"


@pytest.mark.parametrize(
    ("text", "expected"),
    [("100%% of it", "100% of it"), ("%%%_%%", "% %"), ("%%%{d}%%%%", "%example.org%%"), ("see%%{l}", "see%{l}")],
)
def test_a_percent_sign_in_an_explanation_is_written_twice(text: str, expected: str) -> None:
    """RFC 7208 section 7.1."""
    zones = publishing("v=spf1 -all exp=why.example.org") | {"why.example.org": {"TXT": [text]}}
    assert check(zones, explain=True).explanation == expected


@pytest.mark.parametrize("text", [b"caf\xc3\xa9", b"%{x}", b"x" * 2000, b"100%"])
def test_an_unusable_explanation_is_left_out(text: bytes) -> None:
    zones = publishing("v=spf1 -all exp=why.example.org") | {"why.example.org": {"TXT": [text]}}
    outcome = check(zones, explain=True)
    assert (outcome.result, outcome.explanation) == (Result.FAIL, "")


def test_an_explanation_cannot_break_out_of_its_line() -> None:
    zones = publishing("v=spf1 -all exp=why.example.org")
    zones["why.example.org"] = {"TXT": [b"no\r\n250 OK\x00 %{l}"]}
    explanation = check(zones, mailfrom="a\r\nb\x1b@example.org", explain=True).explanation
    assert explanation.isprintable()
    assert explanation.isascii()


def test_a_long_explanation_keeps_its_beginning() -> None:
    text = "First sentence. " + "word " * 60
    zones = publishing("v=spf1 -all exp=why.example.org") | {"why.example.org": {"TXT": [text]}}
    assert check(zones, explain=True).explanation.startswith("First sentence. word")


def test_a_lax_reading_is_told_beside_the_permanent_error() -> None:
    zones = publishing(f"v=spf1 ip4:{ALLOWED} moo -all")
    outcome = check(zones, ALLOWED, lax=True)
    assert (outcome.result, outcome.lax, outcome.effective) == (Result.PERMERROR, Result.PASS, Result.PASS)
    assert check(zones, ALLOWED).lax is None
    assert check(publishing("v=spf1 \x00"), lax=True).effective is Result.PERMERROR


@pytest.mark.parametrize("blank", ["\t", "\n", " \r\n\t"])
def test_the_lax_reading_takes_tabs_and_line_feeds_for_spaces(blank: str) -> None:
    """As they come out of spreadsheets. Strictly there are only spaces (RFC 7208 section 12)."""
    zones = publishing(f"v=spf1 ip4:{ALLOWED}{blank}-all")
    outcome = check(zones, ALLOWED, lax=True)
    assert (outcome.result, outcome.lax) == (Result.PERMERROR, Result.PASS)
    assert check(zones, "198.51.100.99", lax=True).lax is Result.FAIL


def test_void_lookups_are_allowed_as_often_as_is_set_and_the_lax_reading_counts_none() -> None:
    voids = [f"a:v{number}.test" for number in range(5)]
    zones = publishing(f"v=spf1 {' '.join(voids)} ip4:{ALLOWED} -all")
    assert [check(zones, ALLOWED, voids=allowed).result for allowed in (2, 4, 5)] == [
        Result.PERMERROR,
        Result.PERMERROR,
        Result.PASS,
    ]
    assert check(zones, ALLOWED, lax=True).effective is Result.PASS


def test_a_guess_is_told_beside_none_and_is_never_a_failure() -> None:
    zones = {"example.org": {"A": ["192.0.2.77"]}}
    near, far = check(zones, ALLOWED, best_guess=BEST_GUESS), check(zones, STRANGER, best_guess=BEST_GUESS)
    assert (near.result, near.guess, near.effective) == (Result.NONE, Result.PASS, Result.PASS)
    assert (far.result, far.guess) == (Result.NONE, Result.NEUTRAL)
    assert check(zones, ALLOWED).guess is None


def test_a_guess_for_a_dynamic_client_does_not_believe_its_name() -> None:
    zones = {"9.100.51.198.in-addr.arpa": {"PTR": ["h.example.org"]}, "h.example.org": {"A": [STRANGER]}}
    assert check(zones, best_guess=BEST_GUESS).guess is Result.PASS
    assert check(zones, best_guess=BEST_GUESS_DYNAMIC).guess is Result.NEUTRAL


def test_a_time_out_while_guessing_is_not_held_against_the_domain() -> None:
    zones = {"example.org": {"A": TIMEOUT}}
    outcome = check(zones, best_guess=BEST_GUESS)
    assert (outcome.result, outcome.guess) == (Result.NONE, None)


def test_a_delegated_record_counts_only_where_the_domain_has_none() -> None:
    zones = {"example.org._spf.local.test": {"TXT": ["v=spf1 -all"]}}
    assert check(zones, delegate="local.test").result is Result.FAIL
    assert check(zones).result is Result.NONE
    assert check(zones | publishing("v=spf1 +all"), delegate="local.test").result is Result.PASS


def test_the_matching_term_and_the_number_of_lookups_are_told() -> None:
    zones = publishing("v=spf1 mx include:inc.test -all") | {"inc.test": {"TXT": [f"v=spf1 ip4:{ALLOWED}"]}}
    outcome = check(zones, ALLOWED)
    assert (outcome.result, outcome.mechanism, outcome.lookups) == (Result.PASS, "include:inc.test", 2)


# Received-SPF


def test_the_header_always_names_identity_client_sender_helo_and_receiver() -> None:
    outcome = check(publishing("v=spf1 ip4:192.0.2.1 -all"), ALLOWED)
    assert received_spf(outcome, "mx.example.com") == (
        "pass (mx.example.com: 192.0.2.1 is permitted by example.org) client-ip=192.0.2.1; "
        'envelope-from="a@example.org"; helo=mx.example.net; receiver=mx.example.com; identity=mailfrom; '
        'mechanism="ip4:192.0.2.1"'
    )


def test_ipv6_and_the_null_path_are_quoted_and_further_pairs_are_marked() -> None:
    outcome = check({}, "2001:db8::1", mailfrom="")
    header = received_spf(outcome, "mx.example.com", helo_spf="none")
    assert 'client-ip="2001:db8::1"; envelope-from="<>"' in header
    assert header.endswith("x-helo-spf=none")


QUOTED = re.compile(r'"(?:[^"\\]|\\.)*"')
COMMENT = re.compile(r"\((?:[^()\\]|\\.)*\)")


@given(st.text(max_size=300), st.text(max_size=300), st.text(max_size=30))
def test_nothing_that_a_client_says_can_add_a_pair_or_a_line(mailfrom: str, helo: str, domain: str) -> None:
    outcome = check(publishing("v=spf1 -all"), mailfrom=f"{mailfrom}@{domain}.org", helo=helo)
    header = received_spf(outcome, "mx.example.com")
    bare = QUOTED.sub("Q", COMMENT.sub("C", header, count=1))
    assert re.fullmatch(
        r"\w+ C client-ip=[\d.]+; envelope-from=\S+; helo=\S+; receiver=mx\.example\.com; identity=mailfrom"
        r"(; mechanism=\S+)?(; problem=\S+)?",
        bare,
    )
    assert bare.count("=") - bare.count("Q") <= 7
    assert len(header) < 980


@pytest.mark.parametrize("text", ['x"; identity=helo; y="', "a) pass (b", "a\r\nX-Forged: 1", "\\", '\\"', "\x00;"])
def test_attempts_to_forge_a_result_stay_inside_their_quotes(text: str) -> None:
    header = received_spf(check({}, mailfrom=f"{text}@example.org", helo=text), "mx.example.com")
    bare = QUOTED.sub("Q", COMMENT.sub("C", header, count=1))
    assert bare.startswith("none C client-ip=198.51.100.9; envelope-from=Q; helo=Q; receiver=mx.example.com; ")
    assert header.isprintable()
