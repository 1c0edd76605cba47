"""What a message out of a mailbox teaches, for whom, and how often."""

from __future__ import annotations

import pytest

from antispam.deadline import Deadline
from antispam.learning.feedback import Means
from antispam.learning.fingerprinting import FingerprintSettings
from antispam.learning.lessons import Lessons, Outcome
from antispam.learning.settings import DspamSettings
from antispam.learning.teacher import Dictionaries
from antispam.mail.decisions import Decision
from antispam.mail.verdicts import quarantine as quarantined
from antispam.protocols.mailboxes import identity
from antispam.settings import default_settings
from antispam.settings.learn import LearnSettings
from antispam.store import Store, StoreError, outbox, quarantine
from antispam.store.quarantine import NewEntry
from dspam.features import extract
from dspam.store import TokenStore, pack_keys, put_signature
from support.learning import HAM, SPAM, dspam_settings, message
from support.stores import make_store

NOW = 1_700_000_000.0
RAW = SPAM.format(1).encode()
SIGNED = b"X-DSPAM-Signature: abcdefghijkl\r\n" + RAW
CONFIG = "dspam_users = ann, bob\nann = ann@example.com\nbob = bob@example.com\n"


@pytest.fixture
def store(tmp_path):
    store = Store(make_store(tmp_path / "test.db"))
    yield store
    store.close()


class Teaching:
    """Lessons over a store, and what the reputation was told."""

    def __init__(self, store, config=CONFIG, **learn):
        self.store, self.told = store, []
        settings = default_settings([DspamSettings, FingerprintSettings, LearnSettings])
        means = Means(
            settings=settings.replaced(dspam_settings(config), LearnSettings(**learn)),
            store=store,
            dictionaries=Dictionaries(store),
            tell=lambda ref, is_spam: self.told.append((ref, is_spam)),
            protect=lambda raw, ref: raw,
        )
        self.lessons = Lessons(means, lambda: NOW)

    def __call__(self, login, is_spam, raw=RAW):
        return self.lessons.teach(login, is_spam, raw, Deadline.after(60))

    def totals(self, user):
        found = Dictionaries(self.store).get(user)
        return found.totals() if found is not None else (0, 0)


def test_a_message_is_learned_for_the_user_and_for_the_screener(store):
    teach = Teaching(store)
    answer = teach("ann@example.com", True)
    assert (answer.outcome, answer.text) == (Outcome.TAUGHT, "learned as spam")
    assert [teach.totals(user) for user in ("ann", "site", "bob")] == [(1, 0), (1, 0), (0, 0)]


@pytest.mark.parametrize("login", ["ann", "ANN", "ann@example.com", "Ann+lists@Example.COM"])
def test_a_login_is_the_user_whose_it_is(store, login):
    teach = Teaching(store)
    teach(login, True)
    assert teach.totals("ann") == (1, 0)


def test_the_same_lesson_again_changes_nothing(store):
    teach = Teaching(store)
    teach("ann", True)
    assert teach("ann", True).text == "spam already; nothing changed"
    assert teach.totals("ann") == (1, 0)


def test_the_opposite_takes_the_first_lesson_back(store):
    teach = Teaching(store)
    teach("ann", True)
    assert teach("ann", False).text == "corrected: it is ham now"
    assert teach.totals("ann") == (0, 1)


def test_line_ends_do_not_make_another_message(store):
    teach = Teaching(store)
    teach("ann", True)
    teach("ann", True, RAW.replace(b"\r\n", b"\n"))
    assert teach.totals("ann") == (1, 0)


def test_the_signature_finds_what_the_filter_saw_and_the_reputation_hears_of_it(store):
    """Not what lies in the mailbox is learned then, which other programs may have changed."""
    teach = Teaching(store)
    number = Dictionaries(store).make("ann").number
    put_signature(store, number, "abcdefghijkl", pack_keys(extract(b"Subject: seen\r\n\r\nas the filter saw it\r\n")))
    teach("ann", True, SIGNED)
    assert TokenStore(store).verdict(number, "abcdefghijkl") is True
    assert TokenStore(store).verdict(number, identity(SIGNED)) is None
    assert teach.told == [("abcdefghijkl", True)]


