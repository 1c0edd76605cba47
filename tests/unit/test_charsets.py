"""Mail text is decoded by the labels of the WHATWG Encoding Standard, wherever it is decoded."""

from __future__ import annotations

import base64
import encodings

import pytest
from hypothesis import given
from hypothesis import strategies as st
from webencodings.labels import LABELS

import _charsets
import _mimetree
import mime
from antispam.mail.message import Header
from antispam.protocols.encoded_words import decoded
from dspam.features import names
from Milter.utils import parse_header

NOT_READ = {"iso-2022-cn", "iso-2022-cn-ext", "replacement", "x-user-defined"}


@pytest.mark.parametrize("label", sorted(set(LABELS) - NOT_READ))
def test_every_label_of_the_standard_is_known(label):
    assert _charsets.known(label)
    assert _charsets.known(f" {label.upper()}\t") == _charsets.known(label)


@pytest.mark.parametrize(
    ("label", "same"),
    [
        ("gb2312", "gb18030"),
        ("gbk", "gb18030"),
        ("iso-8859-1", "windows-1252"),
        ("latin1", "windows-1252"),
        ("us-ascii", "windows-1252"),
        ("iso-8859-9", "windows-1254"),
        ("iso-8859-11", "windows-874"),
        ("tis-620", "windows-874"),
        ("shift_jis", "windows-31j"),
        ("sjis", "windows-31j"),
        ("ks_c_5601-1987", "windows-949"),
        ("euc-kr", "windows-949"),
        ("big5", "big5-hkscs"),
        ("latin_1", "windows-1252"),  # Python's own spellings are read alike
        ("GB_2312-80", "gb18030"),
    ],
)
def test_labels_mean_what_the_standard_says(label, same):
    assert _charsets.known(label) == _charsets.known(same) is not None


@pytest.mark.parametrize(
    "label", ["", "zip", "hex", "rot13", "base64", "uu", "quopri", "nosuch", "x" * 1000, "日本", "idna"]
)
def test_what_is_no_charset_is_unknown(label):
    assert _charsets.known(label) is None


@pytest.mark.parametrize(
    ("label", "raw", "text"),
    [
        ("gb2312", "朱镕基，龍".encode("gbk"), "朱镕基，龍"),
        ("gb2312", "㐀".encode("gb18030"), "㐀"),
        ("iso-8859-1", b"\x93caf\xe9\x94 \x80 5", "“café” € 5"),
        ("windows-1252", b"\x81", "\x81"),  # index-windows-1252.txt has no gaps
        ("iso-8859-9", b"\x93\xfe", "“ş"),
        ("shift_jis", "①髙﨑～".encode("cp932"), "①髙﨑～"),
        ("euc-jp", b"\xad\xa1", "①"),
        ("iso-2022-jp", b"\x1b$B-!F|\x1b(B x", "①日 x"),
        ("iso-2022-jp", b"\x1b(I12\x1b(B", "ｱｲ"),
        ("iso-2022-jp", b"\x1b$(D0!\x1b(B", "丂"),
        ("euc-kr", "똠방각하".encode("cp949"), "똠방각하"),
        ("big5", "你好".encode("big5"), "你好"),
        ("utf-16", "hi".encode("utf-16-le"), "hi"),
        ("utf-8", b"\xff\xfeh\0i\0", "hi"),  # a byte order mark comes before any label
        ("iso-8859-1", b"\xef\xbb\xbfgr\xc3\xb6\xc3\x9fe", "größe"),
        ("hz-gb-2312", "中文".encode("hz"), "中文"),
        ("utf-7", b"gr+APYA3w-e", "größe"),
        ("us-ascii", "größe".encode(), "größe"),
        ("us-ascii", "größe".encode("latin-1"), "größe"),
        ("utf-8", b"gr\xf6\xdfe", "gr��e"),
        ("nosuch", "größe".encode(), "größe"),
        (None, b"gr\xf6\xdfe \x80", "größe €"),
        (None, "größ".encode()[:-1], "grö�"),  # cut within a character it is UTF-8 all the same
    ],
)
def test_text_is_decoded(label, raw, text):
    assert _charsets.decode(raw, label) == text


@given(st.binary(max_size=60), st.sampled_from([*LABELS, "utf-7", "hz", "cp437", "undefined", "\ud800", "x"]))
def test_anything_at_all_is_decoded_to_what_can_be_written(raw, label):
    _charsets.decode(raw, label).encode()


def test_names_that_nobody_knows_are_not_remembered():
    before = len(encodings._cache)
    for number in range(300):
        _charsets.known(f"x-unheard-of-{number}")
    assert len(encodings._cache) == before


WORD = "=?gb2312?b?" + base64.b64encode("朱镕基".encode("gbk")).decode() + "?="


@pytest.mark.parametrize(
    "read",
    [
        lambda: Header(b"Subject", WORD.encode()).decoded,
        lambda: decoded(WORD).text,
        lambda: parse_header(WORD),
        lambda: _mimetree.decode_words(WORD),
        lambda: mime.message_from_bytes(
            b"Content-Disposition: attachment; filename*=gb2312''%D6%EC%E9F%BB%F9\n\nx"
        ).get_filename(),
        lambda: (
            "朱镕基" if {"text: 朱镕", "text: 镕基"} <= set(names(f"Subject: {WORD}\n\n".encode()).values()) else ""
        ),
    ],
)
def test_it_is_the_same_everywhere(read):
    assert read() == "朱镕基"
