"""Verifying DKIM signatures: which result for which message, key and trouble."""

from __future__ import annotations

import base64
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import dkim as dkimpy
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import Encoding, PrivateFormat, PublicFormat
from hypothesis import given
from hypothesis import strategies as st

from antispam.protocols.dkim import DkimResult, KeyLookupFailed, Limits, SignatureResult, Signer, foremost, sign, verify
from antispam.protocols.dkim.public_keys import PublicKey, UnusableKey, parse_key
from support.dkim_mail import BODY, ED25519, HEADERS, NOW, RAW_RSA, RSA, Zone, pem, raw, signed, zone
from support.patience import PATIENCE

Headers = list[tuple[bytes, bytes]]

# The example of RFC 8463 appendix A: one message, signed with both algorithms.
RFC8463_HEADERS: Headers = [
    (
        b"DKIM-Signature",
        b" v=1; a=ed25519-sha256; c=relaxed/relaxed;\n d=football.example.com; i=@football.example.com;\n"
        b" q=dns/txt; s=brisbane; t=1528637909; h=from : to :\n subject : date : message-id : from : subject : date;\n"
        b" bh=2jUSOH9NhtVGCQWNr9BrIAPreKQjO6Sn7XIkfJVOzv8=;\n"
        b" b=/gCrinpcQOoIfuHNQIbq4pgh9kyIK3AQUdt9OdqQehSwhEIug4D11Bus\n Fa3bT3FY5OsU7ZbnKELq+eXdp1Q1Dw==",
    ),
    (
        b"DKIM-Signature",
        b" v=1; a=rsa-sha256; c=relaxed/relaxed;\n d=football.example.com; i=@football.example.com;\n"
        b" q=dns/txt; s=test; t=1528637909; h=from : to : subject :\n date : message-id : from : subject : date;\n"
        b" bh=2jUSOH9NhtVGCQWNr9BrIAPreKQjO6Sn7XIkfJVOzv8=;\n"
        b" b=F45dVWDfMbQDGHJFlXUNB2HKfbCeLRyhDXgFpEL8GwpsRe0IeIixNTe3\n"
        b" DhCVlUrSjV4BwcVcOF6+FF3Zo9Rpo1tFOeS9mPYQTnGdaSGsgeefOsk2Jz\n"
        b" dA+L10TeYt9BgDfQNZtKdN1WO//KgIqXP7OdEFE4LjFYNcUxZQ4FADY+8=",
    ),
    (b"From", b" Joe SixPack <joe@football.example.com>"),
    (b"To", b" Suzie Q <suzie@shopping.example.net>"),
    (b"Subject", b" Is dinner ready?"),
    (b"Date", b" Fri, 11 Jul 2003 21:00:37 -0700 (PDT)"),
    (b"Message-ID", b" <20030712040037.46341.5F8J@football.example.com>"),
]
RFC8463_BODY = b"Hi.\r\n\r\nWe lost the game.  Are you hungry yet?\r\n\r\nJoe.\r\n"
RFC8463_KEYS = {
    "brisbane._domainkey.football.example.com": [b"v=DKIM1; k=ed25519; p=11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo="],
    "test._domainkey.football.example.com": [
        b"v=DKIM1; k=rsa; p=MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQDkHlOQoBTzWRiGs5V6NpP3idY6Wk08a5qhdR6wy5bdOKb2jLQi"
        b"Y/J16JYi0Qvx/byYzCNb3W91y3FutACDfzwQ/BC/e/8uBsCR+yz1Lxj+PL6lHvqMKrM3rG4hstT5QjvHO9PzoxZyVYLzBfO2EeC3Ip3G+2k"
        b"ryOTIKT+l/K4w3QIDAQAB"
    ],
}


def one(
    headers: Headers, body: bytes = BODY, lookup: Callable[[str], Sequence[bytes]] | None = None
) -> SignatureResult:
    (result,) = verify(headers, body, zone(s=RSA) if lookup is None else lookup, now=NOW).signatures
    return result


