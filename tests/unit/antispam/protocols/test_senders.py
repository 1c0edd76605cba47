"""What stays the same in senders that differ from message to message."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from antispam.protocols.senders import stable_sender
from support.effort import in_proportion


@pytest.mark.parametrize(
    ("address", "stable"),
    [
        ("Ann@Example.org", "ann@example.org"),
        ("", ""),
        ("prvs=1234aaaaaa=ann@example.org", "ann@example.org"),
        ("prvs=ann/1234aaaaaa@example.org", "ann@example.org"),
        ("btv1==123abc==ann@example.org", "ann@example.org"),
        ("SRS0=x9Kw=JN=origin.example=Bob@fwd.example", "bob/origin.example@fwd.example"),
        ("SRS0+x9Kw=JN=origin.example=bob@fwd.example", "bob/origin.example@fwd.example"),
        ("SRS1=abc=f1.example==x9Kw=JN=origin.example=bob@f2.example", "bob/origin.example@f2.example"),
        ("SRS0=x9Kw=JN==ann@example.com", "ann@example.com"),
        ("SES=SGTSc3xDvQkeXUwVqF=ann@example.com", "ann@example.com"),
        ("SRS0=x9Kw=JN=a.example=prvs=1234aaaaaa=ann@fwd.example", "ann/a.example@fwd.example"),
        ("list-bounces+bob=example.com@lists.example", "list-bounces@lists.example"),
        ("list-return-4711-bob=example.com@lists.example", "list-return-#-bob=example.com@lists.example"),
        ("0100018c5e6f1234-abcd1234-12ab-face-0123456789ab-000000@amazonses.com", "#@amazonses.com"),
        ("+x@example.org", "+x@example.org"),
        ("prvs=@example.org", "prvs=@example.org"),
        ("no domain", "no domain"),
    ],
)
def test_what_is_compared_of_a_sender(address, stable):
    assert stable_sender(address) == stable


@given(st.text(st.characters(max_codepoint=127), max_size=60))
def test_whatever_it_is_its_case_does_not_count(address):
    assert stable_sender(address.swapcase()) == stable_sender(address)


@pytest.mark.parametrize("piece", ["a", "1", "#-a", "ses=", "-a1", "prvs=", "srs0=a=", "=", "+", '"'])
def test_a_long_sender_takes_no_long_time(piece):
    assert in_proportion(stable_sender, lambda count: piece * count + "@example.org", 60_000 // len(piece))
