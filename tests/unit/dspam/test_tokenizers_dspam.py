"""Tokens: what a word is, the four tokenizers, headings, decoding, and limits that hold against any input."""

from __future__ import annotations

import base64
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dspam.constants import DSZ_CHAIN, DSZ_OSB, DSZ_SBPH, DSZ_WORD
from dspam.tokenizers import (
    TOKENIZERS,
    Limits,
    Text,
    clean_html,
    osb,
    read_text,
    sbph,
    token_key,
    tokenize,
    words_of,
)
from support.effort import in_proportion

FOX = ["the", "quick", "brown", "fox", "jumped"]


def names(text: str, tokenizer: int) -> list[str]:
    return [token.name for token in tokenize(Text([], [text]), tokenizer).table.values()]


# --- words ---


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Free Viagra", ["Free", "Viagra"]),
        ("FREE!!! now!", ["FREE!", "now!"]),  # how loud says enough
        ("costs $9.99 or 10%", ["costs", "$9", "or", "10%"]),  # "99" is a number, and none of Graham's words
        ("don't", ["don't"]),
        ("a b I", []),
        ("2026 12345", []),
        ("x" * 41, []),
        ("http://pills.example/buy?id=a1", ["http", "pills", "example", "buy", "id", "a1"]),
        ("naïve Пример", ["naïve", "Пример"]),
    ],
)
def test_words_of_a_body(text: str, words: list[str]) -> None:
    assert list(words_of(text)) == words


def test_words_of_a_header_keep_hosts_and_addresses_whole() -> None:
    assert list(words_of("from mx-1.example.org (192.0.2.1)", in_header=True)) == [
        "from",
        "mx-1.example.org",
        "192.0.2.1",
    ]


# --- tokenizers ---


def test_word_gives_each_word_once_with_its_frequency() -> None:
    table = tokenize(Text([], ["free viagra free"]), DSZ_WORD).table
    assert {token.name: token.frequency for token in table.values()} == {"free": 2, "viagra": 1}


def test_chain_adds_pairs_of_neighbours() -> None:
    assert names("buy free viagra", DSZ_CHAIN) == ["buy", "free", "buy+free", "viagra", "free+viagra"]


def test_sbph_gives_sixteen_phrases_for_the_fifth_word() -> None:
    """Yerazunis: the newest word with each of the 2^4 choices of the four before it."""
    phrases = dict(sbph(FOX))
    assert len(phrases) == 16
    assert phrases["jumped"] == 1
    assert phrases["fox+jumped"] == 2
    assert phrases["the+quick+#+fox+jumped"] == 4  # the examples of dspam.conf
    assert phrases["the+#+#+fox+jumped"] == 3
    assert phrases["the+quick+brown+fox+jumped"] == 5


def test_osb_gives_the_four_pairs() -> None:
    assert list(osb(FOX)) == [
        ("the+#+#+#+jumped", 2),
        ("quick+#+#+jumped", 2),
        ("brown+#+jumped", 2),
        ("fox+jumped", 2),
    ]


def test_the_window_of_the_sparse_tokenizers_has_five_words() -> None:
    """6 words: SBPH 1 + 2 + 4 + 8 + 16 + 16 = 47 phrases, OSB 0 + 1 + 2 + 3 + 4 + 4 = 14 pairs, if all differ."""
    text = "the quick brown fox jumped over"
    assert len(names(text, DSZ_SBPH)) == 47
    assert len(names(text, DSZ_OSB)) == 14
    assert "the+#+#+#+#+over" not in names(text, DSZ_SBPH)


def test_phrases_do_not_reach_from_one_part_into_the_next() -> None:
    table = tokenize(Text([("Subject", "one two")], ["three four", "five six"]), DSZ_CHAIN).table
    phrases = {token.name for token in table.values() if token.words == 2}
    assert phrases == {"Subject*one+two", "three+four", "five+six"}


def test_an_unknown_tokenizer_is_refused() -> None:
    with pytest.raises(KeyError):
        tokenize(Text([], []), 9)


def test_streams_hold_words_and_phrases_in_the_order_of_the_message() -> None:
    tokens = tokenize(Text([], ["aa bb aa"]), DSZ_CHAIN)
    single, phrases = tokens.streams
    assert single == [token_key("aa"), token_key("bb"), token_key("aa")]
    assert phrases == [token_key("aa+bb"), token_key("bb+aa")]


# --- keys ---