def retagged(change: Callable[[bytes], bytes], **options: object) -> Headers:
    """A signed message whose signature field was edited afterwards."""
    (name, value), *rest = signed(**options)  # type: ignore[arg-type]
    return [(name, change(value)), *rest]


def replaced(old: bytes, new: bytes) -> Headers:
    return retagged(lambda value: value.replace(old, new))


def test_the_rfcs_example_passes_with_both_algorithms() -> None:
    results = verify(RFC8463_HEADERS, RFC8463_BODY, Zone(RFC8463_KEYS), now=NOW).signatures
    assert [(r.result, r.algorithm, r.key_bits, r.selector) for r in results] == [
        (DkimResult.PASS, "ed25519-sha256", 256, "brisbane"),
        (DkimResult.PASS, "rsa-sha256", 1024, "test"),
    ]
    assert results[0].identity == "@football.example.com"
    assert results[0].prefix == "/gCrinpc"


@pytest.mark.parametrize("header", [b"simple", b"relaxed"])
@pytest.mark.parametrize("body", [b"simple", b"relaxed"])
@pytest.mark.parametrize("length", [False, True])
def test_what_dkimpy_signs_passes(header: bytes, body: bytes, length: bool) -> None:
    key = pem(RAW_RSA, PrivateFormat.TraditionalOpenSSL)
    field = dkimpy.sign(raw(HEADERS, BODY), b"s", b"example.com", key, canonicalize=(header, body), length=length)
    value = field.removeprefix(b"DKIM-Signature:").removesuffix(b"\r\n").replace(b"\r\n", b"\n")
    (result,) = verify([(b"DKIM-Signature", value), *HEADERS], BODY, zone(s=RSA), now=2_000_000_000).signatures
    assert (result.result, result.reason) == (DkimResult.PASS, "")


def test_what_dkimpy_signs_with_ed25519_passes() -> None:
    pytest.importorskip("nacl")
    seed = base64.b64encode(ED25519.key.private_bytes_raw())
    signer = dkimpy.DKIM(raw(HEADERS, BODY), signature_algorithm=b"ed25519-sha256")
    field = signer.sign(b"s", b"example.com", seed)
    value = field.removeprefix(b"DKIM-Signature:").removesuffix(b"\r\n").replace(b"\r\n", b"\n")
    found = verify([(b"DKIM-Signature", value), *HEADERS], BODY, zone(s=ED25519), now=2_000_000_000)
    assert found.signatures[0].result is DkimResult.PASS


def test_a_message_without_signatures_has_no_results_and_asks_nothing() -> None:
    keys = zone(s=RSA)
    assert verify(HEADERS, BODY, keys, now=NOW).signatures == ()
    assert keys.asked == []


@pytest.mark.parametrize("body", [BODY.replace(b"lost", b"won"), BODY + b"P.S.\r\n", b"", BODY[:-12]])
def test_an_altered_body_fails_and_says_so(body: bytes) -> None:
    result = one(signed(), body)
    assert (result.result, result.reason) == (DkimResult.FAIL, "body altered after signing")
    assert not result.verified


@pytest.mark.parametrize("name", [b"From", b"To", b"Subject", b"Date"])
def test_an_altered_signed_field_fails(name: bytes) -> None:
    headers = [(n, v + b"x" if n == name else v) for n, v in signed()]
    result = one(headers)
    assert result.result is DkimResult.FAIL
    assert "header fields altered" in result.reason


@pytest.mark.parametrize("extra", [b"From", b"fRoM", b"From ", b"Subject", b"Cc", b"Reply-To", b"Date"])
@pytest.mark.parametrize("top", [True, False])
def test_an_added_field_that_readers_see_fails(extra: bytes, top: bool) -> None:
    field = (extra, b" mallory@evil.example")
    headers = [field, *signed()] if top else [*signed(), field]
    assert one(headers).result is DkimResult.FAIL


