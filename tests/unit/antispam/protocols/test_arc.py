"""ARC: chains that hold, chains that do not, and what we seal ourselves, which dkimpy must be able to verify."""

from __future__ import annotations

import functools
from collections.abc import Sequence

import dkim as dkimpy
import pytest
from hypothesis import given
from hypothesis import strategies as st

from antispam.protocols.arc import MAX_SETS, ArcResult, Chain, reported, seal, verify_chain
from antispam.protocols.arc.chain import NAMES
from antispam.protocols.dkim import KeyLookupFailed, Signer
from antispam.protocols.dkim.private_keys import parse_private_key
from support.signing import SigningKey

NOW = 1_700_000_000
BODY = b"Shall we meet?\r\n"
Headers = list[tuple[bytes, bytes]]
LETTER: Headers = [
    (b"From", b" Ann <ann@bank.example>"),
    (b"To", b" list@lists.example"),
    (b"Subject", b" Sunday"),
    (b"Date", b" Mon, 2 Nov 2026 12:00:00 +0000"),
]
RESULTS = "mx.lists.example;\n\tspf=pass smtp.mailfrom=ann@bank.example;\n\tdmarc=pass header.from=bank.example"
KEYS = [SigningKey.make("s1", f"hop{number}.example", "rsa") for number in (1, 2, 3)]
ED = SigningKey.make("ed", "modern.example", "ed25519")


def records(name: str) -> Sequence[bytes]:
    for key in (*KEYS, ED):
        if name == f"{key.selector}._domainkey.{key.domain}":
            return [key.record.encode()]
    return []


@functools.cache
def signer(key: SigningKey) -> Signer:
    return Signer(key.domain, key.selector, parse_private_key(key.private_pem.encode()))


def verified(headers: Headers, body: bytes = BODY) -> Chain:
    return verify_chain(headers, body, records, now=NOW)


def sealed(headers: Headers, *keys: SigningKey, body: bytes = BODY) -> Headers:
    """As it is after each of these has sealed it."""
    for key in keys:
        chain = verified(headers, body)
        for name, value in seal(headers, body, signer(key), RESULTS, chain, now=NOW):
            headers = [(name.encode(), b" " + value.encode()), *headers]
    return headers


def changed(headers: Headers, place: int, old: bytes, new: bytes) -> Headers:
    name, value = headers[place]
    assert old in value
    return [*headers[:place], (name, value.replace(old, new)), *headers[place + 1 :]]


def as_text(headers: Headers, body: bytes = BODY) -> bytes:
    return b"".join(b"%s:%s\r\n" % (name, value.replace(b"\n", b"\r\n")) for name, value in headers) + b"\r\n" + body


THREE = sealed(LETTER, *KEYS)


def test_a_message_without_arc_has_no_chain() -> None:
    assert verified(LETTER) == Chain(ArcResult.NONE)


def test_a_chain_of_three_servers_holds() -> None:
    chain = verified(THREE)
    assert (chain.result, chain.reason, chain.instances, chain.covers_from) == (ArcResult.PASS, "", 3, True)
    assert [hop.sealer for hop in chain.hops] == ["hop1.example", "hop2.example", "hop3.example"]
    assert b"dmarc=pass" in chain.hops[0].results


def test_dkimpy_verifies_what_we_seal() -> None:
    def lookup(name: bytes, timeout: int = 5) -> bytes:
        return records(name.decode().rstrip("."))[0]

    state, results, reason = dkimpy.arc_verify(as_text(THREE), dnsfunc=lookup)
    assert (state, reason) == (b"pass", "success")
    assert [one["as-domain"] for one in results] == [b"hop3.example", b"hop2.example", b"hop1.example"]