def test_keys_are_positive_63_bit_numbers_and_never_change() -> None:
    assert token_key("Subject*free") == 3220121296623003560
    assert all(0 < token_key(f"w{n}") < 1 << 63 for n in range(1000))


# --- headings ---


def test_words_of_a_field_carry_its_name() -> None:
    table = tokenize(Text([("SUBJECT", "free")], ["free"]), DSZ_WORD).table
    assert {token.name for token in table.values()} == {"Subject*free", "free"}


def test_words_of_a_link_count_as_such_too() -> None:
    assert "Url*pills" in names("see http://pills.example/buy", DSZ_WORD)


def test_ignored_fields_and_those_of_filters_are_not_read() -> None:
    fields = [("X-DSPAM-Result", "Spam"), ("X-Spam-Flag", "YES"), ("Resent-To", "bob"), ("Subject", "hello")]
    table = tokenize(Text(fields, []), DSZ_WORD, {"resent-to"}).table
    assert [token.name for token in table.values()] == ["Subject*hello"]


def test_the_sender_is_the_whole_from_line() -> None:
    one = tokenize(Text([("From", "Bob  <bob@example.org>")], [])).sender
    same = tokenize(Text([("from", "Bob <bob@example.org>"), ("From", "Eve <eve@example.com>")], [])).sender
    other = tokenize(Text([("From", "Eve <bob@example.org>")], [])).sender
    assert one == same != other
    assert tokenize(Text([], [])).sender == 0


# --- decoding ---


def test_a_reader_sees_through_transfer_encodings_charsets_and_encoded_words() -> None:
    body = base64.b64encode("größe".encode("latin-1"))
    message = (
        b"Subject: =?utf-8?q?gr=C3=BC=C3=9Fe?=\nContent-Type: text/plain; charset=latin-1\n"
        b"Content-Transfer-Encoding: base64\n\n" + body
    )
    text = read_text(message)
    assert ("Subject", "grüße") in text.fields
    assert text.body == ["größe"]


def test_every_text_part_is_read_and_no_other() -> None:
    message = (
        b'Content-Type: multipart/mixed; boundary="b"\n\n--b\n\nplain\n--b\nContent-Type: text/html\n\n<b>html</b>\n'
        b"--b\nContent-Type: image/png\n\nimage\n--b--\n"
    )
    assert [part.strip() for part in read_text(message).body] == ["", "plain", "html"]


def test_the_text_before_the_first_part_is_read_as_libdspam_does() -> None:
    message = b'Content-Type: multipart/mixed; boundary="b"\n\nA multipart message.\n--b\n\nplain\n--b--\nepilogue\n'
    assert [part.strip() for part in read_text(message).body] == ["A multipart message.", "plain"]


INVOICE = (
    b'Subject: hello\nContent-Type: multipart/mixed; boundary="b"\n\n--b\n\nsee below\n--b\n'
    b'Content-Type: application/octet-stream\nContent-Disposition: attachment; filename="invoice.exe"\n\nMZ\n--b\n'
    b"Content-Type: message/rfc822\n\nFrom: Mallory <m@example.net>\nSubject: inside\n\ninner text\n--b--\n"
)


def test_headers_of_parts_and_attached_messages_are_read() -> None:
    table = tokenize(read_text(INVOICE), DSZ_WORD).table
    found = {token.name for token in table.values()}
    assert {"Content-Disposition*invoice.exe", "Subject*hello", "Subject*inside", "From*Mallory", "inner"} <= found


def test_who_wrote_an_attached_message_is_not_the_sender() -> None:
    """libdspam takes the last From line of all, also in the header of a part."""
    assert tokenize(read_text(INVOICE)).sender == 0
    sender = tokenize(read_text(b"From: Ann <ann@example.org>\n" + INVOICE)).sender
    assert sender == token_key("From*Ann <ann@example.org>")