def test_a_second_from_fails_even_where_the_signer_did_not_seal_it() -> None:
    key = pem(RAW_RSA, PrivateFormat.TraditionalOpenSSL)
    field = dkimpy.sign(raw(HEADERS, BODY), b"s", b"example.com", key, include_headers=[b"from", b"to"])
    value = field.removeprefix(b"DKIM-Signature:").removesuffix(b"\r\n").replace(b"\r\n", b"\n")
    forged = [(b"From", b" mallory@evil.example"), (b"DKIM-Signature", value), *HEADERS]
    (result,) = verify(forged, BODY, zone(s=RSA), now=2_000_000_000).signatures
    assert (result.result, result.reason) == (DkimResult.FAIL, "From field added after signing")


def test_changes_that_happen_on_the_way_do_not_matter() -> None:
    """Received on top, refolded fields, trailing blanks and empty lines, unsigned fields."""
    headers = [(b"Received", b" by relay"), *signed(), (b"X-Spam", b" no")]
    headers = [(n.upper(), v.replace(b"dinner", b"\n\t  dinner")) for n, v in headers]
    assert one(headers, BODY.replace(b"Hi.", b"Hi.  ") + b"\r\n\r\n").result is DkimResult.PASS


@pytest.mark.parametrize("form", [bytes, bytearray, memoryview])
def test_the_body_may_be_any_kind_of_octets(form: type) -> None:
    assert verify(signed(), form(BODY), zone(s=RSA), now=NOW).signatures[0].result is DkimResult.PASS


def test_a_body_with_bare_line_feeds_is_what_it_will_be_on_the_wire() -> None:
    assert one(signed(), BODY.replace(b"\r\n", b"\n")).result is DkimResult.PASS


@pytest.mark.parametrize(
    ("old", "new", "result", "reason"),
    [
        (b"v=1", b"v=2", "neutral", "unknown signature version"),
        (b"v=1;", b"", "neutral", "signature lacks v="),
        (b"v=1", b"v=1; v=1", "neutral", "signature syntax error"),
        (b"v=1", b"v", "neutral", "signature syntax error"),
        (b"v=1;", b"v=1;;", "neutral", "signature syntax error"),
        (b"rsa-sha256", b"rsa-sha1", "permerror", "rsa-sha1 is no longer accepted (RFC 8301)"),
        (b"rsa-sha256", b"rsa-md5", "neutral", "unknown signature algorithm"),
        (b"d=example.com", b"d=", "neutral", "malformed domain or selector"),
        (b"d=example.com", b"d=exa(mple).com", "neutral", "malformed domain or selector"),
        (b"d=example.com", b'd=x.com" dkim=pass', "neutral", "malformed domain or selector"),
        (b"d=example.com", b"d=x\0.com", "neutral", "malformed domain or selector"),
        (b"d=example.com", b"d=" + b"a." * 200 + b"com", "neutral", "malformed domain or selector"),
        (b"s=s", b"s=s s", "neutral", "malformed domain or selector"),
        (b"h=from:from:", b"h=", "permerror", "From field not signed"),
        (b"c=relaxed/relaxed", b"c=nowsp", "neutral", "unknown canonicalization"),
        (b"v=1;", b"v=1; q=http;", "neutral", "unknown key query method"),
        (b"v=1;", b"v=1; i=joe@example.org;", "permerror", "i= is outside of d="),
        (b"v=1;", b"v=1; i=joe@notexample.com;", "permerror", "i= is outside of d="),
        (b"v=1;", b"v=1; x=1780000000;", "permerror", "signature expires before it was made"),
        (b"v=1;", b"v=1; x=-5;", "neutral", "signature syntax error: not a number"),
        (b"v=1;", b"v=1; l=" + b"9" * 77 + b";", "neutral", "signature syntax error: not a number"),
        (b"v=1;", b"v=1; l=1000000;", "fail", "body shorter than its signed length"),
        (b"bh=", b"bh=!", "neutral", "signature syntax error: not base64"),
        (b"\tb=", b"\tb=!", "neutral", "signature syntax error: not base64"),
        (b"v=1;", b"v=1; z=" + b"x" * 20000 + b";", "neutral", "signature field too long"),
        (b"v=1;", b"v=1; z=changed;", "fail", "signed header fields altered, or signed with another key"),
    ],
)
def test_broken_and_forged_tags(old: bytes, new: bytes, result: str, reason: str) -> None:
    found = one(replaced(old, new))
    assert (found.result, found.reason) == (result, reason)


