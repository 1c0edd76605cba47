"""Who is to be told of what, on every database: news by user, told once, links used once."""

from __future__ import annotations

import contextlib

import pytest

from antispam.mail.decisions import Decision
from antispam.mail.message import Body, Message, split_message
from antispam.mail.verdicts import quarantine as quarantined
from antispam.store import Store, digests, migrate, outbox, quarantine
from antispam.store.digests import News
from antispam.store.outbox import Kind, QueuedMessage
from antispam.store.quarantine import NewEntry

pytestmark = pytest.mark.every_database

NOW = 1_700_000_000.0
SPAM = Decision("spam_action", quarantined("score 7.1 reaches 6.0"))
MAIL = QueuedMessage(Kind.DIGEST, "x", "", ("bob@example.com",), b"text\r\n")


@pytest.fixture
def store(database_url):
    migrate(database_url)
    with contextlib.closing(Store(database_url)) as opened:
        yield opened


def keep(store, ref, user, received_at, decision=SPAM):
    headers, content = split_message(b"Subject: x\r\n\r\ntext\r\n")
    message = Message(ref, "eve@example.org", received_at, Body(1 << 20), headers=headers)
    message.body.write(content)
    with store.write() as connection:
        quarantine.insert(connection, message, [NewEntry(user, ("bob@example.com",), decision)])


def news(store, before=NOW):
    return list(digests.users_with_news(store, NOW - 1000, before))


def test_news_are_what_came_since_and_before(store):
    for ref, user, ago in (("a", "old", 1000), ("b", "bob", 999), ("c", "Bob", 0), ("d", "young", -1)):
        keep(store, ref, user, NOW - ago)
    assert sorted(news(store), key=lambda one: one.user) == [News("Bob", None, None), News("bob", None, None)]


def test_mail_of_whom_the_user_has_blocked_is_no_news(store):
    keep(store, "a", "bob", NOW - 10, Decision("own_lists", quarantined("bob blocks example.org")))
    assert (news(store), digests.kept(store, "bob", NOW - 1000, NOW, 10)) == ([], ([], 0))


def test_what_was_told_is_no_news(store):
    keep(store, "a", "bob", NOW - 10)
    assert digests.told(store, News("bob", None, None), NOW - 5, MAIL, NOW)
    assert news(store) == []
    keep(store, "b", "bob", NOW - 4)
    assert news(store) == [News("bob", NOW - 5, NOW)]
    entries, count = digests.kept(store, "bob", NOW - 5, NOW, 10)
    assert ([entry.ref for entry in entries], count) == (["b"], 1)


def test_the_same_news_are_told_once(store):
    for known in (News("bob", None, None), News("bob", NOW, NOW)):
        assert digests.told(store, known, NOW + (known.until is not None), MAIL, NOW)
        assert not digests.told(store, known, NOW + 9, MAIL, NOW)
    assert len(outbox.entries(store, NOW)) == 2


def test_pages_of_users_leave_nobody_out(store, monkeypatch):
    monkeypatch.setattr(digests, "_USERS", 2)
    for number in range(5):
        keep(store, f"r{number}", f"user{number}", NOW - 10)
    assert [one.user for one in news(store)] == [f"user{number}" for number in range(5)]


def test_a_link_is_used_once_unless_what_it_was_to_do_failed(store):
    assert [digests.use(store, "token", NOW), digests.use(store, "token", NOW)] == [True, False]
    assert digests.is_used(store, "token")
    digests.unuse(store, "token")
    assert digests.use(store, "token", NOW)
