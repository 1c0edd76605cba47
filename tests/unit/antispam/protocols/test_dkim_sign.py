"""Signing outgoing mail, and the keys that are fit for it."""

from __future__ import annotations

import base64
import contextlib
import re

import dkim as dkimpy
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, NoEncryption, PrivateFormat
from hypothesis import given
from hypothesis import strategies as st

from antispam.protocols.dkim import (
    DkimResult,
    PrivateKey,
    Signer,
    SigningPolicy,
    UnusablePrivateKey,
    parse_private_key,
    sign,
    verify,
)
from support.dkim_mail import BODY, ED25519, HEADERS, NOW, RAW_RSA, RSA, pem, raw, signed, zone


def tags(value: str) -> dict[str, str]:
    return {k.strip(): re.sub(r"\s", "", v) for k, _, v in (spec.partition("=") for spec in value.split(";"))}


def dkimpy_says(headers: list[tuple[bytes, bytes]], body: bytes, monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    monkeypatch.setattr(dkimpy.time, "time", lambda: NOW)
    keys = zone(s=RSA, e=ED25519)
    message = dkimpy.DKIM(raw(headers, body))
    count = sum(name == b"DKIM-Signature" for name, _ in headers)
    return [message.verify(n, lambda name, timeout: keys[name.decode().rstrip(".")][0]) for n in range(count)]


@pytest.mark.parametrize("relaxed_header", [True, False])
@pytest.mark.parametrize("relaxed_body", [True, False])
@pytest.mark.parametrize("body", [BODY, b"", b"\r\n\r\n", b"no end", b" a \r\n\r\n"])
def test_dkimpy_verifies_what_we_sign(
    relaxed_header: bool, relaxed_body: bool, body: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    policy = SigningPolicy(relaxed_header=relaxed_header, relaxed_body=relaxed_body)
    assert dkimpy_says(signed(body=body, policy=policy), body, monkeypatch) == [True]


def test_dkimpy_verifies_both_signatures_of_a_message_signed_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("nacl")
    values = sign(HEADERS, BODY, [Signer("example.com", "s", RSA), Signer("example.com", "e", ED25519)], now=NOW)
    headers = [*((b"DKIM-Signature", b" " + value.encode()) for value in values), *HEADERS]
    assert [tags(value)["a"] for value in values] == ["rsa-sha256", "ed25519-sha256"]
    assert dkimpy_says(headers, BODY, monkeypatch) == [True, True]


def test_the_tags() -> None:
    signer = Signer("Example.COM", "s", RSA, identity="joe@sub.example.com")
    (value,) = sign(HEADERS, BODY, [signer], now=NOW, policy=SigningPolicy(lifetime=600))
    found = tags(value)
    assert (found["v"], found["c"], found["d"], found["s"]) == ("1", "relaxed/relaxed", "example.com", "s")
    assert (found["t"], found["x"], found["i"]) == (str(NOW), str(NOW + 600), "joe@sub.example.com")
    assert "l" not in found


def test_visible_fields_are_sealed_and_the_others_only_where_present() -> None:
    names = tags(signed()[0][1].decode())["h"].split(":")
    counts = {name: names.count(name) for name in names}
    assert counts == {"from": 2, "reply-to": 1, "to": 2, "cc": 1, "subject": 2, "date": 2, "message-id": 2}


def test_a_mailing_lists_own_fields_are_signed() -> None:
    headers = [*HEADERS, (b"List-Id", b" <l.example.com>"), (b"List-Unsubscribe-Post", b" List-Unsubscribe=One-Click")]
    names = tags(signed(headers=headers)[0][1].decode())["h"].split(":")
    assert names.count("list-id") == names.count("list-unsubscribe-post") == 2


def test_lines_are_short_and_folded_for_libmilter() -> None:
    headers = [*HEADERS, *((b"List-Archive", b" x") for _ in range(30))]
    value = signed(headers=headers)[0][1].decode()
    lines = ("DKIM-Signature:" + value).split("\n")
    assert max(len(line.expandtabs(8)) for line in lines) <= 86
    assert all(line.startswith("\t") for line in lines[1:])
    assert "\r" not in value


def test_a_message_without_from_is_not_signed() -> None:
    assert sign([(b"To", b" x@example.net")], BODY, [Signer("example.com", "s", RSA)], now=NOW) == ()


def test_bare_line_feeds_are_signed_as_the_line_ends_they_will_be() -> None:
    headers = signed(body=b"a\nb\n")
    assert verify(headers, b"a\r\nb\r\n", zone(s=RSA), now=NOW).signatures[0].result is DkimResult.PASS


text = st.binary(max_size=60).map(lambda raw: b" " + raw.replace(b"\0", b"").replace(b"\r", b"").replace(b"\n", b""))


@given(subject=text, sender=text, body=st.binary(max_size=200), relaxed=st.booleans())
def test_whatever_we_sign_we_verify(subject: bytes, sender: bytes, body: bytes, relaxed: bool) -> None:
    headers = [(b"From", sender), (b"Subject", subject)]
    policy = SigningPolicy(relaxed_header=relaxed, relaxed_body=relaxed)
    found = verify(
        signed(key=ED25519, headers=headers, body=body, policy=policy), body, zone(s=ED25519), now=NOW
    ).signatures[0]
    assert found.result is DkimResult.PASS


@pytest.mark.parametrize(
    "arguments",
    [
        ("example.com; l=5", "s", ""),
        ("bücher.example", "s", ""),
        ("", "s", ""),
        ("example.com", "s;x=1", ""),
        ("example.com", "", ""),
        ("example.com", "s", "joe@example.org"),
        ("example.com", "s", "joe@notexample.com"),
        ("example.com", "s", "jo;e@example.com"),
    ],
)
def test_names_that_could_write_other_tags_are_refused(arguments: tuple[str, str, str]) -> None:
    domain, selector, identity = arguments
    with pytest.raises(ValueError, match=r"example|selector|domain|identity"):
        Signer(domain, selector, RSA, identity)


def test_a_policy_must_sign_from_and_must_not_sign_trace_fields() -> None:
    with pytest.raises(ValueError, match="From must be signed"):
        SigningPolicy(sealed=(b"to",))
    with pytest.raises(ValueError, match="received"):
        SigningPolicy(signed_if_present=(b"received",))


def seed_of(key: PrivateKey) -> bytes:
    return base64.b64encode(key.key.private_bytes_raw())  # type: ignore[union-attr]


DER = RAW_RSA.private_bytes(Encoding.DER, PrivateFormat.TraditionalOpenSSL, NoEncryption())


@pytest.mark.parametrize(
    ("content", "algorithm"),
    [
        (pem(RAW_RSA), "rsa-sha256"),
        (pem(RAW_RSA, PrivateFormat.TraditionalOpenSSL), "rsa-sha256"),
        (b"comment\n" + pem(RAW_RSA), "rsa-sha256"),
        (base64.encodebytes(DER), "rsa-sha256"),
        (pem(ED25519.key), "ed25519-sha256"),
        (seed_of(ED25519) + b"\n", "ed25519-sha256"),
    ],
    ids=["PKCS #8", "PKCS #1", "PEM below a comment", "DER in base64", "ed25519 in PKCS #8", "ed25519 seed in base64"],
)
def test_key_files_in_all_common_forms_are_read(content: bytes, algorithm: str) -> None:
    key = parse_private_key(content)
    assert (key.algorithm, key.warning) == (algorithm, "")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "not a private key"),
        (b"\xff\xfe", "not a private key"),
        (b"-----BEGIN RSA PRIVATE KEY-----\nAAAA\n-----END RSA PRIVATE KEY-----\n", "not a private key"),
        (RAW_RSA.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"x")), "passphrase"),
        (pem(ec.generate_private_key(ec.SECP256R1())), "neither an RSA nor an Ed25519 key"),  # type: ignore[arg-type]
        (b"A" * 70000, "too large"),
    ],
    ids=["empty", "not text", "cut short", "encrypted", "elliptic curve", "too large"],
)
def test_what_is_no_usable_key_is_refused(content: bytes, message: str) -> None:
    with pytest.raises(UnusablePrivateKey, match=message):
        parse_private_key(content)


def test_a_1024_bit_key_signs_with_a_warning() -> None:
    key = parse_private_key(pem(rsa.generate_private_key(65537, 1024)))
    assert key.bits == 1024
    assert "weak" in key.warning


def test_a_key_is_not_printed() -> None:
    assert "object at" not in repr(RSA)


@given(st.binary(max_size=100))
def test_no_file_content_can_raise_anything_else(content: bytes) -> None:
    for octets in (content, b"-----BEGIN PRIVATE KEY-----\n" + content, base64.b64encode(content)):
        with contextlib.suppress(UnusablePrivateKey):
            parse_private_key(octets)
