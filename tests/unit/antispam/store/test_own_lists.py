"""Users' own lists of senders."""

from __future__ import annotations

import concurrent.futures
import contextlib
import threading

import pytest

from antispam.store import own_lists
from antispam.store.own_lists import BadName, Full, Kind, find, forms, of_user, put, remove
from support.patience import PATIENCE

pytestmark = pytest.mark.every_database

NOW = 1_700_000_000.0


def listed(store, user="ann"):
    return [(entry.name, entry.kind) for entry in of_user(store, user)]


def test_an_entry_is_kept_in_the_form_in_which_it_is_compared(store):
    assert put(store, "ann", Kind.ALLOW, " Bob@Example.ORG ", NOW) == "bob@example.org"
    assert listed(store) == [("bob@example.org", Kind.ALLOW)]


def test_a_user_sees_only_their_own(store):
    put(store, "ann", Kind.ALLOW, "bob@example.org", NOW)
    assert listed(store, "Ann") == listed(store, "carl") == []


def test_whoever_is_blocked_is_no_longer_allowed(store):
    put(store, "ann", Kind.ALLOW, "bob@example.org", NOW)
    put(store, "ann", Kind.BLOCK, "bob@example.org", NOW + 1)
    assert listed(store) == [("bob@example.org", Kind.BLOCK)]


@pytest.mark.parametrize("name", ["", "bob", "@", '""@example.org', "a b@", "x@" + "a" * 400, "localhost"])
def test_what_can_be_no_sender_is_refused(store, name):
    with pytest.raises(BadName):
        put(store, "ann", Kind.BLOCK, name, NOW)


def test_an_entry_is_removed_from_the_list_of_its_user_alone(store):
    for user in ("ann", "carl"):
        put(store, user, Kind.ALLOW, "bob@example.org", NOW)
    assert (remove(store, "ann", "bob@example.org"), remove(store, "ann", "bob@example.org")) == (True, False)
    assert (listed(store, "ann"), listed(store, "carl")) == ([], [("bob@example.org", Kind.ALLOW)])


def test_a_user_cannot_fill_the_store(store, monkeypatch):
    monkeypatch.setattr(own_lists, "MOST", 2)
    put(store, "ann", Kind.BLOCK, "a.example", NOW)
    put(store, "ann", Kind.BLOCK, "b.example", NOW)
    put(store, "ann", Kind.ALLOW, "b.example", NOW)  # one that is there may change
    with pytest.raises(Full):
        put(store, "ann", Kind.BLOCK, "c.example", NOW)


def test_forms_that_come_at_once_do_not_pass_the_limit_together(store, monkeypatch):
    """On PostgreSQL each counted before it saw what the others added."""
    monkeypatch.setattr(own_lists, "MOST", 2)
    put(store, "ann", Kind.BLOCK, "a.example", NOW)
    together = threading.Barrier(4)

    def one(number):
        together.wait(PATIENCE)
        with contextlib.suppress(Full):
            put(store, "ann", Kind.BLOCK, f"b{number}.example", NOW)

    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        for done in [pool.submit(one, number) for number in range(4)]:
            done.result()
    assert len(of_user(store, "ann")) == 2


def test_those_of_many_users_are_found_together(store):
    put(store, "u7", Kind.BLOCK, "shop.example", NOW)
    put(store, "u1999", Kind.ALLOW, "news@shop.example", NOW)
    put(store, "u8", Kind.BLOCK, "other.example", NOW)
    found = find(store, [f"u{number}" for number in range(2000)], forms("news@shop.example"), NOW)
    assert {(entry.user, entry.name) for entry in found} == {("u7", "shop.example"), ("u1999", "news@shop.example")}


def test_a_new_entry_counts_at_once_where_it_was_made(store):
    assert find(store, ["ann"], ["shop.example"], NOW) == []
    put(store, "ann", Kind.BLOCK, "shop.example", NOW)
    assert len(find(store, ["ann"], ["shop.example"], NOW)) == 1


@pytest.mark.parametrize(
    ("address", "names"),
    [
        ("News@Shop.example", ("news@shop.example", "shop.example")),
        ("news@m\u00fcller.example", ("news@xn--mller-kva.example", "xn--mller-kva.example")),
        ('""@shop.example', ("shop.example",)),
        ("postmaster", ()),
        ("", ()),
        ("x@!", ()),
    ],
)
def test_an_entry_covers_an_address_or_a_domain(address, names):
    assert forms(address) == names
