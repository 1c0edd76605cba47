"""Signed links: for one message of one user, for a time, by who has the secret."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from antispam.service.digest.links import STOP_LASTS, Link, Links, Problem

NOW = 1_700_000_000.0


def links(secret=b"s" * 32, now=NOW):
    return Links(secret, 3600.0, lambda: now)


def test_a_link_says_whose_message_it_is_for():
    token = links().token("aaa", "bob@example.com")
    assert links().read(token) == Link("aaa", "bob@example.com", NOW + 3600)


@pytest.mark.parametrize(("later", "works"), [(3599, True), (3600, False), (1e9, False)])
def test_a_link_ends(later, works):
    token = links().token("aaa", "bob")
    assert (links(now=NOW + later).read(token) is not Problem.OVER) == works


def test_a_link_that_ends_digests_is_no_link_to_a_message_nor_the_other_way_round():
    assert links().read_stop(links().stop_token("bob")) == Link("", "bob", NOW + STOP_LASTS)
    assert links().read(links().stop_token("bob")) is Problem.DAMAGED
    assert links().read_stop(links().token("aaa", "bob")) is Problem.DAMAGED


def test_another_secret_makes_other_links():
    assert links(b"t" * 32).read(links().token("aaa", "bob")) is Problem.DAMAGED


def test_no_character_of_a_token_can_be_changed():
    """The last one of a base64 text has bits that say nothing: there another letter may mean the same."""
    token = links().token("aaa", "bob")
    for at in range(len(token) - 1):
        changed = token[:at] + ("A" if token[at] != "A" else "B") + token[at + 1 :]
        assert links().read(changed) is Problem.DAMAGED, at


@given(st.text(max_size=100) | st.just("x" * 2000))
def test_what_is_no_token_is_damaged(text):
    assert links().read(text) is Problem.DAMAGED


@given(st.text(max_size=320), st.text(max_size=16))
def test_any_name_can_be_in_a_link(user, ref):
    read = links().read(links().token(ref, user))
    assert read is Problem.DAMAGED or read == Link(ref, user, NOW + 3600)
