"""Authentication-Results: our own can't be forged from inside, and forged ones are found."""

from __future__ import annotations

import re

import authres
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from antispam.protocols.authentication_results import (
    auth_result,
    check_authserv_id,
    claims,
    dkim_result,
    dkim_results,
    field_value,
    forged,
    iprev_result,
    spf_result,
)
from antispam.protocols.dkim import DkimResult, SignatureResult
from support.effort import in_proportion

US = "mx.example.com"
PASS = SignatureResult(
    result=DkimResult.PASS,
    domain="example.org",
    selector="s1",
    algorithm="rsa-sha256",
    identity="joe@example.org",
    prefix="/gCrin+c",
)


def read(value: str) -> authres.core.AuthenticationResultsHeader:
    return authres.all_features().parse_value(re.sub(r"\n\t", " ", value))


def test_without_results_the_field_says_none() -> None:
    assert field_value(US, []) == "mx.example.com;\n\tnone"


def test_all_methods_in_the_form_that_readers_parse() -> None:
    value = field_value(
        US,
        [
            spf_result("pass", mailfrom="joe@example.org"),
            spf_result("none", helo="mail.example.org"),
            *dkim_results([PASS]),
            iprev_result("pass", "2001:db8::1"),
            auth_result("pass", "joe"),
        ],
    )
    assert value.split("\n\t") == [
        "mx.example.com;",
        "spf=pass smtp.mailfrom=joe@example.org;",
        "spf=none smtp.helo=mail.example.org;",
        "dkim=pass header.d=example.org header.i=joe@example.org header.s=s1",
        'header.a=rsa-sha256 header.b="/gCrin+c";',
        'iprev=pass policy.iprev="2001:db8::1";',
        "auth=pass smtp.auth=joe",
    ]
    assert [(r.method, r.result) for r in read(value).results] == [
        ("spf", "pass"),
        ("spf", "none"),
        ("dkim", "pass"),
        ("iprev", "pass"),
        ("auth", "pass"),
    ]


@pytest.mark.parametrize(
    ("clause", "expected"),
    [
        (spf_result("pass", mailfrom="jürgen@bücher.example"), "spf=pass smtp.mailfrom=xn--bcher-kva.example"),
        (spf_result("pass", mailfrom="ann@bücher.example"), "spf=pass smtp.mailfrom=ann@xn--bcher-kva.example"),
        (spf_result("none", helo="bücher.example"), "spf=none smtp.helo=xn--bcher-kva.example"),
        (auth_result("pass", "jürgen"), "auth=pass"),
    ],
)
def test_an_international_name_is_written_in_a_labels_or_left_out(clause: object, expected: str) -> None:
    assert str(clause) == expected


def test_a_message_without_signatures_gets_dkim_none() -> None:
    assert field_value(US, dkim_results([])) == "mx.example.com;\n\tdkim=none"


def test_a_reason_is_quoted() -> None:
    altered = SignatureResult(result=DkimResult.FAIL, reason="body altered after signing", domain="example.org")
    assert str(dkim_result(altered)) == 'dkim=fail reason="body altered after signing" header.d=example.org'


@pytest.mark.parametrize(
    ("sender", "written"),
    [
        ("joe@example.org", "joe@example.org"),
        ("o'neil+tag=x@example.org", "o'neil+tag=x@example.org"),
        ("example.org", "example.org"),
        ("a b@example.org", '"a b@example.org"'),
        ('"a;b"@example.org', '"\\"a;b\\"@example.org"'),
        ("x; dkim=pass header.d=bank.example@y", '"x; dkim=pass header.d=bank.example@y"'),
        ("a@b\r\n\tdkim=pass", '"a@b???dkim=pass"'),
        ("a(b@c", '"a(b@c"'),
        ("jo\0@example.org", "jo?@example.org"),
        ("jö@example.org\0", '"example.org?"'),
        ("\\@x y", '"\\\\@x y"'),
    ],
)
def test_a_sender_can_never_write_a_result(sender: str, written: str) -> None:
    """CVE-2020-12272: brackets, quotes, separators and line ends in MAIL FROM."""
    assert str(spf_result("fail", mailfrom=sender)) == f"spf=fail smtp.mailfrom={written}"


hostile = st.text(alphabet=st.sampled_from(' \t\r\n\0;()"\\=@.<>a1,:/é'), max_size=60)


@given(hostile, hostile, hostile)
def test_whatever_is_put_in_the_results_stay_what_they_were(sender: str, helo: str, login: str) -> None:
    """Outside of quoted strings the field holds nothing but our own clauses, and each line end is a fold."""
    signature = SignatureResult(result=DkimResult.FAIL, reason=sender, domain=helo, identity=login)
    value = field_value(
        US,
        [
            spf_result("fail", mailfrom=sender),
            spf_result("fail", helo=helo),
            dkim_result(signature),
            auth_result("fail", login),
        ],
    )
    assert value.isascii()
    assert re.fullmatch(r"[\x20-\x7e\n\t]*", value)
    assert all(re.match(r"\n\t\S", value[m.start() :]) for m in re.finditer("\n", value))
    bare = re.sub(r'"(?:[^"\\]|\\.)*"', "Q", value.replace("\n\t", " "))
    assert '"' not in bare
    assert [clause.split()[0].split("=")[0] for clause in bare.split(";")[1:]] == ["spf", "spf", "dkim", "auth"]
    assert bare.count("pass") == 0


