"""Who gets a digest, when, and of what."""

from __future__ import annotations

import datetime
import email
import email.policy

import pytest
from bms import JOURNEY

from antispam.learning.digest_settings import Often
from antispam.mail.decisions import Decision
from antispam.mail.message import Body, Message, split_message
from antispam.mail.verdicts import quarantine
from antispam.service.application import Application, settings_classes
from antispam.service.digest import sending
from antispam.service.digest.sending import Means, latest_slot
from antispam.settings import SettingsError, load_text
from antispam.store import Store, accounts, outbox
from antispam.store import quarantine as kept_messages
from antispam.store.accounts import Account, Role
from antispam.store.preferences import Preference, Scope, put
from antispam.store.quarantine import NewEntry, of_ref
from antispam.store.release import release
from support.console import HASHED
from support.stores import make_store

NOON = datetime.datetime(2026, 3, 4, 12).astimezone().timestamp()  # a Wednesday
DAY = 86400.0
SPAM = Decision("spam_action", quarantine("score 7.1 reaches 6.0"))
CONFIG = (
    "[milter]\ndatadir = {folder}\n[store]\nurl = {url}\n[web]\nurl = https://mail.example.com/\n[dspam]\ndspam_users = bob\n"
    "bob = @sales.example.com, bob@example.com\n[digest]\nsend = yes\nsender = postmaster@example.com\n{more}"
)


class Site:
    def __init__(self, folder, more=""):
        url = make_store(folder / "bms.sqlite")
        self.now = NOON
        self.store = Store(url)
        self.settings = load_text(CONFIG.format(folder=folder, url=url, more=more), settings_classes(JOURNEY))
        self.means = Means(self.settings, self.store, lambda queued: b"X-Signed: yes\r\n" + queued, lambda: self.now)

    def keep(self, ref, user="bob", ago=3600.0):
        headers, content = split_message(b"Subject: %s\r\n\r\ntext\r\n" % ref.encode())
        message = Message(ref, "eve@example.org", self.now - ago, Body(1 << 20), headers=headers)
        message.body.write(content)
        address = user if "@" in user else f"{user}@example.com"
        with self.store.write() as connection:
            kept_messages.insert(connection, message, [NewEntry(user, (address,), SPAM)])

    def send(self):
        return [(sent.user, sent.address, sent.count) for sent in sending.sending(self.means)]

    def mails(self):
        found = [outbox.entry(self.store, one.id, self.now) for one in outbox.entries(self.store, self.now)]
        return [(one, email.message_from_bytes(one.content, policy=email.policy.SMTP)) for one in found]


@pytest.fixture
def site(tmp_path):
    made = Site(tmp_path)
    yield made
    made.store.close()


def test_a_user_with_something_new_gets_one_through_the_outbox(site):
    site.keep("aaa")
    assert site.send() == [("bob", "bob@example.com", 1)]
    ((queued, message),) = site.mails()
    assert (queued.kind, queued.mail_from, queued.recipients) == ("digest", "", ("bob@example.com",))
    assert (message["X-Signed"], message["To"]) == ("yes", "bob@example.com")
    assert "https://mail.example.com/kept/" in message.get_body(("plain",)).get_content()


def test_nobody_gets_one_without_news(site):
    assert site.send() == []
    site.keep("aaa")
    site.send()
    site.now += DAY
    assert site.send() == []


def test_the_next_one_tells_what_came_since(site):
    site.keep("aaa")
    site.send()
    site.now += DAY
    site.keep("bbb")
    assert site.send() == [("bob", "bob@example.com", 1)]
    assert "bbb" in site.mails()[-1][1].get_body(("plain",)).get_content()


def test_nobody_gets_two_a_day(site):
    site.keep("aaa")
    site.send()
    site.now += 3600
    site.keep("bbb", ago=1000)
    assert site.send() == []
    site.now += DAY
    assert site.send() == [("bob", "bob@example.com", 1)]


def test_what_may_still_be_written_waits_for_the_next_one(site):
    site.keep("aaa")
    site.keep("bbb", ago=10)
    assert site.send() == [("bob", "bob@example.com", 1)]
    site.now += DAY
    assert site.send() == [("bob", "bob@example.com", 1)]


def test_what_was_delivered_meanwhile_is_no_news(site):
    site.keep("aaa")
    (entry,) = of_ref(site.store, "aaa")
    release(site.store, entry, site.now, protect=lambda raw, ref: raw)
    assert site.send() == []


def test_old_mail_is_no_news_on_the_first_day(site):
    site.keep("aaa", ago=3 * DAY)
    assert site.send() == []


def test_after_an_outage_nothing_is_left_out(site):
    site.keep("aaa")
    site.send()
    site.now += 3 * DAY
    site.keep("bbb", ago=2 * DAY)
    assert site.send() == [("bob", "bob@example.com", 1)]


def test_of_many_messages_the_newest_are_listed(tmp_path):
    site = Site(tmp_path, "entries = 2\n")
    for number in range(5):
        site.keep(f"m{number}", ago=3600 - number)
    assert site.send() == [("bob", "bob@example.com", 5)]
    text = site.mails()[0][1].get_body(("plain",)).get_content()
    site.store.close()
    assert ("m4" in text, "m3" in text, "m2" in text, "And 3 more." in text) == (True, True, False, True)


