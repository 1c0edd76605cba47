"""An address field gives every mailbox that some reader could take, whatever its syntax."""

from __future__ import annotations

import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from antispam.protocols import address_fields
from antispam.protocols.address_fields import MAX_FIELD, has_address, mailboxes
from support.effort import in_proportion

ADMIN = "admin@legit.example"
SPEAKER = b"=?utf-8?b?YWRtaW5AbGVnaXQuZXhhbXBsZQ==?="  # ADMIN


def found(value: bytes) -> set[str]:
    return {str(mailbox) for mailbox in mailboxes(value)}


@pytest.mark.parametrize(
    "value",
    [
        b"admin@legit.example",
        b"Admin <admin@legit.example>",
        # obsolete syntax and CFWS (RFC 5322 section 4.4)
        b"<admin@legit. example>",
        b"<admin@legit.\texample>",
        b"<admin@legit\x0b.example>",
        b"<admin@legit.\n example>",
        b"<admin @ legit . example>",
        b"admin@ legit.example",
        b"Admin <admin@(x)legit.(y (z))example>",
        b"<@evil.example,@other.example:admin@legit.example>",
        b"<admin@legit.example.>",
        b"<<admin@legit.example>>",
        b"<x@evil.example><admin@legit.example>",
        b"<admin@legit.example, x@evil.example>",
        b"<admin@legit.example",
        b"Us: x@evil.example, admin@legit.example;",
        # what sendmail makes of blanks and quotes inside an address
        b"<admin@legit example>",
        b"admin@legit example",
        b"<admin@legit.exam ple>",
        b'admin@"legit.example"',
        b'admin@legit"."example',
        b"admin@legit\\.example",
        b'"admin"@legit.example',
        b"ad\\min@legit.example",
        # no @
        b"legit.example!admin",
        b"<admin%legit.example>",
        b"Admin <legit . example ! admin>",
        b'"admin@legit.example"',
        b'<"admin@legit.example">',
        b"(admin@legit.example)",
        b'"Admin (admin@legit.example)" <>',
        # more than one @
        b"admin@legit.example@evil.example",
        b"a@evil.example@x.example@legit.example, admin@legit.example",
        b'"admin@legit.example"@evil.example',
        # encoded words
        SPEAKER,
        SPEAKER + b", <x@evil.example>",
        b"=?utf-8?q?admin?=@legit.example",
        b"<=?utf-8?q?admin=40legit.example?=>",
        b"=?utf-8?q?admin@legit.example=2C?= <x@evil.example>",
        b"=?utf-8?q?=3Cadmin@legit.example=3E?= <x@evil.example>",
        b'"=?utf-8?q?=22_=3Cadmin@legit.example=3E?=" <x@evil.example>',
        SPEAKER + b"=?utf-8?Q?=00?=x@evil.example",
        b"=?utf-8?Q?x@evil.example=00?=admin@legit.example",
        # control characters
        b"admin@legit.example\0@evil.example",
        b"admin@leg\x01it.example",
        b"<admin@legit.example\x7f>",
        b"<\x01admin@legit.example>",
        # what no domain can have ends it
        b'<admin@legit.example"x">',
        b"<admin@legit.example]x>",
        b"admin@legit.example?x",
        b"<admin@legit.example\xff>",
        # out of balance
        b"Admin <admin@(x)legit.(y (z))example(,))x>",
        b"(admin@legit. example",
        b'"admin@legit.example',
        b"admin@legit.example)x@evil.example>",
        b"a@x.example\\,admin@legit.example",
        b'"a\\" <admin@legit.example>" <x@evil.example>',
        b'x@evil.example, "admin@legit.example',
    ],
)
def test_the_author_is_found(value: bytes) -> None:
    assert ADMIN in found(value)


