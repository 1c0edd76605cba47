"""A message as its reader sees it: what checks test that judge by content, whatever mail brings."""

from __future__ import annotations

import base64
import hashlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from _mimetree import TreeLimits, parse
from antispam.mail.message import Body, Header, Message, as_octets
from antispam.mail.shown import Shown, plain_fields, shown
from dspam import headers
from dspam.reading import read
from support.checking import message
from support.effort import in_proportion

FILE = b"%PDF-1.7 " + b"x" * 500


def seen(*fields, body=b""):
    return Shown(message(*fields, body=body))


def test_a_message_is_read_once():
    it = message("Subject: x")
    assert shown(it) is shown(it)


def test_text_is_one_line_with_the_subject_first():
    assert seen("Subject: Hello\n there", body=b"How  are\r\nyou?").text() == ("Hello there How are you?",)


def test_a_disguised_word_is_read_both_ways():
    assert seen("Subject: buy v1agra now").text() == ("buy v1agra now", "buy viagra now")


def test_quoted_lines_are_no_text_of_the_author():
    it = seen("Subject: Re: x", body=b"No.\r\n> Do you want it?\r\n>> really\r\nBye\r\n")
    assert it.unquoted == "Re: x No. Bye"
    assert it.text()[-1] == "Re: x No. > Do you want it? >> really Bye"


def test_links_are_told_each_once_wherever_they_stand():
    html = b'<a href="http://a.example/1">x</a><img src=http://b.example/2><a href="http://a.example/1">y</a>'
    assert seen("Content-Type: text/html", body=html).links() == ("http://a.example/1", "http://b.example/2")
    assert seen(body=b"see http://c.example/3 and www.d.example").links() == ("http://c.example/3", "www.d.example")


@pytest.mark.parametrize("encoding", ["7bit", "base64"])
def test_an_attachment_has_the_same_digest_in_every_transfer_encoding(encoding):
    octets = FILE if encoding == "7bit" else base64.encodebytes(FILE)
    it = seen("Content-Type: application/pdf; name=a.pdf", f"Content-Transfer-Encoding: {encoding}", body=octets)
    assert it.digests() == (hashlib.sha256(FILE).digest(),)
    assert it.attachments() == ("a.pdf",)


def test_text_and_tiny_files_have_no_digest():
    assert seen("Content-Type: text/plain", body=FILE).digests() == ()
    assert seen("Content-Type: image/gif", body=b"GIF89a").digests() == ()


_TYPES = st.sampled_from(
    [
        "text/plain",
        "text/html; charset=utf-16",
        "text/html; charset=utf-7",
        "multipart/mixed; boundary=b",
        "message/rfc822",
        "application/pdf; name*=utf-16''%d8%00",
        'image/png; name="\xff\xfe"',
        "text/calendar",
    ]
)


@settings(max_examples=150)
@given(_TYPES, st.sampled_from(["7bit", "base64", "quoted-printable", "x-uuencode"]), st.binary(max_size=2000))
def test_whatever_mail_brings_can_be_read_and_written_again(kind, encoding, body):
    fields = (
        f"Content-Type: {kind}".encode("latin-1"),
        f"Content-Transfer-Encoding: {encoding}",
        b"Subject: " + body[:50],
    )
    it = seen(*fields, body=b"--b\r\n" + body + b"\r\n--b--\r\n")
    for text in (*it.text(), it.unquoted, *it.links(), *it.attachments(), *it.header("Subject")):
        text.encode()
    it.digests()


@pytest.mark.parametrize(
    "piece", [b"<a href=x>", b"a1 ", b"> ", b"--b\r\n", b"\xd0\xb0b ", b"<p>p\xd0\xb0ypal</p>\r\n> "]
)
def test_a_large_message_takes_bounded_time(piece):
    def read(body):
        it = seen("Content-Type: text/html; charset=utf-8", body=body)
        made = it.text(), it.unquoted, it.links(), it.attachments(), it.digests()
        assert len(made[1]) < 100_000

    assert in_proportion(read, lambda count: piece * count, 1_000_000 // len(piece))


NAMES = st.sampled_from([b"Subject", b"From", b"Content-Type", b"X y", b"From ", b"X:y", b"--b"]) | st.binary(
    max_size=4
)
VALUES = st.sampled_from(
    [
        *(
            b" a <a@example.org>",
            b" text/html; charset=utf-8",
            b" multipart/mixed;\n boundary=b",
            b" a\n\tb\n",
            b" a\r\n b",
        ),
        *(b" a\nb", b"a\r", b"", b" \n", b"message/rfc822"),
    ]
) | st.binary(max_size=6)
BODIES = st.sampled_from(
    [b"", b"text\r\n", b"--b\r\nContent-Type: text/html\r\n\r\n<p>x</p>\r\n--b--\r\n", b"From: b\r\n\r\nx"]
)


@given(st.lists(st.builds(Header, NAMES, VALUES), max_size=4), BODIES | st.binary(max_size=20))
def test_a_header_that_was_taken_apart_is_read_as_its_octets_are(headers, body):
    it = Message("r", "", 0.0, Body(1000), headers=headers)
    it.body.write(body)
    found, expected = shown(it).document, read(it.raw())
    assert found.header == expected.header
    for one in (found, expected):
        one.header_read = None
    assert found == expected


def test_a_usual_header_is_not_taken_apart_twice(monkeypatch):
    it = Message("r", "", 0.0, Body(1000), headers=[Header(b"Subject", b" a\n b")])
    monkeypatch.setattr(Message, "raw", lambda self: pytest.fail("asked for all octets"))
    assert shown(it).document.written == [b"a b"]


def test_facts_of_a_header_are_not_collected_for_who_only_reads_what_people_see(monkeypatch):
    it = Message(
        "r", "", 0.0, Body(1000), headers=[Header(b"Subject", b" a"), Header(b"From", b" Ann <ann@a.example>")]
    )
    for name in ("HeaderFacts", "facts_of"):
        monkeypatch.setattr(headers, name, lambda fields: pytest.fail("collected facts"))
    document = shown(it).document
    assert (document.texts, document.author) == ([(b"text", b"a"), (b"from", b"Ann ")], b"a.example")


_NAMES = ("Subject", "X-1", "!", "A" * 100, "A" * 101, "", "a b", "a:b", "Su\nbject", "To\n", "\xfc")
_VALUES = ("", " a", " a\n b", " a\r\n\tb", " a\nb", "\n", " a\rb", " \xfc\x00")


@given(st.lists(st.tuples(st.sampled_from(_NAMES), st.sampled_from(_VALUES)), max_size=5))
def test_fields_taken_as_they_came_are_those_that_parsing_would_find(given_fields: list[tuple[str, str]]) -> None:
    fields = [Header(name.encode("latin-1"), value.encode("latin-1")) for name, value in given_fields]
    taken = plain_fields(fields)
    if taken is not None:
        parsed = parse(as_octets(fields, b"text"), TreeLimits()).fields
        assert [(one.name, one.value) for one in taken] == [(one.name, one.value) for one in parsed]


@pytest.mark.parametrize("name", ["A" * 101, "", "a b", "a:b", "Su\nbject", "To\n", "\xfc"])
def test_an_odd_name_of_a_field_has_the_header_parsed(name: str) -> None:
    usual = Header(b"To", b" a")
    assert plain_fields([usual, usual]) is not None
    assert plain_fields([usual, Header(name.encode("latin-1"), b" a"), usual]) is None
