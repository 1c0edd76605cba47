"""Hostile text made safe for JSON, logs and SMTP replies."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from antispam.text import for_log, for_reply, from_wire

ANY = st.one_of(st.binary(max_size=300), st.text(st.characters(), max_size=300), st.text(max_size=300))


@given(ANY)
def test_anything_off_the_wire_can_be_stored(raw):
    msgspec.json.encode(from_wire(raw))


@given(ANY, st.integers(0, 300))
def test_no_text_has_a_nul_or_more_than_its_limit(raw, limit):
    """PostgreSQL takes no NUL in a text."""
    text = from_wire(raw, limit)
    assert "\0" not in text
    assert len(text) <= limit


@pytest.mark.parametrize("raw", ["a\0b", b"a\0b", "\u00fc\0b", "a\udce9\0"])
def test_a_nul_is_written_as_an_escape(raw):
    assert "\\x00" in from_wire(raw)


@given(ANY)
def test_anything_is_one_printable_line_in_the_log(raw):
    text = for_log(raw)
    assert text.isprintable() or text == ""
    assert len(text.splitlines()) <= 1


@given(st.text(st.characters(), max_size=2000))
def test_any_text_is_one_line_of_us_ascii_in_a_reply(text):
    reply = for_reply(text)
    assert reply.isascii()
    assert reply.isprintable() or reply == ""
    assert len(reply) <= 400


@pytest.mark.parametrize(
    ("raw", "shown"),
    [
        (b"caf\xc3\xa9", "café"),
        (b"caf\xe9", "caf\\xe9"),
        ("a\udce9b", "a\\xe9b"),
        ("evil\r\nFrom: x", "evil\\x0d\\x0aFrom: x"),
        ("\x1b[2Jgone", "\\x1b[2Jgone"),
        ("line\u2028two", "line\\u2028two"),
        ("\u202egpj.exe", "\\u202egpj.exe"),
    ],
)
def test_what_the_log_shows(raw, shown):
    assert for_log(raw) == shown


def test_a_reply_drops_accents_and_folds_white_space():
    assert for_reply("Grüße\r\n  aus\tKöln") == "Gru?e aus Koln"