def test_an_expired_signature_is_told_apart() -> None:
    from antispam.protocols.dkim import SigningPolicy

    headers = signed(policy=SigningPolicy(lifetime=86400))
    assert one(headers).result is DkimResult.PASS
    (late,) = verify(headers, BODY, zone(s=RSA), now=NOW + 3 * 86400).signatures
    assert (late.result, late.reason, late.expired) == (DkimResult.PERMERROR, "signature expired", True)


def test_a_signature_from_the_future_is_refused_beyond_the_skew_of_clocks() -> None:
    assert one(signed(now=NOW + 600)).result is DkimResult.PASS
    assert one(signed(now=NOW + 86400)).reason == "signature time is in the future"


def test_a_body_length_that_leaves_text_unsigned_is_no_pass() -> None:
    """FIELD: `l=` shorter than the body must not pass, yet the signature did verify and a policy may say so."""
    key = pem(RAW_RSA, PrivateFormat.TraditionalOpenSSL)
    field = dkimpy.sign(raw(HEADERS, BODY), b"s", b"example.com", key, length=True)
    value = field.removeprefix(b"DKIM-Signature:").removesuffix(b"\r\n").replace(b"\r\n", b"\n")
    headers = [(b"DKIM-Signature", value), *HEADERS]
    (result,) = verify(headers, BODY + b"Buy!\r\n", zone(s=RSA), now=2_000_000_000).signatures
    assert result.result is DkimResult.POLICY
    assert result.verified
    assert result.unsigned_octets == len(b"Buy!\r\n")


RSA_P = RSA.dns_record.partition("p=")[2].encode()


@pytest.mark.parametrize(
    ("records", "result", "reason"),
    [
        ([], "permerror", "no key published"),
        ([b""], "permerror", "not a DKIM key record"),
        ([b"v=spf1 -all"], "permerror", "not a DKIM key record"),
        ([b"v=DKIM2; p=" + RSA_P], "permerror", "not a DKIM key record"),
        ([b"no tags"], "permerror", "key record syntax error"),
        ([b"v=DKIM1; p="], "permerror", "key revoked"),
        ([b"p=AAAA"], "permerror", "unreadable public key"),
        ([b"p=***"], "permerror", "unreadable public key"),
        ([b"k=dsa; p=" + RSA_P], "permerror", "unknown key type"),
        ([b"k=ed25519; p=" + RSA_P], "permerror", "unreadable public key"),
        ([b"h=sha1; p=" + RSA_P], "permerror", "key is not for sha256"),
        ([b"s=tlsrpt; p=" + RSA_P], "permerror", "key is not for mail"),
        ([b"p=" + b"A" * 10000], "permerror", "key record too long"),
        ([ED25519.dns_record.encode()], "permerror", "key is of another type than the signature"),
        ([b"v=spf1 -all", b"p=" + RSA_P], "pass", ""),
        ([b"h=sha1:sha256; s=email:other; t=s; n=note; p=" + RSA_P], "pass", ""),
        ([b" v=DKIM1 ; k=RSA ; p= " + RSA_P[:40] + b" \t" + RSA_P[40:] + b" ;"], "pass", ""),
    ],
)
def test_key_records(records: list[bytes], result: str, reason: str) -> None:
    found = one(signed(), lookup=Zone({"s._domainkey.example.com": records}))
    assert (found.result, found.reason) == (result, reason)