def test_we_verify_what_dkimpy_seals() -> None:
    key = KEYS[0]
    text = b"Authentication-Results: mx.lists.example; arc=none; spf=pass\r\n" + as_text(LETTER)
    added = dkimpy.arc_sign(
        text, b"s1", b"hop1.example", key.private_pem.encode(), b"mx.lists.example", timestamp=str(NOW)
    )
    fields: Headers = []
    for line in added:
        name, _, value = line.partition(b":")
        fields.append((name, value.rstrip(b"\r\n")))
    assert verified([*fields, *LETTER]).result is ArcResult.PASS


def test_an_ed25519_key_seals_too() -> None:
    assert verified(sealed(LETTER, ED)).result is ArcResult.PASS


def test_the_fields_of_a_set_go_on_top_one_after_the_other() -> None:
    names = [name for name, _ in seal(LETTER, BODY, signer(KEYS[0]), RESULTS, Chain(ArcResult.NONE), now=NOW)]
    assert names == ["ARC-Authentication-Results", "ARC-Message-Signature", "ARC-Seal"]
    assert [name for name, _ in THREE[:3]] == [b"ARC-Seal", b"ARC-Message-Signature", b"ARC-Authentication-Results"]


@pytest.mark.parametrize(
    ("headers", "body", "reason"),
    [
        (THREE, b"Pay at once\r\n", "body altered after hop3.example sealed it"),
        (changed(THREE, 9, b"ann@", b"eve@"), BODY, "header fields altered after hop3.example sealed it"),
        ([(b"From", b" eve@evil.example"), *THREE], BODY, "header fields altered after hop3.example sealed it"),
        (
            changed(THREE, 7, b"relaxed/relaxed", b"relaxed/simple"),
            BODY,
            "the seal of hop1.example (set 1) does not fit",
        ),
        (THREE[1:], BODY, "a set is not complete"),
        (THREE[3:6] + THREE[9:], BODY, "a set is missing"),
        ([THREE[0], *THREE], BODY, "a field of a set is there twice"),
        (changed(THREE, 0, b"i=3", b"i=51"), BODY, "a field has no instance from 1 to 50"),
        (changed(THREE, 0, b"i=3", b"i=0"), BODY, "a field has no instance from 1 to 50"),
        (changed(THREE, 0, b"i=3", b"j=3"), BODY, "a field has no instance from 1 to 50"),
        (changed(THREE, 2, b"i=3", b"x; i=3"), BODY, "a field has no instance from 1 to 50"),
        (changed(THREE, 6, b"cv=none", b"cv=pass"), BODY, "the seal of set 1 has a wrong cv="),
        (changed(THREE, 0, b"cv=pass", b"cv=none"), BODY, "the seal of set 3 has a wrong cv="),
        (changed(THREE, 0, b"s=s1", b"s=s2"), BODY, "hop3.example: no key published"),
        (changed(THREE, 0, b"s=s1", b"h=from; s=s1"), BODY, "a seal has h= (RFC 8617 section 4.1.3)"),
        (
            changed(THREE, 1, b"h=from", b"h=arc-seal:from"),
            BODY,
            "a message signature covers a seal (RFC 8617 section 4.1.2)",
        ),
        (
            changed(THREE, 1, b"h=from", b"l=3; h=from"),
            BODY,
            "the message signature of hop3.example does not cover the whole body",
        ),
        ([(b"ARC-Seal", b" i=1; " + b"x" * 20_000)], BODY, "a field is too long"),
        ([(b"ARC-Seal", b" i=1; cv=none; ;;")], BODY, "signature syntax error"),
    ],
)
def test_a_chain_that_was_tampered_with_fails(headers: Headers, body: bytes, reason: str) -> None:
    chain = verified(headers, body)
    assert (chain.result, chain.reason) == (ArcResult.FAIL, reason)


def test_more_sets_than_the_standard_allows_cost_no_look_up() -> None:
    fields = [(name, b" i=1; a=rsa-sha256; d=slow.example; s=x; b=; cv=none") for name in NAMES for _ in range(500)]

    def lookup(name: str) -> Sequence[bytes]:
        raise AssertionError("nobody needs a key")

    assert verify_chain(fields, BODY, lookup, now=NOW).reason == f"more than {MAX_SETS} sets"


