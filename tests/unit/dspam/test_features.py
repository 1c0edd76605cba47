"""Features: what a reader would see becomes keys; anything at all is read in bounded time."""

from __future__ import annotations

import base64
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dspam import features, styles
from dspam import html as markup
from dspam.features import extract, names
from support.effort import in_proportion

HEAD = b"From: Ann <ann@example.org>\nTo: bob@example.net\nSubject: Hello\nMIME-Version: 1.0\n"


def found(message: bytes) -> set[str]:
    return set(names(message).values())


def html(body: bytes) -> set[str]:
    return found(HEAD + b"Content-Type: text/html; charset=utf-8\n\n" + body)


def test_keys_are_ascending_distinct_and_fit_a_signed_column() -> None:
    keys = extract(HEAD + b"\nhello hello hello hello world")
    assert keys.dtype == np.int64
    assert (np.diff(keys) > 0).all()
    assert (keys >= 0).all()


def test_keys_stay_the_same_for_ever() -> None:
    """They are stored: another key for the same word would be a filter that forgot everything."""
    keyed = {name: key for key, name in names(b"Subject: x\n\nhello world").items()}
    assert keyed["text: hello"] == 7288257095099214961
    assert keyed["text: hello world"] == 185290307185472506
    assert keyed["header: has Subject"] == 692865557808943324


def test_names_cover_every_key() -> None:
    message = HEAD + b"Content-Type: text/html\n\n<p style='display:none'>x</p>Hi <a href=http://a.example/q>there</a>"
    assert set(names(message)) == set(extract(message).tolist())


@pytest.mark.parametrize(
    ("encoding", "body"),
    [
        (b"7bit", b"secret words"),
        (b"base64", base64.b64encode(b"secret words")),
        (b"quoted-printable", b"=73ecr=\net=20words"),
    ],
)
def test_transfer_encodings_are_undone(encoding: bytes, body: bytes) -> None:
    assert "text: secret words" in found(HEAD + b"Content-Transfer-Encoding: " + encoding + b"\n\n" + body)


def test_charsets_are_undone() -> None:
    as_utf8 = found(HEAD + b"Content-Type: text/plain; charset=utf-8\n\n" + "größe привет".encode())
    as_latin = found(HEAD + b"Content-Type: text/plain; charset=iso-8859-1\n\n" + "größe".encode("latin-1"))
    as_koi8 = found(HEAD + b"Content-Type: text/plain; charset=koi8-r\n\n" + "привет".encode("koi8-r"))
    assert "text: grösse" in as_utf8 & as_latin
    assert "text: привет" in as_utf8 & as_koi8


def test_encoded_words_of_a_subject_are_read_as_text() -> None:
    told = found(b"Subject: =?utf-8?B?" + base64.b64encode("Größe zählt".encode()) + b"?=\n\n")
    assert {"text: grösse", "text: zählt", "text: grosse zahlt", "header: encoded subject"} <= told


def test_words_are_read_without_case_and_digits() -> None:
    assert "text: free $999" in found(HEAD + b"\nFREE $123")


def test_every_text_part_is_read_and_others_are_named() -> None:
    message = (
        HEAD
        + b"Content-Type: multipart/mixed; boundary=b\n\n--b\n\nplain part\n--b\nContent-Type: text/html\n\n<b>rich</b> part\n"
        b"--b\nContent-Type: application/zip; name=x.zip\n\nPK\n--b--\n"
    )
    told = found(message)
    assert {
        "text: plain part",
        "text: rich part",
        "structure: attached application/zip",
        "structure: extension .zip",
    } <= told


def test_a_word_cut_by_tags_or_comments_is_read_as_one() -> None:
    assert "text: viagra now" in html(b"Vi<!-- x -->ag<b></b>ra&nbsp;<br>now")