def test_a_key_in_the_bare_form_of_the_rfcs_text_is_read() -> None:
    bare = base64.b64encode(RAW_RSA.public_key().public_bytes(Encoding.DER, PublicFormat.PKCS1))
    assert one(signed(), lookup=Zone({"s._domainkey.example.com": [b"p=" + bare]})).result is DkimResult.PASS


def test_a_key_of_another_algorithm_in_rsa_clothes_is_refused() -> None:
    key = ec.generate_private_key(ec.SECP256R1()).public_key()
    octets = base64.b64encode(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo))
    found = parse_key(b"p=" + octets)
    assert isinstance(found, UnusableKey)
    assert str(found) == "not an RSA key"


def test_a_key_that_forbids_subdomains_refuses_one_in_the_identity() -> None:
    headers = signed()
    value = sign(headers[1:], BODY, [Signer("example.com", "s", RSA, identity="joe@sub.example.com")], now=NOW)[0]
    strict = Zone({"s._domainkey.example.com": [b"t=s; p=" + RSA_P]})
    field = (b"DKIM-Signature", b" " + value.encode())
    assert one([field, *headers[1:]]).result is DkimResult.PASS
    found = one([field, *headers[1:]], lookup=strict)
    assert (found.result, found.reason) == (DkimResult.PERMERROR, "key forbids i= in a subdomain")


def test_a_testing_key_is_reported_with_pass_and_with_failure() -> None:
    testing = Zone({"s._domainkey.example.com": [b"t=y; p=" + RSA_P]})
    assert (one(signed(), lookup=testing).result, one(signed(), lookup=testing).testing) == (DkimResult.PASS, True)
    altered = one(signed(), b"other", testing)
    assert (altered.result, altered.testing) == (DkimResult.FAIL, True)


def test_a_short_rsa_key_is_no_pass() -> None:
    found = verify(signed(), BODY, zone(s=RSA), now=NOW, limits=Limits(min_rsa_bits=4096)).signatures[0]
    assert (found.result, found.reason, found.verified) == (DkimResult.POLICY, "key too short: 2048 bits", True)
    assert found.key_bits == 2048


def test_a_512_bit_key_never_gives_a_pass() -> None:
    """Factored in hours (RFC 8301): a real modulus of 512 bits, with a signature that can't be right anyway."""
    key = (
        b"p=MFwwDQYJKoZIhvcNAQEBBQADSwAwSAJBAL9oeJqoPU1KVp0sYNw1VhZ/CUpsSHiWqkpECl6/PaSMsUrWLoVk3avuHvnp7wjMi8E5Xh1V"
        b"m0cGdpT0ye9hHj8CAwEAAQ=="
    )
    found = one(signed(), lookup=Zone({"s._domainkey.example.com": [key]}))
    assert found.result in (DkimResult.FAIL, DkimResult.POLICY, DkimResult.PERMERROR)
    assert not found.verified


def test_a_huge_key_is_refused_before_it_is_used() -> None:
    found = verify(signed(), BODY, zone(s=RSA), now=NOW, limits=Limits(max_rsa_bits=1024)).signatures[0]
    assert (found.result, found.verified) == (DkimResult.POLICY, False)


def test_a_temporary_dns_trouble_is_a_temperror_not_a_failure() -> None:
    keys = Zone({"s._domainkey.example.com": KeyLookupFailed("SERVFAIL")})
    found = one(signed(), lookup=keys)
    assert (found.result, found.reason) == (DkimResult.TEMPERROR, "key look-up failed: SERVFAIL")


def test_an_international_domain_is_looked_up_by_its_a_label() -> None:
    keys = Zone()
    one(replaced(b"d=example.com", "d=Bücher.example".encode()), lookup=keys)
    assert keys.asked == ["s._domainkey.xn--bcher-kva.example"]


