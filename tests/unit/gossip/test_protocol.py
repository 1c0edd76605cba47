"""The lines on the wire."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gossip import HAM, SPAM, split_address, umis
from gossip.protocol import (
    BadLine,
    Feedback,
    Query,
    Reset,
    read_answer,
    read_request,
    write_answer,
    write_request,
)

NOW = 1_800_000_000.0
KEY = "a key that is long enough"


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("Q:example.com:SPF:1:FIDDLEDYSTICKS", Query("example.com", "SPF", 1, "FIDDLEDYSTICKS")),
        ("Q:example.com:SPF:999:u", Query("example.com", "SPF", 3, "u")),
        ("F:u.$x:1", Feedback("u.$x", SPAM)),
        ("F:u:Yes", Feedback("u", SPAM)),
        ("F:u:0", Feedback("u", HAM)),
        ("F:u:No", Feedback("u", HAM)),
        ("R:example.com:SPF", Reset("example.com", "SPF")),
    ],
)
def test_a_line_of_pygossips_is_understood(line, expected):
    assert read_request(line) == (expected, False)


@pytest.mark.parametrize(
    "line",
    [
        "",
        "Q",
        "Q:::1:u",
        "Q:example.com:SPF:-1:u",
        "Q:example.com:SPF:1:u,99,99",
        "Q:example.com:SPF:1:" + "u" * 65,
        "Q:" + "a" * 256 + ":SPF:1:u",
        "Q:exa mple:SPF:1:u",
        "Q:example\x00:SPF:1:u",
        "Q:ex\u00e4mple:SPF:1:u",
        "Q:example.com:SPF:\u0661:u",
        "F:u:2",
        "F:u",
        "R:example.com",
        "X:u",
        "GET / HTTP/1.1",
    ],
)
def test_anything_else_is_refused(line):
    with pytest.raises(BadLine):
        read_request(line)


@given(st.text(max_size=300))
def test_no_line_raises_anything_else(line):
    for text in (line, f"Q:{line}", f"F:{line}:1", f"Q:{line}:1:1700000000:{'0' * 32}"):
        try:
            read_request(text, KEY, NOW)
        except BadLine:
            continue


@pytest.mark.parametrize(
    "request_", [Query("example.com", "SPF", 1, "u"), Feedback("u", SPAM), Reset("a.example", "none")]
)
def test_a_proof_holds_with_the_same_key_for_a_while(request_):
    line = write_request(request_, KEY, NOW)
    assert read_request(line, KEY, NOW + 299) == (request_, True)
    assert read_request(line, KEY, NOW + 301) == (request_, False)
    assert read_request(line, KEY, NOW - 301) == (request_, False)
    assert read_request(line, "another key, as long", NOW) == (request_, False)
    assert read_request(line, "", NOW) == (request_, False)


def test_a_proof_is_of_one_line_only():
    line = write_request(Feedback("u", SPAM), KEY, NOW)
    assert read_request(line.replace("F:u:1", "F:v:1"), KEY, NOW) == (Feedback("v", SPAM), False)


def test_a_proved_line_is_still_one_for_pygossip():
    """It divides at colons and reads the first fields."""
    fields = write_request(Query("example.com", "SPF", 1, "u"), KEY, NOW).split(":")
    assert fields[1:5] == ["example.com", "SPF", "1", "u"]


def test_what_can_not_be_said_in_a_line_is_not_said():
    with pytest.raises(BadLine):
        write_request(Query("2001:db8::1", "IP", 1, "u"))
    with pytest.raises(BadLine):
        write_request(Feedback("u\nR:example.com:SPF", SPAM))


def test_an_answer_is_cut_towards_zero_as_pygossip_does():
    assert write_answer("u", (-76.16, 0.97)) == "PREPEND X-GOSSiP: u,-76,0"
    assert write_answer("u", (-76.16, 5.2), reject=True) == "REJECT X-GOSSiP: u,-76,5"


def test_an_answer_is_read():
    assert read_answer("PREPEND X-GOSSiP: u,-76,12\n", "u") == (-76.0, 12.0)


@pytest.mark.parametrize(
    "line",
    ["", "PREPEND X-GOSSiP: v,-76,12", "PREPEND X-GOSSiP: u,-176,12", "PREPEND X-GOSSiP: u,1,101",
     "PREPEND X-GOSSiP: u,1,-1", "PREPEND X-GOSSiP: u,nan,1", "DISCARD X-GOSSiP: u,1,1"],
)  # fmt: skip
def test_an_answer_that_can_not_be_is_refused(line):
    with pytest.raises(BadLine):
        read_answer(line, "u")


def test_a_umis_has_no_character_that_divides_fields():
    made = {umis("example.comSPF", nonce) for nonce in range(2000)}
    assert len(made) == 2000
    assert all(len(one) == 22 and not set(one) & set(":, \n") for one in made)


# base64 of the MD5 digest of "example.comSPF42", with "." and "$" for "+" and "/", without padding, as pygossip does it.
def test_a_umis_is_that_of_pygossip():
    assert umis("example.comSPF", 42) == "RC63e2quCvoER05UCnqfFg"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("peer.example", ("peer.example", 11900)),
        ("peer.example:12000", ("peer.example", 12000)),
        ("12000", ("127.0.0.1", 12000)),
        ("[2001:db8::1]:12000", ("2001:db8::1", 12000)),
        ("[2001:db8::1]", ("2001:db8::1", 11900)),
        ("2001:db8::1", ("2001:db8::1", 11900)),
    ],
)
def test_addresses_are_read(text, expected):
    assert split_address(text) == expected


@pytest.mark.parametrize("text", ["", ":1", "a:b", "a:0", "a:65536", "[::1", "[::1]1", "a b:1", "0"])
def test_what_is_no_address_is_refused(text):
    with pytest.raises(ValueError, match="expected"):
        split_address(text)