@pytest.mark.parametrize(
    "hidden",
    [
        b"<div style='display: none'>innocent</div>",
        b"<span style='font-size:0px'>innocent</span>",
        b"<font color=#FFFFFF>innocent</font>",
        b"<body bgcolor=black text=white><font color='#000000'>innocent</font>",
        b"<div style='visibility:hidden'><div>a</div>innocent</div>",
        b"<style>innocent</style>",
    ],
)
def test_what_a_reader_cannot_see_counts_as_unseen(hidden: bytes) -> None:
    told = html(hidden + b" visible words")
    assert "unseen: innocent" in told
    assert "text: innocent" not in told
    assert "text: visible words" in told


def test_link_targets_are_features_apart_from_what_they_are_called() -> None:
    told = html(b"<a href='http://user@evil.phish.example:8080/login'>bank.example</a>")
    assert {"structure: link evil.phish.example", "structure: link phish.example", "structure: link with user"} <= told
    assert {"structure: link port 8080", "link: login"} <= told


def test_links_to_the_author_are_told_from_links_to_others() -> None:
    assert "structure: links to author 1" in found(HEAD + b"\nsee http://www.example.org/x")
    assert "structure: links to author 0" in found(HEAD + b"\nsee http://www.example.com/x")


def test_dates_queue_ids_and_other_filters_leave_no_trace() -> None:
    """A classifier that leans on them shines on old mail, where each collection has its own, and fails tomorrow."""
    trace = b"Received: from a.example (a.example [192.0.2.1]) by b.example with ESMTP id %s; %s\n"
    one = (
        trace % (b"AB12", b"Mon, 2 Sep 2002 10:00:00 +0100")
        + b"Date: Mon, 2 Sep 2002 10:00:00 +0100\nX-Spam-Flag: YES\n"
    )
    two = (
        trace % (b"ZZ99", b"Tue, 3 Jan 2006 11:11:11 +0100")
        + b"Date: Tue, 3 Jan 2006 11:11:11 +0100\nX-DSPAM-Result: Spam\n"
    )
    assert extract(one + HEAD + b"\nx").tolist() == extract(two + HEAD + b"\nx").tolist()


def test_a_sending_host_that_is_not_what_it_says_is_a_feature() -> None:
    honest = b"Received: from mail.a.example (mail.a.example [192.0.2.1]) by mx.example; x\n"
    forged = b"Received: from mail.a.example (dsl-7-7.b.example [192.0.2.9]) by mx.example; x\n"
    assert "header: origin hello same" in found(honest + HEAD + b"\n")
    assert {"header: origin hello other", "header: origin owner 0", "header: origin name a-9-9.a.a"} <= found(
        forged + HEAD + b"\n"
    )


def test_lines_ending_in_crlf_say_the_same() -> None:
    message = HEAD + b"Content-Type: text/plain\n\nhello world\nsecond line\n"
    assert set(extract(message).tolist()) ^ set(extract(message.replace(b"\n", b"\r\n")).tolist()) == set()


@given(st.binary(max_size=3000))
def test_anything_at_all_is_read(message: bytes) -> None:
    assert set(names(message)) == set(extract(message).tolist())


_WRITTEN = """< > <!-- --> <a#href= style='display:none' &#x41; & " =?utf-8?B? ?= --b http:// .. From: Subject: ; @ word#
Content-Type:#multipart/mixed;#boundary=b~ Content-Type:#text/html;#charset=utf-7~ Received:#from#a#(b#[1.2.3.4])
Content-Transfer-Encoding:#base64~ ÿþ \0 ~"""
_PIECES = st.sampled_from([piece.replace("#", " ").replace("~", "\n").encode("latin-1") for piece in _WRITTEN.split()])


@settings(max_examples=200)
@given(st.lists(_PIECES, max_size=60).map(b"".join))
def test_broken_mime_and_html_are_read(message: bytes) -> None:
    assert set(names(message)) == set(extract(message).tolist())


def test_a_character_reference_of_any_length_is_read() -> None:
    assert "text: some words" in html(b"<p>some words &#" + b"9" * 5000 + b";</p>")