def test_fields_of_parts_count_against_the_limit_of_fields() -> None:
    text = read_text(INVOICE, Limits(max_fields=4))
    assert (len(text.fields), len(text.inner)) == (2, 2)


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("vi<!-- x -->agra", "viagra"),
        ("a<!-- open", "a<!-- open"),
        ("&#118;iagra &amp; co", "viagra & co"),
        (f"a&#{'9' * 5000};b", "a\ufffdb"),
        ("<!-->b-->c", "b-->c"),  # HTML: an empty comment
        ("che<b></b>ap", "cheap"),
        ('che<span style="x">a</span>p', "cheap"),
        ("1 < 2", "1 < 2"),
        ("a<b", "a"),  # a tag that never ends
    ],
)
def test_html_comments_tags_and_references_hide_nothing(text: str, clean: str) -> None:
    assert clean_html(text) == clean


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("<p class=x>one</p><p>two<br>three</p>", ["one", "two", "three"]),
        ("<td>one</td><td>two</td>", ["one", "two"]),
        ("<STYLE>b{color:red}</STYLE>seen<script>var x='</b>'</script >too", ["seen", "too"]),
        ("<style>hidden", []),
        ('<font face="Arial" size=2>text</font>', ["text"]),
        ('<a href="http://pills.example/buy">click</a>', ["http", "pills", "example", "buy", "click"]),
        ("<img alt=picture src='https://t.example/p.gif'>", ["https", "example", "gif"]),
        ('<a href="mailto:bob@example.org">mail</a>', ["mail"]),
    ],
)
def test_of_html_the_text_and_the_addresses_of_links_are_words(text: str, words: list[str]) -> None:
    assert [word for word in words_of(clean_html(text)) if len(word) > 1] == words


def test_a_link_of_html_counts_as_one_too() -> None:
    message = b"Content-Type: text/html\n\n<a href=http://pills.example/buy>x</a>"
    assert "Url*pills" in {token.name for token in tokenize(read_text(message), DSZ_WORD).table.values()}


# --- limits ---


def test_words_tokens_text_and_fields_are_capped() -> None:
    words = " ".join(f"w{n}" for n in range(100))
    assert len(tokenize(Text([], [words]), DSZ_WORD, limits=Limits(max_words=10)).table) == 10
    assert len(tokenize(Text([], [words]), DSZ_SBPH, limits=Limits(max_tokens=50)).table) == 50
    message = b"".join(b"X-%d: y\n" % n for n in range(100)) + b"\n" + words.encode()
    text = read_text(message, Limits(max_text=20, max_fields=7))
    assert len(text.fields) == 7
    assert sum(map(len, text.body)) == 20


@given(st.binary(max_size=400), st.sampled_from(sorted(TOKENIZERS)))
def test_no_content_makes_it_raise(message: bytes, tokenizer: int) -> None:
    tokens = tokenize(read_text(message), tokenizer)
    assert all(0 < key < 1 << 63 and 1 <= token.frequency <= 127 for key, token in tokens.table.items())


@given(st.text(max_size=200), st.text(max_size=200))
def test_no_text_makes_it_raise(field: str, body: str) -> None:
    tokenize(Text([(field[:10], field), ("From", field)], [clean_html(body)]), DSZ_SBPH)


@pytest.mark.parametrize(
    ("make", "count"),
    [
        (lambda count: b"\n\n" + b"ab cd " * count, 500_000),
        (lambda count: b"\n\n" + b"a" * count, 3_000_000),
        (lambda count: b"\n\n" + b"".join(b"w%d " % n for n in range(count)), 300_000),
        (lambda count: b"Content-Type: text/html\n\n" + b"<!--" * count, 500_000),
        (lambda count: b"Content-Type: text/html\n\n" + b"&#x" * count, 500_000),
        (lambda count: b"Content-Type: text/html\n\n" + b"<a href=" * count, 500_000),
        (lambda count: b"Content-Type: text/html\n\n" + b"<a " + b'href="http:' * count, 500_000),
        (lambda count: b"Content-Type: text/html\n\n" + b"<script>" * count, 500_000),
        (lambda count: b"\n\n" + b"http://" * count, 300_000),
        (lambda count: b"Subject: " + b"=?utf-8?q?a?= " * count + b"\n\n", 200_000),
        (lambda count: b"".join(b"X-%d: aa bb cc dd ee ff\n" % n for n in range(count)) + b"\n", 100_000),
        (lambda count: b'Content-Type: multipart/mixed; boundary="b"\n\n' + b"--b\n\nword word\n" * count, 100_000),
    ],
    ids=[
        "words",
        "one word",
        "new words",
        "comments",
        "references",
        "tags",
        "attributes",
        "scripts",
        "links",
        "encoded words",
        "fields",
        "parts",
    ],
)
def test_a_hostile_message_takes_bounded_time(make: Callable[[int], bytes], count: int) -> None:
    def few(message: bytes) -> None:
        assert len(tokenize(read_text(message), DSZ_SBPH).table) <= Limits().max_tokens

    assert in_proportion(few, make, count)
