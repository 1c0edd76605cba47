"""The check of rates: who is counted, who waits, and which login is stopped."""

from __future__ import annotations

import email
import email.policy
import shlex

import pytest

from antispam.checks import rates
from antispam.checks._shared.rates import RatesSettings, login_key, network_of, period_in_words
from antispam.checks._shared.rates_notices import Facts, period_in, to_owner, to_postmaster
from antispam.checks.rates import applies, decide, perform, tidy
from antispam.learning.languages import texts
from antispam.learning.people import People
from antispam.learning.settings import DspamSettings
from antispam.mail.access_map import EMPTY
from antispam.mail.connection import Connection
from antispam.mail.evidence import AuthFinding, ClientClass, ConnectionFinding, OwnMailFinding
from antispam.mail.findings import Findings
from antispam.mail.verdicts import Action
from antispam.settings import SettingsError, load_text
from antispam.store import StoreError, outbox, preferences, windows
from antispam.store.preferences import Preference, Scope
from support.checking import NOW, message, services

CLIENT = "198.51.100.7"


class Site:
    """A store and a clock; `send` is one message."""

    def __init__(self, store, config, **changes):
        self.now = NOW
        self.given = services(rates, f"[rates]\n{config}", store=store, clock=lambda: self.now, **changes)

    @property
    def settings(self):
        return self.given.settings[RatesSettings]

    def send(
        self, to=1, *, login="", client=ClientClass.EXTERNAL, ip=CLIENT, sender="a@example.org", enforced=True, **how
    ):
        recipients = [f"b{number}@example.com" for number in range(to)] if isinstance(to, int) else to
        found = [ConnectionFinding(client=client, ip=ip), AuthFinding(login=login), *how.pop("found", ())]
        it = message("Subject: x", mail_from=sender, to=recipients, login=login, found=found)
        finding = rates.collect(Connection("c", ip=ip, receiver="mx.example.com"), it, None, self.given)
        if finding is None:
            return None
        if finding.error:
            return finding
        if enforced:
            finding = perform(finding, it, None, self.given)
        assert type(finding).from_json(finding.to_json()) == finding
        return decide(finding, Findings(), self.settings, EMPTY)

    def letters(self):
        return [outbox.entry(self.given.store, one.id, self.now) for one in outbox.entries(self.given.store, self.now)]


def test_a_login_beyond_its_limit_is_stopped_until_it_is_released(store):
    site = Site(store, "login = 10\npostmaster = admin@example.com")
    assert site.send(10, login="ann").action is Action.CONTINUE
    verdict = site.send(1, login="Ann")
    assert (verdict.action, verdict.code, verdict.enhanced) == (Action.TEMPFAIL, 451, "4.7.1")
    assert "login ann sends unusually much mail (11 recipients within one hour)" in verdict.text
    site.now += 5 * 3600
    assert site.send(1, login="ann").action is Action.TEMPFAIL
    assert site.send(1, login="bob").action is Action.CONTINUE
    windows.release(store, "ann", "login ann")
    assert site.send(10, login="ann").action is Action.CONTINUE


def test_one_message_to_too_many_is_enough(store):
    assert Site(store, "login = 10").send(11, login="ann").action is Action.TEMPFAIL


def people_of(store, config="dspam_users = ann\nann = ann@example.com"):
    return People(load_text(f"[dspam]\n{config}", [DspamSettings])[DspamSettings], store)


def read(queued):
    return email.message_from_bytes(queued.content, policy=email.policy.default)


def words(queued):
    """The text, however its lines are broken."""
    return " ".join(read(queued).get_content().split())


def test_owner_and_postmaster_are_told_once(store):
    site = Site(store, "login = 10", people=people_of(store))
    for _ in range(3):
        site.send(11, login="ann")
    told = {one.recipients: one for one in site.letters()}
    assert set(told) == {("ann@example.com",), ("postmaster@mx.example.com",)}
    assert len(site.letters()) == 2
    assert {one.mail_from for one in told.values()} == {""}
    assert b"bms rates release ann" in told["postmaster@mx.example.com",].content
    assert b"bms rates" not in told["ann@example.com",].content
    assert "sent to 11 recipients within 1 hour" in words(told["ann@example.com",])


def test_each_stop_is_told(store):
    site = Site(store, "login = 10\npostmaster = admin@example.com")
    for _ in range(2):
        site.send(11, login="ann@example.com")
        windows.release(store, "ann@example.com", "login ann@example.com")
        site.now += 60
    assert sorted(one.recipients for one in site.letters()) == [("admin@example.com",)] * 2 + [("ann@example.com",)] * 2


def test_who_owns_the_login_and_is_postmaster_gets_the_postmasters_mail(store):
    site = Site(store, "login = 10\npostmaster = ann@example.com", people=people_of(store))
    site.send(11, login="ann")
    (told,) = site.letters()
    assert b"bms rates release ann" in told.content


def test_each_is_told_in_their_language(store):
    """The owner chose German; the postmaster is no user, and reads what the site reads."""
    preferences.put(store, Preference(Scope.USER, "ann", "language", "de"))
    site = Site(store, "login = 10\npostmaster = admin@example.com", people=people_of(store))
    site.send(11, login="ann")
    told = {one.recipients[0]: read(one) for one in site.letters()}
    assert told["ann@example.com"]["Subject"].startswith("Ihr Konto wurde angehalten")
    assert told["admin@example.com"]["Subject"].startswith("The login ann was stopped")


def test_the_postmaster_reads_the_language_of_the_site(store):
    site = Site(store, "login = 10\npostmaster = admin@example.com\n[web]\nlanguage = de\nurl = https://m.example/")
    site.send(11, login="ann")
    (told,) = site.letters()
    assert "innerhalb von 1 Stunde" in words(told)
    assert "    https://m.example/rates\r\n" in read(told).get_content()