@pytest.mark.parametrize(
    "bulk",
    [
        b"<",
        b"<a ",
        b"<!--",
        b"<a href='http://x.example/'>",
        b"<div style='display:none'>",
        b"word ",
        b"x",
        b"&amp;",
        b"http://a.example ",
        b"\xf0\x9f",
    ],
)
@pytest.mark.parametrize(
    "place", [b"Subject: ", b"Received: ", b"From: ", b"Content-Type: text/html\n\n", b"Content-Type: text/plain\n\n"]
)
def test_size_is_bounded(place: bytes, bulk: bytes) -> None:
    """Two megabytes of the worst: few features, in linear time."""

    def few(message: bytes) -> None:
        assert len(extract(message)) < 20_000

    assert in_proportion(few, lambda count: place + bulk * count, 2_000_000 // len(bulk))


def _fields(count: int) -> bytes:
    return b"".join(b"X-%d: a@b%d.example\n" % (number, number) for number in range(count))


def _parts(count: int) -> bytes:
    part = b"--b\nContent-Type: text/html\n\n<a href=http://h%d.example/x>w%d</a>\n"
    return b"Content-Type: multipart/mixed; boundary=b\n\n" + b"".join(part % (n, n) for n in range(count))


@pytest.mark.parametrize(
    "make", [_parts, lambda count: _fields(count) + _parts(count)], ids=["parts", "fields and parts"]
)
def test_thousands_of_fields_and_parts_are_bounded(make: Callable[[int], bytes]) -> None:
    assert len(extract(make(20_000))) < 20_000
    assert in_proportion(extract, make, 20_000)


def test_kinds_tell_header_words_pairs_and_structure_apart() -> None:
    told = names(HEAD + b"\nhello world")
    kinds = {name: int(features.kinds_of(np.array([key]))[0]) for key, name in told.items()}
    assert kinds["header: has From"] == features.HEADER
    assert kinds["text: hello"] == features.WORD
    assert kinds["text: hello world"] == features.PAIR
    assert kinds["structure: parts text/plain"] == features.STRUCTURE


def test_what_was_read_before_changes_nothing() -> None:
    """Fields, tags and links that come again are remembered; the same message has the same keys whatever was remembered."""
    trace = (
        b"Received: from a.example (a.example [192.0.2.%d]) by b.example with ESMTP id A%d for <bob@example.net>; x\n"
    )
    mail = [
        trace % (number % 3, number) + HEAD + b"Content-Type: text/html\n\n"
        b"<td style='display:none'>x</td><a href='http://x%d.example/'>y</a>" % (number % 5)
        for number in range(30)
    ]
    first = [extract(message).tolist() for message in mail]
    again = [extract(message).tolist() for message in reversed(mail)]
    assert again[::-1] == first


def test_a_style_sheet_that_came_before_hides_the_same(monkeypatch):
    monkeypatch.setattr(styles, "_KNOWN", {})
    document = b"<style>.x{display:none}</style><style>.y{display:none}</style><p class=x>a<p class=y>b<p>c"
    found = [
        markup.read(document),
        markup.read(b"<style>.x{display:none}</style><p class=x>a<p class=y>b"),
        markup.read(document),
    ]
    assert [one.seen.split() for one in found] == [[b"c"], [b"b"], [b"c"]]
    assert list(styles._KNOWN) == [".x{display:none}"]


def test_few_style_sheets_are_remembered_and_no_large_ones(monkeypatch):
    monkeypatch.setattr(styles, "_KNOWN", {})
    for number in range(100):
        styles.Sheet().add(f".x{number}{{display:none}}")
        assert len(styles._KNOWN) <= 16
    before = list(styles._KNOWN)
    for large in (".x{display:none}" * 501, " " * 20_000):
        styles.Sheet().add(large)
    assert list(styles._KNOWN) == before
