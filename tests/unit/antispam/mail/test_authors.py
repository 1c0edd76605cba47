"""Every address that a reader could take for the author is found."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from antispam.mail.authors import MAX_AUTHORS, authors, every_author, is_overlong
from antispam.mail.findings import Findings
from antispam.mail.message import Body, Header, Message
from support.effort import in_proportion


def from_(*values: bytes) -> list[str]:
    message = Message("m", "", 0.0, Body(1), findings=Findings())
    message.headers.extend(Header(b"From", value) for value in values)
    return [str(mailbox) for mailbox in authors(message)]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (b" joe@example.org", ["joe@example.org"]),
        (b" Joe <joe@Example.ORG>", ["joe@example.org"]),
        (b' "Joe, (the) <man>" <joe@example.org> (at home: x)', ["joe@example.org"]),
        (b" joe@example.org,\n ann@example.net", ["joe@example.org", "ann@example.net"]),
        (b" Us: joe@example.org, ann@example.net;", ["joe@example.org", "ann@example.net"]),
        (b" a@evil.example, b@bank.example", ["a@evil.example", "b@bank.example"]),
        (b" admin@bank.example,<x@evil.example>", ["admin@bank.example", "x@evil.example"]),
        (b" admin@bank.example <x@evil.example>", ["admin@bank.example", "x@evil.example"]),
        (
            b" alice@example.org)bob@example.com>",
            ["alice@example.org", "bob@example.com", "alice@example.orgbob@example.com", "alice@example.orgbob"],
        ),
        (b" <@route.example,@other.example:joe@example.org>", ["joe@example.org"]),
        (b' "a b"@example.org', ["a b@example.org"]),
        (b' "x@bank.example" <joe@example.org>', ["joe@example.org"]),
        (b" (open joe@example.org", ["joe@example.org"]),
        (b' "open joe@example.org', ["joe@example.org"]),
        (b" \xff@example.org", ["\\xff@example.org"]),
        (b" a@bank.example@evil.example", ["a@bank.example@evil.example", "a@bank.example"]),
        (b" <a)b@x.example,(c@y.example>", ["b@x.example", "c@y.example", "ab@x.example", "a.b@x.example"]),
        (b" undisclosed", []),
        (b"", []),
    ],
)
def test_authors(value: bytes, expected: list[str]) -> None:
    assert from_(value) == expected


def test_all_from_fields_count_whatever_their_spelling() -> None:
    message = Message("m", "", 0.0, Body(1), findings=Findings())
    message.headers += [
        Header(b"From", b" a@x.example"),
        Header(b"fROM ", b" b@y.example"),
        Header(b"To", b" c@z.example"),
    ]
    assert [str(mailbox) for mailbox in authors(message)] == ["a@x.example", "b@y.example"]


def test_a_field_that_comes_later_counts() -> None:
    """They are read once for all checks, but not before all are here."""
    message = Message("m", "", 0.0, Body(1), headers=[Header(b"From", b" a@x.example")], findings=Findings())
    assert [str(mailbox) for mailbox in authors(message)] == ["a@x.example"]
    message.headers.append(Header(b"From", b" b@y.example"))
    assert [str(mailbox) for mailbox in authors(message)] == ["a@x.example", "b@y.example"]


def test_thousands_of_addresses_are_capped() -> None:
    def many(count: int) -> bytes:
        return b",".join(b"a%d@x%d.example" % (n, n) for n in range(count))

    assert len(from_(many(5000))) == MAX_AUTHORS
    assert in_proportion(from_, many, 5000)


def test_a_decoy_hides_no_author_from_those_that_ask_for_all() -> None:
    message = Message("m", "", 0.0, Body(1), findings=Findings())
    message.headers.append(
        Header(b"From", b" " + b",".join(b"a%d@x.ex" % n for n in range(80)) + b",admin@legit.example")
    )
    assert str(every_author(message)[-1]) == "admin@legit.example"
    assert not is_overlong(message)
    message.headers.append(Header(b"From", b" " * 2_400 + b"a@x.example"))
    assert is_overlong(message)


@given(st.binary(max_size=100))
def test_no_octets_can_raise(value: bytes) -> None:
    from_(value)
