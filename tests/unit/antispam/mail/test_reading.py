"""A stored message as a person reads it: whatever it contains, the texts can be shown and encoded."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from antispam.mail.reading import readable


def everything(raw):
    found = readable(raw)
    return [*(text for field in found.fields for text in field), found.text, found.html, *found.attachments]


@pytest.mark.parametrize(
    ("subject", "shown"),
    [
        ("Gr\u00fc\u00dfe".encode(), "Gr\u00fc\u00dfe"),  # RFC 6532
        (b"=?utf-8?q?Gr=C3=BC=C3=9Fe?=", "Gr\u00fc\u00dfe"),
        (b"caf\xe9", "caf\\xe9"),
        (b"a\xed\xa0\x80b", "a\\xed\\xa0\\x80b"),
    ],
)
def test_a_subject_is_shown_however_it_was_encoded(subject, shown):
    assert dict(readable(b"Subject: " + subject + b"\r\n\r\ntext\r\n").fields)["Subject"] == shown


def test_the_name_of_an_attachment_may_have_any_octets():
    raw = b'Content-Type: application/pdf; name="r\xc3\xa9sum\xe9.pdf"\r\n\r\nx\r\n'
    assert readable(raw).attachments == ("r\u00e9sum\\xe9.pdf",)


@given(
    st.binary(max_size=300),
    st.sampled_from(
        [b"", b"Content-Type: text/plain; charset=utf-16\r\n", b"Content-Type: text/html; charset=utf-7\r\n"]
    ),
)
def test_whatever_a_message_contains_its_texts_can_be_encoded(octets, kind):
    for text in everything(b"Subject: " + octets + b"\r\n" + kind + b"\r\n" + octets):
        text.encode("utf-8")
