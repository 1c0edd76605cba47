"""What a person sees of a message that somebody wrote to be seen badly."""

from __future__ import annotations

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from antispam.commands.quarantine.show import excerpt, local_time, octets, table
from antispam.store.quarantine import Entry, State

BOTH = (
    b"From: a@x\r\nContent-Type: multipart/alternative; boundary=b\r\n\r\n"
    b"--b\r\nContent-Type: text/html\r\n\r\n<p>as HTML</p>\r\n"
    b"--b\r\nContent-Type: text/plain\r\nContent-Transfer-Encoding: base64\r\n\r\nYXMgdGV4dA==\r\n--b--\r\n"
)


def test_plain_text_is_shown_before_html():
    assert excerpt(BOTH) == ["  From: a@x", "  | as text"]


def test_a_long_text_is_cut_and_says_so():
    shown = excerpt(b"A: b\r\n\r\n" + b"word " * 10_000)
    assert shown[-1] == "  ..."
    assert len(shown) < 30


def test_a_thousand_fields_are_not_all_shown():
    assert len(excerpt(b"Subject: x\r\n" * 1000 + b"\r\n")) == 50


@pytest.mark.parametrize("width", [80, 120])
def test_reference_score_and_state_are_never_cut_short(width):
    entry = Entry(
        1, "abcdefghijkl", "bob" * 20, 0.0, "a" * 90, (), "s" * 300, 5000, "spam_action", "quarantine", "", 0.99, 1, None,
        State.UNDER_WAY, "",
    )  # fmt: skip
    console = Console(width=width, file=io.StringIO())
    console.print(table([entry], width, with_user=True))
    head, line = console.file.getvalue().splitlines()
    assert line.startswith("abcdefghijkl  1970-01-01 00:00  ")
    assert " 0.990 " in line
    assert line.endswith("under way")
    assert ("CHECK" in head) is (width == 120)


PIECES = [
    b"Subject: ", b"Content-Type: text/html; charset=", b"utf-16", b"\r\n", b"\r\n\r\n", b"\x1b[31m", b"\x9b", b"\0", b"<p>",
    b"=?x?q?=1B?=", b"\xe2\x80\xa8", b"&#27;", b"\xff", b"Content-Transfer-Encoding: base64", b"Gw==",
]  # fmt: skip


@given(st.lists(st.sampled_from(PIECES), max_size=30).map(b"".join) | st.binary(max_size=200))
def test_whatever_a_message_holds_each_line_is_printable(raw):
    for line in excerpt(raw):
        assert line.isprintable()


@pytest.mark.parametrize(
    ("number", "said"),
    [(0, "0"), (1023, "1023"), (1024, "1.0k"), (20_000, "20k"), (5 << 20, "5.0M"), (1 << 62, "4194304T")],
)
def test_sizes_are_said_shortly(number, said):
    assert octets(number) == said


@pytest.mark.parametrize("seconds", [float("nan"), float("inf"), -1e300, 1e300])
def test_a_time_that_is_none_is_shown_as_one(seconds):
    assert local_time(seconds)