def test_a_word_that_is_no_result_is_a_defect() -> None:
    with pytest.raises(ValueError, match="is not a result"):
        spf_result("pass; dkim=pass")


@pytest.mark.parametrize("name", ["", "mx example", "mx;x", "mx\n", "(mx)", "mx/1"])
def test_an_authserv_id_is_a_token(name: str) -> None:
    with pytest.raises(ValueError, match=r"mx\.example\.com"):
        check_authserv_id(name)


@pytest.mark.parametrize(
    "value",
    [
        b" mx.example.com; spf=pass",
        b"mx.example.com;spf=pass",
        b" MX.Example.COM; none",
        b" mx.example.com 1; dkim=pass",
        b" mx.example.com 2; dkim=pass",
        b" mx.example.com (really) 1 (yes); dkim=pass",
        b" (comment (nested \\) one)) mx.example.com; dkim=pass",
        b"\n\t(a;b)\n mx.example.com\n\t; dkim=pass",
        b'  "mx.example.com"; dkim=pass',
        b' "m\\x.example.com" ; dkim=pass',
        b" mx.example.com.; dkim=pass",
        b" mx.example.com",
        b" mx.exam\0ple.com; dkim=pass",
        b" mx.example.com dkim=pass",
        b" mx.example.com/1; dkim=pass",
        b" mx.example.com, dkim=pass",
        b" <mx.example.com>; dkim=pass",
        b" ; mx.example.com; dkim=pass",
        b" (open mx.example.com; dkim=pass",
        b" (a; mx.example.com; dkim=pass",
        b' "mx.example.com; dkim=pass',
        b" mx . example . com; dkim=pass",
        b" =?utf-8?q?mx.example.com?=; dkim=pass",
        b" =?utf-8?b?bXguZXhhbXBsZS5jb20=?=; dkim=pass",
        b" mx.exam\xffple.com; dkim=pass",
        " mx.exam\u200bple.com; dkim=pass".encode(),
        b" i=1; mx.example.com; dkim=pass",
    ],
)
def test_a_field_under_our_name_is_found_in_every_disguise(value: bytes) -> None:
    assert claims(value, {US})


@pytest.mark.parametrize(
    "value",
    [
        b" mx.example.org; spf=pass smtp.helo=mx.example.com",
        b" example.com; spf=pass",
        b" fmx.example.com; spf=pass",
        b" mx.example.com.evil.org; spf=pass",
        b" mx.example.community; spf=pass",
        b" other (mx.example.com); spf=pass",
        b" spf=pass (sender IP is 192.0.2.1) smtp.mailfrom=example.org; dkim=none",
        b" =?x",
        b"",
        b" ;",
    ],
)
def test_a_foreign_field_stays(value: bytes) -> None:
    assert claims(value, {US}) is (value == b" =?x")


def test_an_international_name_is_ours_in_both_spellings() -> None:
    assert claims("bücher.example; spf=pass".encode(), {"xn--bcher-kva.example"})
    assert claims(b"xn--bcher-kva.example; spf=pass", {"bücher.example"})


def test_forged_fields_come_last_first_and_foreign_ones_not_at_all() -> None:
    headers = [
        (b"Authentication-Results", b" mx.example.com; spf=pass"),
        (b"Authentication-Results", b" other.example; spf=pass"),
        (b"ARC-Authentication-Results", b" i=1; mx.example.com; spf=pass"),
        (b"AUTHENTICATION-results ", b" relay.example.com; none"),
        (b"Subject", b" mx.example.com; spf=pass"),
        (b"authentication-results", b" mx.example.com; dkim=pass"),
    ]
    found = forged(headers, [US, "relay.example.com", ""])
    assert [headers.index(header) for header in found] == [5, 3, 0]


@given(st.binary(max_size=200))
@example(b"(" * 200)
def test_no_octets_can_raise(value: bytes) -> None:
    claims(value, {US})


pieces = st.lists(
    st.sampled_from(
        [US, US.upper(), "other.example", " ", "\t", "(", ")", "\\", '"', "1", ";", " spf=pass", " none", "a"]
    ),
    max_size=8,
).map("".join)


@given(pieces)
def test_whatever_authres_reads_as_ours_is_found(text: str) -> None:
    try:
        header = authres.all_features().parse_value(text + "; spf=pass")
    except authres.AuthResError:
        return
    if header.authserv_id == US:
        assert claims((text + "; spf=pass").encode(), {US})


@pytest.mark.parametrize(
    ("start", "unit"), [(b"", b"("), (b"", b"(a)"), (b'"', b"\\"), (b"", b" "), (b"", b"mx.example.com")]
)
def test_hostile_fields_take_linear_time(start: bytes, unit: bytes) -> None:
    assert in_proportion(lambda value: claims(value, {US}), lambda count: start + unit * count, 500_000 // len(unit))