def test_forwarding_and_learning_the_same_message_teach_once(store):
    """Both know it by its signature."""
    teach = Teaching(store)
    ann = Dictionaries(store).make("ann")
    put_signature(store, ann.number, "abcdefghijkl", pack_keys(extract(RAW)))
    ann.learn("abcdefghijkl", extract(RAW), True)
    assert teach("ann", True, SIGNED).text == "spam already; nothing changed"


def test_what_bms_train_taught_by_its_octets_is_not_taught_again_by_its_signature(store):
    teach = Teaching(store)
    ann = Dictionaries(store).make("ann")
    put_signature(store, ann.number, "abcdefghijkl", pack_keys(extract(RAW)))
    ann.teach(SIGNED, True)
    assert teach("ann", True, SIGNED).text == "spam already; nothing changed"
    assert teach("ann", False, SIGNED).text == "corrected: it is ham now"
    assert teach.totals("ann") == (0, 1)


def test_a_signature_that_the_store_does_not_know_is_no_signature(store):
    teach = Teaching(store)
    assert teach("ann", True, SIGNED).text == "learned as spam"
    assert teach.told == []


def test_who_is_no_user_teaches_the_screener(store):
    teach = Teaching(store)
    teach("carl@example.com", True)
    assert [teach.totals(user) for user in ("site", "carl@example.com")] == [(1, 0), (0, 0)]


def test_or_nobody_if_the_site_wants_that(store):
    teach = Teaching(store, everybody=False)
    assert teach("carl@example.com", True).outcome is Outcome.NO_USER
    assert teach.totals("site") == (0, 0)


def test_who_is_no_user_releases_nothing_that_others_wait_for(store):
    teach = Teaching(store)
    kept = [NewEntry("x@example.com", ("x@example.com",), Decision("spam_action", quarantined("0.99")))]
    with store.write() as connection:
        quarantine.insert(connection, message(HAM, ["x@example.com"]), kept)
    put_signature(store, Dictionaries(store).make("site").number, "abcdefghijkl", pack_keys(extract(RAW)))
    assert teach("carl@example.com", False, SIGNED).outcome is Outcome.TAUGHT
    assert outbox.entries(store, NOW) == []


def test_more_than_a_user_may_report_in_an_hour_comes_later(store):
    teach = Teaching(store, CONFIG + "report_rate = 2\n")
    answers = [teach("ann", True, SPAM.format(number).encode()).outcome for number in range(3)]
    assert answers == [Outcome.TAUGHT, Outcome.TAUGHT, Outcome.LATER]
    assert teach("bob", True).outcome is Outcome.TAUGHT


@pytest.mark.parametrize("raw", [b"", b"\r\n\r\n", b"GIF89a", b"\0" * 1000])
def test_what_is_no_mail_teaches_nothing(store, raw):
    teach = Teaching(store)
    assert teach("ann", True, raw).outcome is Outcome.NO_MAIL
    assert teach.totals("ann") == (0, 0)


@pytest.mark.parametrize("login", ["", "a\nb", "a\x1b[2J", "x" * 400])
def test_what_can_be_no_login_teaches_nothing(store, login):
    answer = Teaching(store)(login, True)
    assert answer.outcome is Outcome.NO_USER
    assert answer.text.isprintable()


def test_a_store_that_can_not_answer_means_later(store, monkeypatch):
    teach = Teaching(store)

    def fail(*arguments, **more):
        raise StoreError("locked\x1b")

    monkeypatch.setattr("antispam.learning.feedback.teach", fail)
    answer = teach("ann", True)
    assert (answer.outcome, answer.text) == (Outcome.LATER, "the database: locked\\x1b")
