"""Signatures: kept for each user, found without knowing whose they are, and forgotten in slices."""

from __future__ import annotations

import pytest

from dspam.store import (
    Signature,
    delete_signature,
    find_signature,
    get_signature,
    purge_signatures,
    put_signature,
    user_id,
)

pytestmark = pytest.mark.every_database


def test_a_signature_is_found_with_its_user_and_without(store):
    bob, eve = user_id(store, "bob"), user_id(store, "eve")
    put_signature(store, bob, "4f0a", b"\x00\xff", now=5.0)
    put_signature(store, eve, "4f0a", b"other", now=6.0)
    assert get_signature(store, bob, "4f0a") == Signature(bob, "4f0a", b"\x00\xff", 5.0)
    assert [found.content for found in find_signature(store, "4f0a")] == [b"\x00\xff", b"other"]
    assert get_signature(store, bob, "4F0A") is None


def test_a_signature_is_replaced_and_deleted(store):
    bob = user_id(store, "bob")
    put_signature(store, bob, "4f0a", b"first", now=5.0)
    put_signature(store, bob, "4f0a", b"second", now=6.0)
    assert get_signature(store, bob, "4f0a") == Signature(bob, "4f0a", b"second", 6.0)
    assert delete_signature(store, bob, "4f0a") is True
    assert delete_signature(store, bob, "4f0a") is False
    assert get_signature(store, bob, "4f0a") is None


@pytest.mark.parametrize("text", ["", "x" * 65, "a\0b", "caf\udce9", "ü", "a\nb"])
def test_what_is_no_signature_is_refused_and_never_found(store, text):
    with pytest.raises(ValueError, match="can't be a signature"):
        put_signature(store, user_id(store, "bob"), text, b"")
    assert find_signature(store, text) == []


def test_old_signatures_are_forgotten_slice_by_slice(store):
    bob = user_id(store, "bob")
    for number in range(5):
        put_signature(store, bob, f"s{number}", b"", now=float(number))
    assert purge_signatures(store, before=3.0, slice_size=2) == 2
    assert purge_signatures(store, before=3.0, slice_size=2) == 1
    assert [bool(find_signature(store, f"s{number}")) for number in range(5)] == [False, False, False, True, True]