def test_five_hundred_signatures_are_capped() -> None:
    (name, value), *rest = signed()
    many = [(name, value.replace(b"d=example.com", b"d=d%d.example" % n)) for n in range(500)]
    keys = Zone()
    found = verify([*many, *rest], BODY, keys, now=NOW, limits=Limits(max_signatures=7))
    assert (len(found.signatures), found.ignored, len(keys.asked)) == (7, 493, 7)


def test_the_same_key_is_asked_for_once() -> None:
    keys = zone(s=RSA)
    field, *rest = signed()
    assert len(verify([field, field, field, *rest], BODY, keys, now=NOW).signatures) == 3
    assert keys.asked == ["s._domainkey.example.com"]


def test_several_keys_can_be_looked_up_at_the_same_time() -> None:
    """Each look-up waits until the other has begun: one after the other they would never end."""
    both = threading.Barrier(2, timeout=PATIENCE)
    keys = zone(s=RSA, t=RSA)

    def lookup(name: str) -> Sequence[bytes]:
        both.wait()
        return keys(name)

    values = sign(HEADERS, BODY, [Signer("example.com", "s", RSA), Signer("example.com", "t", RSA)], now=NOW)
    headers = [*((b"DKIM-Signature", b" " + value.encode()) for value in values), *HEADERS]
    with ThreadPoolExecutor(2) as pool:
        found = verify(headers, BODY, lookup, now=NOW, run_lookups=pool.map)
    assert [r.result for r in found.signatures] == [DkimResult.PASS, DkimResult.PASS]


def test_the_foremost_result_is_the_best_one() -> None:
    def result(kind: DkimResult) -> SignatureResult:
        return SignatureResult(result=kind)

    results = tuple(map(result, (DkimResult.NEUTRAL, DkimResult.FAIL, DkimResult.PASS)))
    assert foremost(results) == results[2]
    assert foremost(results[:2]) == results[1]
    assert foremost(()) is None


tag_lists = st.lists(
    st.tuples(
        st.sampled_from(
            [b"v", b"a", b"b", b"bh", b"c", b"d", b"h", b"i", b"l", b"q", b"s", b"t", b"x", b"z", b"", b" b "]
        ),
        st.one_of(
            st.binary(max_size=12),
            st.sampled_from(
                [b"1", b"rsa-sha256", b"ed25519-sha256", b"example.com", b"from:to", b"relaxed/simple", b"s"]
            ),
            st.sampled_from([b"AAAA", b"@example.com", b"0", b"99999999999999999999", "ü.example".encode(), b"a..b"]),
        ),
    ).map(lambda spec: spec[0] + b"=" + spec[1]),
    max_size=12,
).map(b";".join)


@given(st.one_of(st.binary(max_size=200), tag_lists), st.binary(max_size=40))
def test_no_signature_field_can_raise_or_pass_or_print_control_characters(value: bytes, body: bytes) -> None:
    found = verify([(b"DKIM-Signature", value), *HEADERS], body, zone(s=RSA), now=NOW).signatures[0]
    assert not found.verified
    for text in (found.reason, found.domain, found.selector, found.algorithm, found.identity, found.prefix):
        assert text.isascii()
        assert text.isprintable()


@given(st.binary(max_size=120))
def test_no_key_record_can_raise(record: bytes) -> None:
    for prefix in (b"", b"p=", b"k=ed25519; p="):
        assert isinstance(parse_key(prefix + record), PublicKey | UnusableKey)


def test_an_ed25519_key_of_small_order_verifies_nothing_of_ours() -> None:
    record = b"k=ed25519; p=" + base64.b64encode(ed25519.Ed25519PrivateKey.generate().public_key().public_bytes_raw())
    assert one(signed(key=ED25519), lookup=Zone({"s._domainkey.example.com": [record]})).result is DkimResult.FAIL