@pytest.mark.parametrize(
    "value",
    [
        b'"admin@legit.example" <x@evil.example>',
        b"=?utf-8?q?admin=40legit.example_via_list?= <x@evil.example>",
        b'"\\"admin@legit.example\\" via list" <x@evil.example>',
        b"<x@evil.example> (admin@legit.example)",
        b"x@evil.example (admin@legit.example)",
        b"<@legit.example:x@evil.example>",
        b"Wow! Save 50%off.now <x@evil.example>",
        SPEAKER + b" <x@evil.example>",
    ],
)
def test_a_name_or_comment_beside_an_address_is_no_author(value: bytes) -> None:
    assert found(value) == {"x@evil.example"}


@pytest.mark.parametrize(
    "value", [b"", b"root", b"undisclosed:;", b"Wow!", b"100%", b"@", b"@@", b"@legit.example", b"admin@"]
)
def test_no_address(value: bytes) -> None:
    assert found(value) == set()


def test_an_overlong_domain_is_not_cut_to_one_that_nobody_reads() -> None:
    assert found(b"<admin@" + b"legit.example." * 30 + b"com>") == {"admin@" + "legit.example." * 30 + "com"}


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (b"<admin@ legit.example>", True),
        (b"legit.example!admin", True),
        (SPEAKER, False),
        (b"(admin@legit.example)", False),
        (b"root", False),
    ],
)
def test_only_what_is_no_disguise_counts_as_an_address(value: bytes, expected: bool) -> None:
    assert has_address(value) is expected


@pytest.mark.parametrize(
    ("left", "right"),
    [
        (b"a@b.c,", b""),
        (b"<", b""),
        (b"@", b""),
        (b"@.", b""),
        (b'"@', b""),
        (b'"\\"', b""),
        (b"(", b""),
        (b"a (", b") "),
        (b"a@ ", b""),
        (b" .@", b""),
        (b"a \0@b", b""),
        (b"=?utf-8?q?=22@,?=", b""),
        (b"\\@", b""),
        (b"[", b"]"),
        (b"a!", b""),
    ],
)
@pytest.mark.parametrize("end", [b"", b"a@b.c"])
def test_a_field_is_read_in_linear_time(left: bytes, right: bytes, end: bytes) -> None:
    count = (MAX_FIELD - len(end)) // len(left + right)
    assert in_proportion(mailboxes, lambda count: left * count + right * count + end, count)


@pytest.mark.parametrize(
    "piece", ['a@\u00fc.x \\\x01"', "\u00fc\x01@ \\", '"\u00fc@"\x01', '("@\u00fc', "@\x01", "a@b.c,"]
)
def test_work_grows_with_a_field_and_is_bounded_for_each_character(piece: str) -> None:
    value = (piece * 1_000)[:1_000]
    shorter, whole = _work(value[:500]), _work(value)
    assert whole < 2.2 * shorter
    assert whole < 300 * len(value)


def test_what_many_views_have_is_converted_once(monkeypatch: pytest.MonkeyPatch) -> None:
    converted: list[str] = []

    def convert(domain: str) -> str:
        converted.append(domain)
        return domain

    monkeypatch.setattr(address_fields, "normalize_domain", convert)
    mailboxes('a@\u00fc.x \\\x01"' * 500)
    assert len(converted) < 50


def _work(value: str) -> int:
    """How many functions are called, of Python and in C."""
    events: list[str] = []
    sys.setprofile(lambda frame, event, argument: events.append(event))
    try:
        mailboxes(value)
    finally:
        sys.setprofile(None)
    return events.count("call") + events.count("c_call")


_PIECES = st.lists(
    st.sampled_from([*'"\\()<>@,;:.!% \t\0[]', "admin", "legit.example", "=?utf-8?q?", "=40", "?=", "ß", "\udcff"]),
    max_size=40,
)


@given(_PIECES.map("".join) | st.text(max_size=200))
def test_hostile_fields_give_mailboxes_that_can_be_written(value: str) -> None:
    for mailbox in mailboxes(value.encode("utf-8", "surrogatepass")):
        assert mailbox.domain
        str(mailbox).encode("utf-8")


@given(_PIECES.map("".join))
def test_an_author_beside_other_elements_of_a_list_is_always_found(value: str) -> None:
    assert ADMIN in found(value.encode("utf-8", "surrogatepass") + b",\0, <admin@legit.example>")
