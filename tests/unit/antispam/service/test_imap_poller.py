"""The poller of Junk folders, with a server that is played: what it learns, how far it notes, and what breaks."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from antispam.learning.lessons import Answer, Outcome
from antispam.protocols.lesson_wire import LARGEST
from antispam.service.imap_poller import FIRST_PAUSE, LONGEST_PAUSE, Folder, LaterError, is_known_as_spam
from antispam.settings.imap import Account, ImapSettings
from antispam.store import Store, StoreError
from antispam.store.folders_read import Position, advance, position, purge
from support.stores import make_store

TAUGHT = Answer(Outcome.TAUGHT, "learned as spam")


def mail(number):
    return b"From: a@example.org\r\nSubject: %d\r\n\r\nhello\r\n" % number


class FakeServer:
    """One folder. `happens` is called each time that somebody waits; `fails` are raised at connecting, one after the other."""

    def __init__(self, messages=(), validity=7, idles=True):
        self.messages = {uid: mail(uid) for uid in messages}
        self.validity, self.idles = validity, idles
        self.happens, self.fails = [], []
        self.connected, self.closed, self.selected, self.waited = 0, 0, [], []

    def connect(self, mailbox):
        if self.fails:
            raise self.fails.pop(0)
        self.connected += 1
        return self

    def select_folder(self, folder, readonly=False):
        self.selected.append((folder, readonly))
        return {b"UIDVALIDITY": self.validity}

    def search(self, criteria):
        first = int(criteria[1].partition(":")[0])
        highest = max(self.messages, default=0)
        return [uid for uid in self.messages if uid >= first or uid == highest][::-1]

    def fetch(self, uids, data):
        known = {uid: self.messages[uid] for uid in uids if uid in self.messages}
        if data == [b"RFC822.SIZE"]:
            return {uid: {b"RFC822.SIZE": len(raw)} for uid, raw in known.items()}
        assert data == [b"BODY.PEEK[]"], "anything else would mark the message as read"
        return {uid: {b"BODY[]": raw} for uid, raw in known.items()}

    def has_capability(self, capability):
        return capability == "IDLE" and self.idles

    def idle(self):
        self.waited.append("idle")

    def idle_check(self, timeout=None):
        self.waited.append(timeout)
        return []

    def idle_done(self):
        if self.happens:
            self.happens.pop(0)()

    def shutdown(self):
        self.closed += 1


class Lessons:
    """Notes what is taught; `answers` are given one after the other, the last one for ever."""

    def __init__(self, *answers):
        self.seen, self.answers = [], list(answers) or [TAUGHT]

    def __call__(self, login, is_spam, raw, deadline):
        self.seen.append((login, is_spam, raw))
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer


@pytest.fixture
def store(tmp_path):
    store = Store(make_store(tmp_path / "test.db"))
    yield store
    store.close()


class Pauses:
    """Ends after so many."""

    def __init__(self, most):
        self.most, self.seconds = most, []

    def __call__(self, seconds):
        self.seconds.append(seconds)
        return len(self.seconds) >= self.most


def folder(store, server, teach, *, most=1, is_spam=True):
    (mailbox,) = ImapSettings(accounts={"ann": Account(password_file="/p", user="ann@example.com")}).mailboxes
    failures = (OSError, ValueError, LaterError, StoreError)
    pauses = Pauses(most)
    made = Folder(mailbox, "Junk", is_spam, store, teach, server.connect, failures, pauses, 300.0, lambda: 1e9)
    made.watch()
    return pauses.seconds


def uids(teach):
    return [int(raw.split(b"Subject: ")[1].split(b"\r\n")[0]) for _, _, raw in teach.seen]


def test_what_lies_in_the_folder_is_taught_in_its_order_and_noted(store):
    server, teach = FakeServer([3, 5, 9]), Lessons()
    folder(store, server, teach)
    assert teach.seen == [("ann@example.com", True, mail(uid)) for uid in (3, 5, 9)]
    assert position(store, "ann", "Junk") == Position(7, 9)
    assert server.selected[0] == ("Junk", True), "nothing is changed in the mailbox"


def test_only_what_is_new_is_taught_after_a_restart(store):
    server = FakeServer([3, 5])
    folder(store, server, Lessons())
    server.messages[6] = mail(6)
    teach = Lessons()
    folder(store, server, teach)
    assert uids(teach) == [6]


def test_nothing_new_asks_for_no_message(store):
    """The server names the last message even if it is not after the one that was asked for."""
    server = FakeServer([3])
    folder(store, server, Lessons())
    teach = Lessons()
    folder(store, server, teach)
    assert teach.seen == []


def test_what_comes_while_it_waits_is_taught(store):
    server, teach = FakeServer([1]), Lessons()
    server.happens = [lambda: server.messages.update({2: mail(2)})]
    folder(store, server, teach, most=2)
    assert uids(teach) == [1, 2]
    assert server.waited == ["idle", 300.0, "idle", 300.0]
    assert server.connected == 1


def test_a_folder_that_was_made_anew_is_read_from_its_beginning(store):
    advance(store, "ann", "Junk", Position(6, 100), 1e9)
    server, teach = FakeServer([1, 2]), Lessons()
    folder(store, server, teach)
    assert uids(teach) == [1, 2]
    assert position(store, "ann", "Junk") == Position(7, 2)


def test_a_server_without_idle_is_asked_again_after_a_while(store):
    server = FakeServer([1], idles=False)
    assert folder(store, server, Lessons()) == [300.0]
    assert server.waited == []


def test_the_folder_for_honest_mail_teaches_that(store):
    teach = Lessons()
    folder(store, FakeServer([1]), teach, is_spam=False)
    assert teach.seen[0][1] is False


@pytest.mark.parametrize("mark", [b"X-Spam-Flag: YES", b"X-DSPAM-Result: Spam", b"x-spam-flag:yes "])
def test_what_the_filter_called_spam_itself_is_passed_over_in_the_junk_folder(store, mark):
    server, teach = FakeServer([1, 2]), Lessons()
    server.messages[1] = mark + b"\r\n" + mail(1)
    folder(store, server, teach)
    assert uids(teach) == [2]


def test_but_it_is_taught_as_ham(store):
    server, teach = FakeServer([1]), Lessons()
    server.messages[1] = b"X-Spam-Flag: YES\r\n" + mail(1)
    folder(store, server, teach, is_spam=False)
    assert uids(teach) == [1]


@pytest.mark.parametrize(
    "raw", [b"X-Spam-Flag: NO\r\n", b"Subject: X-Spam-Flag: YES\r\n", b"\r\nX-Spam-Flag: YES\r\n", b""]
)
def test_other_mail_is_not_known_as_spam(raw):
    assert not is_known_as_spam(raw)


@given(st.binary(max_size=300))
def test_no_message_makes_that_question_fail(raw):
    assert is_known_as_spam(raw) in (True, False)


def test_pauses_grow_while_the_server_is_away_and_it_goes_on_where_it_was(store):
    server, teach = FakeServer([1]), Lessons()
    server.fails = [ConnectionRefusedError("refused")] * 3
    assert folder(store, server, teach, most=4) == [FIRST_PAUSE, 2 * FIRST_PAUSE, 4 * FIRST_PAUSE, 0]
    assert uids(teach) == [1]


def test_no_pause_is_longer_than_the_longest(store):
    server = FakeServer()
    server.fails = [OSError("away")] * 50
    assert max(folder(store, server, Lessons(), most=50)) == LONGEST_PAUSE


def test_after_a_success_pauses_begin_anew(store):
    server = FakeServer([1])
    server.fails = [OSError("away")]

    def breaks():
        server.fails = [OSError("away")]
        raise ConnectionResetError("gone")

    server.happens = [breaks]
    assert folder(store, server, Lessons(), most=3) == [FIRST_PAUSE, FIRST_PAUSE, 2 * FIRST_PAUSE]
    assert server.closed == 1


def test_a_connection_that_breaks_in_the_middle_teaches_nothing_twice(store, monkeypatch):
    server, teach = FakeServer([1, 2, 3]), Lessons()
    whole, breaks = server.fetch, [OSError("gone")]

    def fetch(asked, data):
        if asked == [2] and breaks:
            raise breaks.pop()
        return whole(asked, data)

    monkeypatch.setattr(server, "fetch", fetch)
    folder(store, server, teach, most=2)
    assert uids(teach) == [1, 2, 3]
    assert (server.connected, server.closed) == (2, 2)
    assert position(store, "ann", "Junk") == Position(7, 3)


def test_what_can_not_be_taught_now_is_taught_later(store):
    server, teach = FakeServer([1, 2]), Lessons(TAUGHT, Answer(Outcome.LATER, "too many"), TAUGHT)
    assert folder(store, server, teach, most=2) == [FIRST_PAUSE, 0]
    assert uids(teach) == [1, 2, 2]


def test_what_can_never_be_taught_is_passed_over_and_logged(store, caplog):
    server, teach = FakeServer([1, 2]), Lessons(Answer(Outcome.NO_MAIL, "no mail\x1b"), TAUGHT)
    folder(store, server, teach)
    assert uids(teach) == [1, 2]
    assert "folder Junk: message 1: no mail" in caplog.text


def test_a_message_that_is_too_large_or_gone_is_passed_over(store, monkeypatch):
    server, teach = FakeServer([1, 2, 3]), Lessons()
    sizes = {1: LARGEST + 1, 3: 10}
    whole = server.fetch
    monkeypatch.setattr(
        server, "fetch",
        lambda asked, data: {uid: {b"RFC822.SIZE": sizes[uid]} for uid in asked if uid in sizes}
        if data == [b"RFC822.SIZE"] else whole(asked, data),
    )  # fmt: skip
    folder(store, server, teach)
    assert uids(teach) == [3]
    assert position(store, "ann", "Junk") == Position(7, 3)


def test_a_message_that_meets_a_defect_does_not_hold_up_the_others(store, caplog):
    server, teach = FakeServer([1, 2]), Lessons(ValueError("oops"), TAUGHT)
    folder(store, server, teach)
    assert uids(teach) == [1, 2]
    assert position(store, "ann", "Junk") == Position(7, 2)
    assert "message 1: unexpected" in caplog.text


def test_numbers_that_no_message_can_have_are_passed_over(store):
    server, teach = FakeServer([1, 2**32, 2**70]), Lessons()
    folder(store, server, teach)
    assert uids(teach) == [1]


@pytest.mark.parametrize("answer", [{}, {b"UIDVALIDITY": 0}, {b"UIDVALIDITY": b"x"}, {b"UIDVALIDITY": 2**70}])
def test_a_server_without_validity_is_left_alone(store, monkeypatch, answer):
    server, teach = FakeServer([1]), Lessons()
    monkeypatch.setattr(server, "select_folder", lambda folder, readonly: answer)
    assert folder(store, server, teach) == [FIRST_PAUSE]
    assert teach.seen == []


def test_a_folder_into_which_nothing_comes_is_not_forgotten(store):
    server = FakeServer([1])
    folder(store, server, Lessons())
    advance(store, "ann", "Junk", Position(7, 1), 1.0)  # long ago
    folder(store, server, Lessons())
    purge(store, 1e9 - 1)
    assert position(store, "ann", "Junk") == Position(7, 1)


def test_two_accounts_do_not_share_their_places(store):
    for account, name in itertools.product(["ann", "Ann"], ["Junk", "junk"]):
        assert position(store, account, name) is None
        advance(store, account, name, Position(1, 1), 1e9)