def test_in_mode_log_nobody_is_stopped_and_yet_it_is_counted(store):
    site = Site(store, "login = 10")
    assert site.send(11, login="ann", enforced=False).action is Action.TEMPFAIL
    assert windows.find_stopped(store, "ann") is None
    assert site.letters() == []


def test_who_only_wants_to_know_changes_nothing(store):
    site = Site(store, "login = 10", read_only=True)
    assert site.send(11, login="ann", enforced=False).action is Action.TEMPFAIL
    assert windows.used(store, ["login ann"], NOW, 3600.0) == {"login ann": 0.0}


def test_a_login_that_is_excepted_is_not_counted(store):
    assert Site(store, "login = 10\nexcept_logins = Newsletter").send(1000, login="newsletter") is None


@pytest.mark.parametrize(
    ("limit", "other"),
    [
        ("client", {"ip": "203.0.113.1"}),
        ("sender", {"sender": "other@example.org"}),
        ("recipient", {"to": ["other@example.com"]}),
    ],
)
def test_each_limit_from_outside(store, limit, other):
    site = Site(store, f"{limit} = 2")
    assert [site.send().action for _ in range(2)] == [Action.CONTINUE] * 2
    verdict = site.send(ip="198.51.100.200")  # of the same network
    assert (verdict.action, verdict.code, verdict.enhanced) == (Action.TEMPFAIL, 451, "4.7.1")
    assert "unusually much mail" in verdict.text
    assert site.send(**other).action is Action.CONTINUE


def test_what_waits_is_not_counted_so_that_there_is_room_again(store):
    site = Site(store, "sender = 2")
    for _ in range(20):
        site.send()
    site.now += 3600
    assert windows.used(store, ["sender a@example.org"], NOW, 3600.0) == {"sender a@example.org": 2.0}
    site.now += 3600
    assert site.send().action is Action.CONTINUE


@pytest.mark.parametrize(
    "how",
    [
        {"client": ClientClass.INTERNAL},
        {"client": ClientClass.TRUSTED_RELAY},
        {"found": (OwnMailFinding(outbox_id=1, kind="answer"),)},
    ],
)
def test_who_is_not_counted(store, how):
    assert Site(store, "client = 1\nsender = 1\nrecipient = 1").send(**how) is None


def test_the_null_sender_and_a_local_pipe_are_many_peoples(store):
    assert Site(store, "client = 1\nsender = 1").send(sender="", ip="") is None


def test_as_shipped_only_logins_are_counted(store):
    site = Site(store, "")
    assert applies(site.settings)
    assert site.send(5) is None
    assert site.send(300, login="ann").action is Action.CONTINUE
    assert not applies(load_text("[rates]\nlogin = 0", [RatesSettings])[RatesSettings])


def test_a_store_that_is_down_is_an_error_for_on_error(store, monkeypatch):
    def down(*args, **how):
        raise StoreError("it is down")

    monkeypatch.setattr(windows, "use", down)
    site = Site(store, "login = 10")
    assert site.send(1, login="ann").error.startswith("the rates: ")


def test_what_no_window_has_any_more_is_forgotten(store):
    site = Site(store, "sender = 5")
    site.send()
    assert not tidy(site.given)
    site.now += 3 * 3600
    assert tidy(site.given)
    assert windows.busiest(store, "sender ", NOW, 3600.0) == []


@pytest.mark.parametrize(
    ("ip", "network"),
    [(CLIENT, "198.51.100.0/24"), ("2001:db8:1:2:3::1", "2001:db8:1:2::/64"), ("127.0.0.1", ""), ("", ""), ("x", "")],
)
def test_the_network_of_a_client(ip, network):
    assert network_of(ip) == network


@pytest.mark.parametrize(
    ("seconds", "words"), [(3600, "hour"), (7200, "2 hours"), (90, "90 seconds"), (86400, "day"), (120, "2 minutes")]
)
def test_a_period_in_words(seconds, words):
    assert period_in_words(seconds) == words


@pytest.mark.parametrize("login", ["ann\r\nBcc: x@y", "b\udc80b", "ü" * 300, "", "a\0b", "$(rm -r x); `y` 'z"])
@pytest.mark.parametrize("compose", [to_owner, to_postmaster])
@pytest.mark.parametrize("language", ["en", "de"])
def test_whatever_a_login_is_the_notice_has_one_header(login, compose, language):
    facts = Facts(login=login_key(login), used=11, period=60, sender="p@example.com", console="", now=NOW)
    content = compose(facts, "o@example.com", texts(language))
    head = content.partition(b"\r\n\r\n")[0]
    assert b"\nBcc:" not in head
    assert content.isascii()
    for line in email.message_from_bytes(content, policy=email.policy.default).get_content().splitlines():
        assert "bms rates release" not in line or len(shlex.split(line)) == 4


@pytest.mark.parametrize(
    ("seconds", "english", "german"),
    [
        (3600, "1 hour", "1 Stunde"),
        (172800, "2 days", "2 Tagen"),
        (90, "90 seconds", "90 Sekunden"),
        (0.5, "0.5 seconds", "0.5 Sekunden"),
    ],
)
def test_a_period_in_a_language(seconds, english, german):
    assert (period_in(texts("en"), seconds), period_in(texts("de"), seconds)) == (english, german)


@pytest.mark.parametrize("line", ["login = -1", "period = 0", "sender = x"])
def test_a_setting_that_makes_no_sense_is_an_error(line):
    with pytest.raises(SettingsError):
        load_text(f"[rates]\n{line}", [RatesSettings])
