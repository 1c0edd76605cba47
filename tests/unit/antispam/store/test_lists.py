"""Lists of senders and clients."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from antispam.store import Store, lists
from antispam.store.lists import (
    ADMINISTRATOR,
    OFFENCES_KEPT,
    REMEMBERED,
    BadName,
    Kind,
    Known,
    add,
    add_all,
    everything,
    find,
    normalized,
    purge,
    remove,
    take_over,
)

pytestmark = pytest.mark.every_database

NOW = 1_000_000.0


def put(store, kind, name, expires_at=None, now=NOW, **more):
    return add(store, kind, name, **{"reason": "why", "by": "test", "now": now, "expires_at": expires_at, **more})


def names(store, kind, name, now=NOW):
    return [entry.name for entry in find(store, [(kind, name)], now)]


@pytest.mark.parametrize(
    ("kind", "listed", "asked"),
    [
        (Kind.WHITELIST, "Ann@Example.com", "ann@example.COM"),
        (Kind.WHITELIST, "<ann@example.com>", "ann@example.com"),
        (Kind.BLACKLIST, "ann@bücher.example", "ann@xn--bcher-kva.example"),
        (Kind.BLACKLIST, "xn--strae-oqa.example", "a@straße.example"),
        (Kind.BANNED_DOMAIN, "*.xn--strae-oqa.example", "mx.STRAẞE.example"),
        (Kind.BLACKLIST, "example.com", "anybody@example.com"),
        (Kind.BANNED_IP, "192.0.2.7", "::ffff:192.0.2.7"),
        (Kind.BANNED_IP, "2001:db8::1", "2001:db8::2"),
        (Kind.BANNED_DOMAIN, "Example.com", "example.com."),
        (Kind.BANNED_DOMAIN, "*.example.com", "mx1.spam.example.com"),
        (Kind.BANNED_DOMAIN, "*.example.com", "example.com"),
    ],
)
def test_an_entry_covers(store, kind, listed, asked):
    put(store, kind, listed)
    assert names(store, kind, asked) == [normalized(kind, listed)]


@pytest.mark.parametrize(
    ("kind", "listed", "asked"),
    [
        (Kind.WHITELIST, "ann@example.com", "bob@example.com"),
        (Kind.WHITELIST, "strasse.example", "ann@straße.example"),
        (Kind.BANNED_IP, "192.0.2.7", "192.0.2.8"),
        (Kind.BANNED_IP, "2001:db8::1", "2001:db8:0:1::1"),
        (Kind.BANNED_DOMAIN, "example.com", "mail.example.com"),
        (Kind.BANNED_DOMAIN, "*.example.com", "notexample.com"),
        (Kind.WHITELIST, "ann@example.com", ""),
        (Kind.BANNED_IP, "192.0.2.7", "nonsense"),
    ],
)
def test_an_entry_does_not_cover(store, kind, listed, asked):
    put(store, kind, listed)
    assert names(store, kind, asked) == []


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        (Kind.WHITELIST, "ann"),
        (Kind.WHITELIST, "a\nb@example.com"),
        (Kind.WHITELIST, '""@example.com'),
        (Kind.BLACKLIST, '<""@gmail.com>'),
        (Kind.BLACKLIST, "@gmail.com"),
        (Kind.BLACKLIST, "<@gmail.com>"),
        (Kind.BLACKLIST, "a" * 400 + "@example.com"),
        (Kind.BANNED_IP, "300.1.1.1"),
        (Kind.BANNED_DOMAIN, "com"),
        (Kind.BANNED_DOMAIN, "*.com"),
        (Kind.BANNED_DOMAIN, "*"),
        (Kind.BANNED_DOMAIN, "ex ample.com"),
    ],
)
def test_what_can_be_no_entry(store, kind, name):
    with pytest.raises(BadName):
        put(store, kind, name)


def test_several_are_added_or_renewed_together(store):
    put(store, Kind.WHITELIST, "ann@example.com", expires_at=NOW + 10)
    them = ["Ann@example.com", "nobody", "<ann@example.com>", "bob@example.org"]
    add_all(store, Kind.WHITELIST, them, reason="wrote", by="test", now=NOW + 5, expires_at=NOW + 60)
    found = {one.name: (one.reason, one.offences, one.expires_at) for one in everything(store)}
    assert found == {"ann@example.com": ("wrote", 2, NOW + 60), "bob@example.org": ("wrote", 1, NOW + 60)}


def test_nobody_at_all_is_added_without_asking_the_store(store):
    store.close()
    add_all(store, Kind.WHITELIST, ["nobody", ""], reason="wrote", by="test", now=NOW)


def test_an_entry_expires(store):
    put(store, Kind.WHITELIST, "ann@example.com", expires_at=NOW + 60)
    assert names(store, Kind.WHITELIST, "ann@example.com", NOW + 59)
    assert not names(store, Kind.WHITELIST, "ann@example.com", NOW + 60)


def test_to_add_it_again_renews_it_and_counts(store):
    assert put(store, Kind.BANNED_IP, "192.0.2.7", expires_at=NOW + 60) == 1
    assert put(store, Kind.BANNED_IP, "192.0.2.7", expires_at=NOW + 600, now=NOW + 30) == 2
    (entry,) = everything(store)
    assert (entry.added_at, entry.seen_at, entry.expires_at) == (NOW, NOW + 30, NOW + 600)


def test_what_an_administrator_wrote_for_ever_stays_for_ever(store):
    put(store, Kind.WHITELIST, "ann@example.com", reason="the boss")
    put(store, Kind.WHITELIST, "ann@example.com", expires_at=NOW + 60, reason="was written to")
    (entry,) = everything(store)
    assert (entry.expires_at, entry.reason) == (None, "the boss")


@pytest.mark.parametrize(("later", "ends"), [(NOW + 10, NOW + 1000), (NOW + 5000, NOW + 5000)])
def test_a_check_neither_shortens_what_an_administrator_wrote_nor_takes_its_reason(store, later, ends):
    put(store, Kind.BLACKLIST, "spam.example", NOW + 1000, reason="ticket 7", by=ADMINISTRATOR)
    put(store, Kind.BLACKLIST, "spam.example", later, now=NOW + 1, reason="reported", by="feedback")
    (entry,) = find(store, [(Kind.BLACKLIST, "spam.example")], NOW + 2)
    assert (entry.reason, entry.added_by, entry.expires_at) == ("ticket 7", ADMINISTRATOR, ends)


def test_an_administrator_shortens_what_they_wrote_themselves(store):
    put(store, Kind.BLACKLIST, "spam.example", NOW + 1000, by=ADMINISTRATOR)
    put(store, Kind.BLACKLIST, "spam.example", NOW + 10, reason="soon over", by=ADMINISTRATOR)
    (entry,) = find(store, [(Kind.BLACKLIST, "spam.example")], NOW + 2)
    assert (entry.reason, entry.expires_at) == ("soon over", NOW + 10)


def test_what_an_administrator_wrote_and_has_expired_is_written_anew(store):
    put(store, Kind.BLACKLIST, "spam.example", NOW + 10, by=ADMINISTRATOR)
    put(store, Kind.BLACKLIST, "spam.example", NOW + 100, now=NOW + 20, reason="reported", by="feedback")
    (entry,) = find(store, [(Kind.BLACKLIST, "spam.example")], NOW + 30)
    assert (entry.reason, entry.added_by) == ("reported", "feedback")


def test_several_workers_lose_no_offence(store):
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: put(store, Kind.BANNED_IP, "192.0.2.7", expires_at=NOW + 60), range(20)))
    assert everything(store)[0].offences == 20


def test_several_names_are_one_question(store):
    put(store, Kind.WHITELIST, "ann@example.com")
    put(store, Kind.BANNED_DOMAIN, "*.example.com")
    found = find(store, [(Kind.WHITELIST, "ann@example.com"), (Kind.BANNED_DOMAIN, "example.com")], NOW)
    assert {entry.kind for entry in found} == {Kind.WHITELIST, Kind.BANNED_DOMAIN}


def test_another_process_hears_of_the_first_entry_within_seconds(store, database_url):
    other = Store(database_url)
    try:
        assert not names(store, Kind.WHITELIST, "ann@example.com")
        put(other, Kind.WHITELIST, "ann@example.com")
        assert names(store, Kind.WHITELIST, "ann@example.com", NOW + REMEMBERED)
    finally:
        other.close()


def test_a_clock_that_was_put_back_hides_nothing_for_long(store, database_url):
    other = Store(database_url)
    try:
        assert not names(store, Kind.WHITELIST, "ann@example.com", NOW + 1_000)
        put(other, Kind.WHITELIST, "ann@example.com")
        assert names(store, Kind.WHITELIST, "ann@example.com", NOW)
    finally:
        other.close()


def test_an_entry_is_removed(store):
    put(store, Kind.BLACKLIST, "ann@example.com")
    assert remove(store, Kind.BLACKLIST, "Ann@example.com")
    assert not remove(store, Kind.BLACKLIST, "ann@example.com")
    assert not names(store, Kind.BLACKLIST, "ann@example.com")


def test_what_has_expired_is_forgotten(store):
    put(store, Kind.WHITELIST, "ann@example.com", expires_at=NOW)
    put(store, Kind.WHITELIST, "bob@example.com", expires_at=NOW + 1)
    put(store, Kind.WHITELIST, "eve@example.com")
    assert purge(store, NOW) == 1
    assert [entry.name for entry in everything(store)] == ["bob@example.com", "eve@example.com"]


@pytest.mark.parametrize(
    ("kind", "listed", "sender"),
    [
        (Kind.BANNED_DOMAIN, "*.spam.example", "a!.spam.example"),
        (Kind.BANNED_DOMAIN, "*.spam.example", "*.spam.example"),
        (Kind.BANNED_DOMAIN, "*.spam.example", " .spam.example.."),
        (Kind.BANNED_DOMAIN, "*.spam.example", "-.\xff.spam.example"),
        (Kind.BANNED_DOMAIN, "*.spam.example", "a." * 500 + "spam.example"),
        (Kind.BANNED_DOMAIN, "*.spam.example", "a" * 64 + ".SPAM.example"),
        (Kind.BLACKLIST, "spam.example", '""@spam.example'),
        (Kind.BLACKLIST, "spam.example", "@spam.example"),
        (Kind.BLACKLIST, "spam.example", "a\nb@spam.example"),
        (Kind.BLACKLIST, "spam.example", "a" * 400 + "@spam.example"),
        (Kind.BLACKLIST, "spam.example", "\udcff@spam.example"),
    ],
)
def test_nobody_gets_past_an_entry_by_a_name_that_could_be_none(store, kind, listed, sender):
    put(store, kind, listed)
    assert names(store, kind, sender) == [listed]


def test_a_ban_that_ended_is_remembered_so_that_the_next_is_longer(store):
    put(store, Kind.BANNED_IP, "192.0.2.7", expires_at=NOW + 60)
    put(store, Kind.BANNED_DOMAIN, "spam.example", expires_at=NOW + 60)
    assert purge(store, NOW + OFFENCES_KEPT) == 1
    assert put(store, Kind.BANNED_IP, "192.0.2.7", NOW + 1060, now=NOW + 1000, longest=8) == 2
    assert everything(store)[0].expires_at == NOW + 1120
    assert purge(store, NOW + 1119 + OFFENCES_KEPT) == 0
    assert purge(store, NOW + 1120 + OFFENCES_KEPT) == 1


def test_what_many_connections_find_at_once_is_one_offence(store):
    def offend(now):
        return put(store, Kind.BANNED_IP, "192.0.2.7", expires_at=now + 60, now=now, longest=8, once=True)

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(offend, [NOW] * 20)) == [1] * 20
        assert set(pool.map(offend, [NOW + 61] * 20)) == {2}
    (entry,) = everything(store)
    assert (entry.offences, entry.expires_at) == (2, NOW + 61 + 120)


def test_once_leaves_what_an_administrator_wrote(store):
    put(store, Kind.BANNED_IP, "192.0.2.7", reason="by hand")
    put(store, Kind.BANNED_IP, "192.0.2.7", expires_at=NOW + 60, once=True)
    assert [(entry.reason, entry.expires_at, entry.offences) for entry in everything(store)] == [("by hand", None, 1)]


def test_two_take_over_the_same_names_at_once(store):
    names = [f"192.0.{number // 250}.{number % 250}" for number in range(600)]

    def take(backwards):
        known = [Known(name, NOW, None) for name in (reversed(names) if backwards else names)]
        return take_over(store, Kind.BANNED_IP, known, reason="x", by="y", now=NOW)

    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(take, [False, True])) == [[], []]
    assert len(everything(store)) == 600


def test_who_is_added_and_removed_at_once_is_one_or_the_other(store):
    def change(number):
        if number % 2:
            return remove(store, Kind.BLACKLIST, "ann@example.com")
        return put(store, Kind.BLACKLIST, "ann@example.com", expires_at=NOW + 60, once=number % 4 == 0)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(change, range(40)))
    assert len(everything(store)) <= 1


@pytest.mark.parametrize(
    "sender", ["", "@", "@@", '""@example.com', "x@[192.0.2.1]", "x@*.example.com", "%", "a@b@c", "\x00@d.e"]
)
def test_a_hostile_sender_finds_nothing_but_his_own(store, sender):
    put(store, Kind.WHITELIST, "ann@example.com")
    put(store, Kind.BANNED_DOMAIN, "*.spam.example")
    wanted = [(kind, sender) for kind in Kind]
    assert find(store, wanted, NOW) == []


@given(kind=st.sampled_from(Kind), name=st.text(max_size=400))
def test_a_name_is_normalized_once_for_all_or_refused(kind, name):
    try:
        once = normalized(kind, name)
    except BadName:
        return
    assert normalized(kind, once) == once


def test_a_page_of_a_list_begins_after_a_name_and_has_what_is_in_force(store):
    for name in ("a@example.org", "b@example.org", "c@example.org"):
        lists.add(store, Kind.BLACKLIST, name, reason="x", by="x", now=NOW)
    lists.add(store, Kind.BLACKLIST, "d@example.org", reason="x", by="x", now=NOW - 9, expires_at=NOW - 1)
    lists.add(store, Kind.WHITELIST, "w@example.org", reason="x", by="x", now=NOW)
    pages = [lists.page(store, Kind.BLACKLIST, NOW, 2, after) for after in ("", "b@example.org")]
    assert [[one.name for one in page] for page in pages] == [["a@example.org", "b@example.org"], ["c@example.org"]]


def test_an_administrators_entry_stays_whatever_a_check_adds(store):
    by = lists.administrator("ann")
    lists.add(store, Kind.BLACKLIST, "eve@example.org", reason="rude", by=by, now=NOW, expires_at=NOW + 100)
    lists.add(store, Kind.BLACKLIST, "eve@example.org", reason="spam", by="rules", now=NOW, expires_at=NOW + 5)
    (entry,) = lists.everything(store)
    assert (entry.added_by, entry.reason, entry.expires_at) == ("command (ann)", "rude", NOW + 100)


@pytest.mark.parametrize("name", ["ann", "command (ann)", "(x)", ""])
def test_the_author_of_an_entry_is_known_by_their_name(name):
    assert lists.author(lists.administrator(name)) == name
    assert lists.author("rules") == "rules"