def test_two_processes_send_one(site):
    site.keep("aaa")
    rounds = [sending.sending(site.means), sending.sending(site.means)]
    news = list(sending.digests.users_with_news(site.store, 0, site.now))
    assert [len(list(one)) for one in rounds] == [1, 0]
    queued = outbox.QueuedMessage(outbox.Kind.DIGEST, "x", "", ("bob@example.com",), b"late")
    assert not sending.digests.told(site.store, news[0], site.now, queued, site.now)
    assert len(site.mails()) == 1


# Who


def test_a_guessed_name_of_a_catch_all_gets_none(site):
    site.keep("aaa", "guessed@example.net")
    assert site.send() == []


def test_an_address_with_an_account_gets_one(site):
    accounts.add(site.store, Account("carol", Role.USER, HASHED, ("carol@example.net",)), NOON)
    site.keep("aaa", "carol@example.net")
    assert site.send() == [("carol@example.net", "carol@example.net", 1)]


def test_an_address_that_chose_how_often_gets_one(site):
    put(site.store, Preference(Scope.USER, "dora@example.net", "digest", "daily"))
    site.keep("aaa", "dora@example.net")
    assert site.send() == [("dora@example.net", "dora@example.net", 1)]


def test_addresses_that_the_configuration_lists_get_one(tmp_path):
    site = Site(tmp_path, "to = @example.net\n")
    site.keep("aaa", "erin@example.net")
    site.keep("bbb", "erin@elsewhere.example")
    assert site.send() == [("erin@example.net", "erin@example.net", 1)]
    site.store.close()


@pytest.mark.parametrize(
    "user", ["a b@example.net", "x\u202e@example.net", "<x>@example.net", "x@example.net, y@example.net"]
)
def test_nothing_that_is_no_plain_address_gets_into_a_header(tmp_path, user):
    site = Site(tmp_path, "to = @example.net\n")
    site.keep("aaa", user)
    assert site.send() == []
    site.store.close()


# How often


@pytest.mark.parametrize(
    ("scope", "owner", "word", "sent"),
    [
        (Scope.USER, "bob", "never", 0),
        (Scope.SITE, "", "never", 0),
        (Scope.USER, "bob", "weekly", 1),
        (Scope.USER, "bob", "nonsense", 1),
    ],
)
def test_users_choose_how_often(site, scope, owner, word, sent):
    put(site.store, Preference(scope, owner, "digest", word))
    site.keep("aaa")
    assert len(site.send()) == sent


def test_a_weekly_one_comes_on_the_next_monday(site):
    put(site.store, Preference(Scope.USER, "bob", "digest", "weekly"))
    site.keep("aaa")
    site.send()
    sent = []
    for day in range(1, 8):
        site.now = NOON + day * DAY
        site.keep(f"d{day}")
        if site.send():
            sent.append(day)
    assert sent == [5]


@pytest.mark.parametrize(
    ("hour", "often", "then"),
    [
        (6, Often.DAILY, (2026, 3, 4, 6)),
        (13, Often.DAILY, (2026, 3, 3, 13)),
        (12, Often.DAILY, (2026, 3, 4, 12)),
        (6, Often.WEEKLY, (2026, 3, 2, 6)),
    ],
)
def test_the_hour_is_that_of_the_clock_on_the_wall(hour, often, then):
    assert latest_slot(NOON, often, hour) == datetime.datetime(*then).astimezone().timestamp()


def test_a_clock_that_was_ahead_keeps_nobody_from_it(site):
    site.keep("aaa")
    site.now += 30 * DAY
    site.keep("bbb")
    site.send()
    site.now -= 30 * DAY
    site.keep("ccc")
    assert site.send() == []  # told until then: nothing is told twice
    site.now += 30 * DAY + 3600
    site.keep("ddd", ago=600)
    site.now += DAY
    assert site.send() == [("bob", "bob@example.com", 1)]


# Whether at all


@pytest.mark.parametrize(("old", "new"), [("send = yes", "send = no"), ("url = https://mail.example.com/", "")])
def test_without_what_it_needs_it_says_what_is_missing(tmp_path, old, new):
    text = CONFIG.format(folder=tmp_path, url="sqlite://", more="").replace(old, new)
    with pytest.raises(SettingsError, match=r"\[digest\] send"):
        sending.demand_sendable(load_text(text, settings_classes(JOURNEY)))


def test_without_a_sender_the_configuration_is_refused():
    with pytest.raises(ValueError, match="who sends the digests"):
        load_text("[digest]\nsend = yes\n", settings_classes(JOURNEY))


def test_housekeeping_sends_them(site):
    site.keep("aaa")
    application = Application(JOURNEY, site.settings, clock=lambda: site.now, record=False)
    for chore in application.chores():
        if chore.every == sending.EVERY:
            while chore.task():
                pass
    application.close()
    assert [queued.kind for queued, _ in site.mails()] == ["digest"]


@pytest.mark.parametrize(("site_language", "chosen", "subject"), [
    ("en", "de", "1 Nachricht"), ("de", "", "1 Nachricht"), ("de", "en", "1 message"),
])  # fmt: skip
def test_it_is_in_the_language_of_its_reader(tmp_path, site_language, chosen, subject):
    site = Site(tmp_path, f"[web]\nlanguage = {site_language}\n")
    if chosen:
        put(site.store, Preference(Scope.USER, "bob", "language", chosen))
    site.keep("aaa")
    site.send()
    ((_, message),) = site.mails()
    assert message["Subject"].startswith(subject)
    site.store.close()