def test_a_key_that_cannot_be_looked_up_is_no_failure() -> None:
    def lookup(name: str) -> Sequence[bytes]:
        raise KeyLookupFailed("time-out")

    chain = verify_chain(THREE, BODY, lookup, now=NOW)
    assert (chain.result, chain.reason) == (ArcResult.TEMPERROR, "key look-up failed: time-out")


def test_keys_are_looked_up_a_few_at_a_time() -> None:
    batches: list[int] = []

    def run(fetch, names):  # type: ignore[no-untyped-def]
        batches.append(len(names))
        return map(fetch, names)

    long = sealed(LETTER, *([KEYS[0], KEYS[1]] * 6))
    assert verify_chain(long, BODY, records, now=NOW, run_lookups=run).result is ArcResult.PASS
    assert batches == [1, 2, 2]


# Sealing what has failed


def test_a_chain_that_came_broken_is_sealed_as_broken_and_then_no_more() -> None:
    broken = changed(THREE, 9, b"ann@", b"eve@")
    again = sealed(broken, KEYS[0])
    assert b"cv=fail" in again[0][1]
    chain = verified(again)
    assert (chain.result, chain.ended, chain.instances) == (ArcResult.FAIL, True, 4)
    assert seal(again, BODY, signer(KEYS[1]), RESULTS, chain, now=NOW) == ()


@pytest.mark.parametrize(
    ("headers", "chain"),
    [
        (LETTER[1:], Chain(ArcResult.NONE)),
        (THREE, Chain(ArcResult.PASS, instances=MAX_SETS)),
        ([(b"ARC-Seal", b" x"), *LETTER], Chain(ArcResult.FAIL)),
    ],
)
def test_what_cannot_be_gone_on_with_is_not_sealed(headers: Headers, chain: Chain) -> None:
    assert seal(headers, BODY, signer(KEYS[0]), RESULTS, chain, now=NOW) == ()


# What a server reported


def test_clauses_are_read_without_their_comments() -> None:
    value = (
        b" mx.example (x;y (z)) 1; dkim=pass (ok; (nested)) header.d=Bank.Example;"
        b' spf=fail smtp.mailfrom="a b@c.example"; none'
    )
    dkim, spf = reported(value)
    assert (dkim.method, dkim.result, dkim.domain("header.d")) == ("dkim", "pass", "bank.example")
    assert (spf.method, spf.result, spf.domain("smtp.helo", "smtp.mailfrom")) == ("spf", "fail", "c.example")


@pytest.mark.parametrize(
    "value", [b'mx; dkim=fail reason="x; dmarc=pass header.from=b.example"', b"mx; dkim=fail (; dmarc=pass"]
)
def test_a_result_inside_quotes_or_a_comment_is_none(value: bytes) -> None:
    assert [one.method for one in reported(value)] == ["dkim"]


@given(st.binary(max_size=300))
def test_any_octets_can_be_read(value: bytes) -> None:
    for one in reported(b"mx;" + value):
        one.domain("header.d")


_TAGS = st.sampled_from([b"i=1", b"i=2", b"a=rsa-sha256", b"cv=none", b"cv=pass", b"d=hop1.example", b"s=s1", b"b=AAAA",
                         b"bh=AAAA", b"h=from", b"t=x", b"l=9", b"c=simple", b" ", b"mx"])  # fmt: skip
_FIELDS = st.lists(
    st.tuples(
        st.sampled_from([*NAMES, b"ARC-Seal ", b"From"]),
        st.lists(_TAGS, max_size=9).map(b"; ".join) | st.binary(max_size=60),
    ),
    max_size=8,
)


@given(_FIELDS)
def test_no_field_makes_verifying_or_sealing_raise(fields: Headers) -> None:
    chain = verified(fields)
    assert chain.reason.isprintable()
    seal([*fields, *LETTER], BODY, signer(KEYS[0]), RESULTS, chain, now=NOW)
