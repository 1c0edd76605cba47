"""What is kept can be found, read and deleted; names are data, whatever they contain."""

from __future__ import annotations

import functools

import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st

from antispam.store.quarantine import (
    BadName,
    NoEntry,
    Removed,
    Search,
    State,
    checked_ref,
    checked_text,
    checked_user,
    content,
    find,
    of_ref,
    read,
    remove,
)
from antispam.store.quarantine_order import Order, bounded, newest_since
from antispam.store.release import release as release_to
from antispam.store.schema import quarantine_entry
from support.quarantined import DAY, NOW, contents, entries, keep, mark_failed, mark_sent, queued_messages

pytestmark = pytest.mark.every_database(pooled=True)
release = functools.partial(release_to, protect=lambda raw, ref: raw)


def refs(found):
    return [entry.ref for entry in found]


def test_entries_come_newest_first_in_pages(store):
    for number in range(7):
        keep(store, f"ref{number}", at=NOW + number // 2)  # some at the same moment
    seen, last = [], None
    while page := find(store, Search(), limit=3, after=last):
        seen += refs(page)
        last = page[-1]
    assert seen == ["ref6", "ref5", "ref4", "ref3", "ref2", "ref1", "ref0"]


@pytest.mark.parametrize(("number", "newest"), [(2, ["ref3", "ref2"]), (4, ["ref3", "ref2", "ref1", "ref0"])])
def test_the_newest_entries_are_those_since_a_time(store, number, newest):
    for day in range(4):
        keep(store, f"ref{day}", at=NOW + day * DAY)
    assert refs(find(store, Search(since=newest_since(store, number)))) == newest


def test_without_older_entries_there_is_no_such_time(store):
    keep(store, "ref0")
    assert newest_since(store, 1) == 0.0


@pytest.mark.parametrize(
    ("wanted", "order"),
    [
        (Search(text="lunch"), Order.RECEIVED),
        (Search(check="dspam"), Order.RECEIVED),
        (Search(text="lunch", since=NOW), Order.RECEIVED),
        (Search(), Order.SUBJECT),
    ],
    ids=["text", "check", "time", "order"],
)
def test_what_no_index_leads_to_is_looked_for_in_the_newest(store, wanted, order):
    for day in range(4):
        keep(store, f"ref{day}", at=NOW + day * DAY)
    narrowed, left_out = bounded(store, wanted, order, most=2)
    assert (refs(find(store, narrowed, order=order)), left_out) == (["ref3", "ref2"], True)


@pytest.mark.parametrize(
    "wanted",
    [
        Search(),
        Search(text="lunch", user="bob"),
        Search(text="lunch", users=("bob",)),
        Search(text="lunch", ref="ref0"),
        Search(text="lunch", since=NOW + 2 * DAY),
    ],
    ids=["all", "user", "users", "reference", "later"],
)
def test_what_an_index_leads_to_is_looked_for_everywhere(store, wanted):
    for day in range(4):
        keep(store, f"ref{day}", at=NOW + day * DAY)
    assert bounded(store, wanted, most=2) == (wanted, False)


@pytest.mark.parametrize("ascending", [True, False])
@pytest.mark.parametrize(
    ("order", "sorted_refs"),
    [
        (Order.RECEIVED, ["b", "c", "a"]),
        (Order.SENDER, ["a", "c", "b"]),
        (Order.SUBJECT, ["c", "b", "a"]),
        (Order.SCORE, ["a", "b", "c"]),
    ],
)
def test_entries_come_in_any_order_in_pages(store, order, ascending, sorted_refs):
    keep(store, "a", at=NOW + 2, subject=b"z", mail_from="Ann@example.org")
    keep(store, "b", at=NOW, subject=b"Y", headers=((b"From", b" Zoe <zoe@example.org>"),))
    keep(store, "c", at=NOW + 1, subject=b"x", mail_from="bob@example.org")
    with store.write() as connection:
        for ref, score in (("a", None), ("c", 0.999)):
            connection.execute(sa.update(quarantine_entry).where(quarantine_entry.c.ref == ref).values(score=score))
    seen, last = [], None
    while page := find(store, Search(), limit=1, after=last, order=order, ascending=ascending):
        seen += refs(page)
        last = page[-1]
    assert seen == (sorted_refs if ascending else sorted_refs[::-1])


def test_entries_of_several_users_are_found_together(store):
    for ref, user in (("a", "ann"), ("b", "bob"), ("c", "carl")):
        keep(store, ref, user)
    assert refs(find(store, Search(users=("ann", "carl")))) == ["c", "a"]
    assert refs(find(store, Search(users=()))) == []  # nobody is not everybody


@pytest.mark.parametrize(
    ("search", "found"),
    [
        (Search(user="bob"), ["b", "a"]),
        (Search(user="Bob"), []),
        (Search(ref="c"), ["c"]),
        (Search(check="spf"), ["c"]),
        (Search(since=NOW - 1), ["c", "b"]),
        (Search(text="LUNCH"), ["b", "a"]),
        (Search(text="eve@EVIL"), ["c"]),
        (Search(text="0.99"), ["c", "b", "a"]),
        (Search(text="ann@example.com"), ["c"]),
        (Search(text="50%_/"), ["c"]),
        (Search(text="%"), ["c"]),
        (Search(text="_unch"), []),
        (Search(user="bob", text="today"), ["b"]),
    ],
)
def test_conditions_choose(store, search, found):
    keep(store, "a", "bob", at=NOW - DAY)
    keep(store, "b", "bob", subject=b"Lunch today")
    keep(store, "c", "ann", at=NOW + 1, subject=b"50%_/off", mail_from="eve@evil.example", check="spf")
    assert refs(find(store, search)) == found


def test_an_entry_comes_with_everything_and_its_message(store):
    keep(store, "abc", "bob", subject=b"caf\xc3\xa9 \x1b[31m", body=b"a\x00\xff\r\n")
    entry, raw = read(store, "ABC", "bob")
    assert (entry.ref, entry.user, entry.received_at, entry.mail_from) == ("abc", "bob", NOW, "ann@example.org")
    assert (entry.recipients, entry.subject, entry.size) == (("bob@example.com",), "caf\xe9 \x1b[31m", len(raw))
    assert (entry.check, entry.action, entry.reason, entry.score) == (
        "dspam",
        "quarantine",
        "probability 0.9900",
        0.99,
    )
    assert (entry.outbox_id, entry.released_at, entry.state, entry.error) == (None, None, State.KEPT, "")
    assert raw == b"Subject: caf\xc3\xa9 \x1b[31m\r\n\r\na\x00\xff\r\n"


def test_the_state_follows_the_message(store):
    keep(store, "abc")
    found = []

    def look():
        (entry,) = find(store, Search())
        found.append((entry.state, entry.error))
        return entry

    queued = release(store, look(), NOW).outbox_id
    look()
    mark_failed(store, queued, NOW, "550 5.1.1 no such user")
    queued = release(store, look(), NOW).outbox_id
    mark_sent(store, queued, NOW)
    release(store, look(), NOW, force=True)
    look()
    assert found == [
        (State.KEPT, ""),
        (State.UNDER_WAY, ""),
        (State.FAILED, "550 5.1.1 no such user"),
        (State.RELEASED, ""),
        (State.UNDER_WAY, ""),
    ]


def test_what_is_not_there_is_said(store):
    keep(store, "abc", "bob")
    for ask in (
        lambda: of_ref(store, "xyz"),
        lambda: read(store, "abc", "ann"),
        lambda: content(store, "xyz"),
    ):
        with pytest.raises(NoEntry, match="nothing is kept under"):
            ask()


def test_the_message_goes_with_the_last_entry(store):
    keep(store, "abc", "bob", "ann")
    bob, ann = of_ref(store, "abc")
    assert remove(store, [bob]) == Removed(entries=1, octets=bob.size, messages=0)
    assert (entries(store), contents(store)) == ([("abc", "ann")], ["abc"])
    assert remove(store, [ann]) == Removed(entries=1, octets=ann.size, messages=1)
    assert (entries(store), contents(store)) == ([], [])


def test_deleting_again_deletes_nothing(store):
    keep(store, "abc")
    (entry,) = of_ref(store, "abc")
    remove(store, [entry])
    assert remove(store, [entry]) == Removed()


def test_what_is_being_released_can_not_be_deleted(store):
    keep(store, "abc")
    (before,) = of_ref(store, "abc")
    queued = release(store, before, NOW).outbox_id
    (entry,) = of_ref(store, "abc")
    for seen in (before, entry):
        assert remove(store, [seen]).entries == 0
    assert len(queued_messages(store)) == 1
    mark_sent(store, queued, NOW)
    assert remove(store, [before]).entries == 0, "it changed since it was looked at"
    assert remove(store, of_ref(store, "abc")).entries == 1


UNASKED = None  # a store that nobody may come to
HOSTILE = [
    "",
    "../../x",
    "a\0b",
    "a b",
    "*",
    "%",
    "a'; DROP TABLE outbox; --",
    "abc\n",
    "\udcff",
    "a" * 17,
    "abc/../abc",
    "äbc",
]


@pytest.mark.parametrize("ref", HOSTILE)
def test_a_reference_that_can_not_be_one_is_refused(ref):
    for ask in (lambda: of_ref(UNASKED, ref), lambda: content(UNASKED, ref)):
        with pytest.raises(BadName, match="is not a valid reference"):
            ask()


@pytest.mark.parametrize(
    "user",
    ["../../x", "/etc/passwd", "a/../../b", "a\0b", "*", "bo?", "b%", " bob", "bob ", "bob\n", "\udcff", "a" * 321],
)
def test_a_user_that_can_not_be_one_is_refused(user):
    for ask in (lambda: find(UNASKED, Search(user=user)), lambda: read(UNASKED, "abc", user)):
        with pytest.raises(BadName, match="is no user"):
            ask()


@pytest.mark.parametrize("text", ["a\0b", "\x1b[31m", "\udcff", "a" * 201])
def test_a_text_that_no_database_takes_is_refused(text):
    with pytest.raises(BadName, match="can't be searched for"):
        find(UNASKED, Search(text=text))


@pytest.mark.parametrize("user", ["o'brien@example.com", "x_y", 'a"b@example.com', "jörg@example.com", "a;b", "a\\b"])
def test_odd_names_are_compared_as_they_are(store, user):
    keep(store, "abc", user, "other")
    assert [entry.user for entry in find(store, Search(user=user))] == [user]
    assert [entry.user for entry in find(store, Search(text=user.upper() if user.isascii() else user))][:1] == (
        [] if user in ('a"b@example.com', "a\\b") else [user]  # JSON writes these two otherwise
    )


@given(name=st.text(max_size=30), check=st.sampled_from([checked_ref, checked_user, checked_text]))
def test_any_name_is_taken_or_refused_with_a_printable_sentence(name, check):
    try:
        said = check(name)
    except BadName as error:
        said = str(error)
    assert said.isprintable()


def test_a_deleted_entry_leaves_no_other_behind_than_it_should(store):
    keep(store, "abc", "bob")
    keep(store, "abd", "bob")
    remove(store, of_ref(store, "abc"))
    with store.read() as connection:
        assert connection.scalar(sa.select(sa.func.count()).select_from(quarantine_entry)) == 1
    assert contents(store) == ["abd"]
