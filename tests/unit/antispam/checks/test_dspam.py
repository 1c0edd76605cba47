"""The learning filter in the journey: silent until taught, then an opinion for each user, and memory for reports."""

from __future__ import annotations

import contextlib
import dataclasses

import pytest
import sqlalchemy as sa

from antispam.checks._shared.lessons import SENDERS_SHARE
from antispam.checks.dspam import MAX_USERS, Finding, afterwards, collect, decide
from antispam.learning.delivered import as_delivered
from antispam.learning.teacher import Dictionaries, Teacher
from antispam.mail.access_map import EMPTY
from antispam.mail.connection import Connection
from antispam.mail.evidence import (
    AuthFinding,
    ClientClass,
    ConnectionFinding,
    DkimFinding,
    SenderListFinding,
    SpfFinding,
)
from antispam.mail.findings import Findings
from antispam.mail.learned_evidence import Opinion
from antispam.protocols.dkim import DkimResult, SignatureResult
from antispam.protocols.spf import Result, SpfResult
from antispam.store import Store, StoreError
from dspam.features import author_key, extract
from dspam.schema import dspam_signature
from dspam.store import Taught
from support.learning import HAM, SPAM, Learned, dspam_settings, message, services, teach

USERS = "dspam_users = ann, bob\nann = ann@example.com\nbob = bob@example.com, @bob.example\n"


@pytest.fixture
def taught(tmp_path):
    url = f"sqlite:///{tmp_path / 'taught.sqlite'}"
    Learned(taught=(("site", 120),)).put_into(url)
    with contextlib.closing(Store(url)) as store:
        yield store


def find(given, text=SPAM, to=("b@example.com",), *found):
    return collect(Connection("c"), message(text, to, *found), None, given)


def proved(domain):
    return DkimFinding(signatures=(SignatureResult(result=DkimResult.PASS, domain=domain),))


def test_before_anybody_taught_anything_it_has_no_opinion(store):
    assert find(services(store)) is None


def test_what_looks_like_taught_spam_is_spam_and_the_rest_is_not(taught):
    (spam,) = find(services(taught), SPAM.format(999)).opinions
    (ham,) = find(services(taught), HAM.format(999)).opinions
    assert (spam.is_spam, ham.is_spam) == (True, False)
    assert (spam.dictionary, spam.users, spam.spam, spam.ham) == ("site", ("",), 120, 120)


@pytest.mark.parametrize("own", [ConnectionFinding(client=ClientClass.INTERNAL), AuthFinding(login="bob")])
def test_mail_of_our_own_users_is_not_classified_unless_asked_for(taught, own):
    assert find(services(taught), SPAM, ("b@example.com",), own) is None
    asked = services(taught, dspam_settings("dspam_internal = yes"))
    assert find(asked, SPAM, ("b@example.com",), own) is not None


def test_each_user_has_an_opinion_of_his_own_dictionary(taught):
    ann = Teacher(taught, "ann")
    for each in range(120):
        ann.teach(SPAM.format(each).encode(), False)
        ann.teach(HAM.format(each).encode(), True)
    finding = find(services(taught, dspam_settings(USERS)), SPAM.format(999), ("ann@example.com", "x@example.com"))
    assert finding.of_user("ann").dictionary == "ann"
    assert not finding.of_user("ann").is_spam
    assert finding.of_user("").is_spam


def test_for_a_user_who_has_taught_too_little_the_screener_answers(taught):
    Teacher(taught, "ann").teach(HAM.format(1).encode(), False)
    finding = find(services(taught, dspam_settings(USERS)), SPAM.format(999), ("ann@example.com", "bob@example.com"))
    assert [(one.dictionary, one.users) for one in finding.opinions] == [("site", ("ann", "bob"))]


def test_a_young_dictionary_lends_from_the_screener_s_and_an_old_one_wins(taught):
    """Ann calls spam what the site calls honest, and the other way round. Forty of the rarer kind give half of the say."""
    said, ann = [], Teacher(taught, "ann")
    for each in range(120):
        ann.teach(SPAM.format(each).encode(), False)
        ann.teach(HAM.format(each).encode(), True)
        if each + 1 in (1, 40, 60, 120):
            opinion = find(services(taught, dspam_settings(USERS)), SPAM.format(999), ("ann@example.com",)).of_user(
                "ann"
            )
            said.append((opinion.dictionary, opinion.lent, opinion.own_part, opinion.is_spam))
    assert [one[:3] for one in said] == [("ann", "site", part) for part in (0.024, 0.5, 0.6, 0.75)]
    # With half of the say each, who is surer wins; with more of it she does.
    assert [is_spam for *_, part, is_spam in said if part != 0.5] == [True, False, False]


def test_what_may_be_done_about_spam_is_decided_by_the_dictionary_that_knows_more(taught):
    teach(taught, "ann", 5)
    opinion = find(services(taught, dspam_settings(USERS)), SPAM.format(999), ("ann@example.com",)).of_user("ann")
    assert (opinion.spam, opinion.ham) == (120, 120)


def test_while_none_has_learned_enough_the_one_that_learned_most_is_asked(store):
    teach(store, "ann", 5)
    teach(store, "site", 3)
    finding = find(services(store, dspam_settings(USERS)), SPAM.format(999), ("ann@example.com",))
    assert finding.of_user("ann").dictionary == "ann"


def test_who_opts_out_is_not_asked_for(taught):
    given = services(taught, dspam_settings("opt_out = yes"))
    assert find(given) is None


def test_exempt_recipients_are_not_asked_for(taught):
    given = services(taught, dspam_settings("dspam_exempt = postmaster@example.com, @quiet.example"))
    assert find(given, SPAM, ("postmaster@example.com", "x@quiet.example")) is None
    assert find(given, SPAM, ("postmaster@example.com", "x@example.com")) is not None


def test_beyond_the_first_hundred_users_the_screener_answers_for_all(taught):
    names = [f"u{number}" for number in range(MAX_USERS + 5)]
    config = f"dspam_users = {', '.join(names)}\n" + "".join(f"{name} = {name}@example.com\n" for name in names)
    finding = find(services(taught, dspam_settings(config)), SPAM, [f"{name}@example.com" for name in names])
    (opinion,) = finding.opinions
    assert len(opinion.users) == MAX_USERS + 1


def test_a_message_beyond_the_size_limit_is_not_classified_and_the_log_says_so(taught):
    given = services(taught, dspam_settings("dspam_sizelimit = 20"))
    finding = find(given)
    assert (finding.too_large, finding.opinions) == (True, ())
    assert "dspam_sizelimit" in decide(finding, Findings(), dspam_settings(), EMPTY).reason


def test_an_author_counts_as_proved_only_by_a_signature_or_spf_of_his_domain(taught):
    given = services(taught)
    spf = SpfFinding(
        mailfrom=SpfResult(
            result=Result.PASS, domain="example.org", ip="192.0.2.1", mailfrom="", helo="", identity="mailfrom"
        )
    )
    assert not find(given, HAM).authenticated
    assert find(given, HAM, ("b@example.com",), proved("example.org")).authenticated
    assert find(given, HAM, ("b@example.com",), spf).authenticated
    assert not find(given, HAM, ("b@example.com",), proved("spam.example")).authenticated
    assert not find(given, HAM, ("b@example.com",), proved("org")).authenticated
    two = HAM.replace("Bob <bob@example.org>", "bob@example.org, eve@spam.example")
    assert not find(given, two, ("b@example.com",), proved("example.org")).authenticated


def test_how_often_the_author_wrote_is_counted(taught):
    (opinion,) = find(services(taught), HAM).opinions
    assert (opinion.author_ham, opinion.author_spam) == (120, 0)


def test_a_whitelisted_sender_has_to_be_proved(taught):
    given = services(taught, dspam_settings("dspam_whitelist = a@example.org, @list.example"))
    assert not find(given).whitelisted
    assert find(given, SPAM, ("b@example.com",), proved("example.org")).whitelisted
    listed = SPAM.replace("win{0}@spam.example", "news@list.example")
    assert find(given, listed, ("b@example.com",), proved("list.example")).whitelisted
    assert not find(given, listed, ("b@example.com",), proved("spam.example")).whitelisted


def test_a_dictionary_that_comes_into_being_is_noticed(store):
    now = [0.0]
    dictionaries = Dictionaries(store, clock=lambda: now[0])
    assert find(services(store, dictionaries=dictionaries)) is None
    Teacher(store).teach(SPAM.format(0).encode(), True)
    now[0] = 6.0
    assert find(services(store, dictionaries=dictionaries)) is not None


def test_the_dictionary_sees_where_the_message_comes_from_as_in_a_mailbox(taught, monkeypatch):
    seen = []
    monkeypatch.setattr("antispam.checks.dspam.under", lambda trace, document: seen.append(trace) or document)
    connection = Connection("c", ip="192.0.2.1", name="mx.example.org", helo="a\r\nb\udcff", receiver="mx.example.com")
    collect(connection, message(SPAM), None, services(taught))
    assert seen[0] == b"Received: from a b\xff (mx.example.org [192.0.2.1])\r\n\tby mx.example.com\r\n"


def test_a_database_that_is_gone_is_evidence_not_an_exception(taught):
    class Gone:
        def get(self, user):
            raise StoreError("database is locked")

    assert "database is locked" in find(services(taught, dictionaries=Gone())).error


class Later(list):
    def __call__(self, table, row):
        self.append((table, row))


def after(given, text, to, *found):
    it = message(text, to, *found)
    finding = collect(Connection("c"), it, None, given)
    afterwards(finding, it, given)
    return finding


def test_what_users_may_report_is_remembered_for_each_of_them(store):
    later = Later()
    given = services(store, dspam_settings(USERS), write_later=later)
    after(given, SPAM, ("ann@example.com", "bob@example.com", "bob@bob.example", "x@example.com"))
    numbers = [given.dictionaries.make(user).number for user in ("ann", "bob")]
    assert [(table, row["signature"], row["user_id"]) for table, row in later] == [
        (dspam_signature, "abcdefghijkl", number) for number in numbers
    ]


def test_what_nobody_can_report_is_not_remembered(taught):
    later = Later()
    given = services(taught, dspam_settings(USERS), write_later=later)
    it = message(SPAM, ("x@example.com",))
    afterwards(collect(Connection("c"), it, None, given), it, given)
    assert (it.memo["dspam"][1], later) == ((), [])


def test_a_user_who_has_all_his_mail_learned_learns_what_it_was_found_to_be(taught):
    given = services(taught, dspam_settings(USERS + "dspam_train = ann\n"))
    after(given, SPAM.format(999), ("ann@example.com", "bob@example.com"))
    assert given.dictionaries.make("ann").totals() == (1, 0)
    assert given.dictionaries.make("bob").totals() == (0, 0)


def test_what_was_learned_by_itself_is_corrected_by_a_report_of_the_same_message(taught):
    given = services(taught, dspam_settings(USERS + "dspam_train = ann\n"))
    it = message(SPAM.format(999), ("ann@example.com",))
    finding = collect(Connection("c"), it, None, given)
    afterwards(finding, it, given)
    ann = given.dictionaries.make("ann")
    assert ann.learn(it.ref, it.memo["dspam"][0], False) is Taught.RETRAINED
    assert ann.totals() == (0, 1)


def test_what_a_honeypot_gets_is_learned_as_spam(taught):
    given = services(taught, dspam_settings("honeypot = trap@example.com"))
    finding = after(given, HAM.format(999), ("trap@example.com",))
    assert finding.honeypot
    assert given.dictionaries.make("site").totals() == (121, 120)


def test_a_proved_correspondent_is_learned_as_honest_but_has_a_share_only(taught):
    """Whoever was written to once could otherwise teach everybody's dictionary what he likes, under all names of his domain."""
    given = services(taught, dspam_settings("least = 1000"))
    for number in range(SENDERS_SHARE + 5):
        mail_from = f"win{number}@example.org"
        passed = SpfFinding(mailfrom=SpfResult(Result.PASS, "mailfrom", "example.org", "192.0.2.1", mail_from, "mx"))
        listed = SenderListFinding(sender=mail_from, whitelisted="ann wrote to it")
        sent = dataclasses.replace(
            message(SPAM.format(number), ("b@example.com",), passed, listed), mail_from=mail_from
        )
        sent.ref = f"ref{number}"
        afterwards(collect(Connection("c"), sent, None, given), sent, given)
    assert given.dictionaries.make("site").totals() == (120, 120 + SENDERS_SHARE)


def from_stranger(given, text, number):
    """One message of somebody whom SPF proves, as it is taken."""
    it = message(text, ("ann@example.com",), proved("example.org"))
    it.ref = f"ref{number}"
    finding = collect(Connection("c"), it, None, given)
    afterwards(finding, it, given)
    return finding.of_user("ann")


def test_what_nobody_confirmed_makes_no_author_known(taught):
    """With teft fourteen harmless messages of a stranger made one spam of theirs pass as whitelisted."""
    given = services(taught, dspam_settings(USERS + "dspam_train = ann\ndspam_screener =\n"))
    stranger = HAM.replace("bob@", "eve@")
    teach(taught, "ann", 20)
    for number in range(14):
        from_stranger(given, stranger.format(number), number)
    opinion = from_stranger(given, stranger.format(99), 99)
    assert (opinion.ham, opinion.author_ham) == (34, 0)
    # A report of one of them that it is honest confirms that one.
    ann = given.dictionaries.make("ann")
    ann.learn("ref3", given_keys(stranger.format(3)), True)
    ann.learn("ref3", given_keys(stranger.format(3)), False)
    assert from_stranger(given, stranger.format(100), 100).author_ham == 1


def given_keys(text):
    return extract(as_delivered(Connection("c"), message(text)))


def test_a_report_of_spam_ends_that_its_author_is_known(taught):
    """However implausible it is."""
    ann = Teacher(taught, "ann")
    for number in range(40):
        ann.teach(HAM.format(number).encode(), False)
        ann.teach(SPAM.format(number).encode(), True)
    key = author_key("bob@example.org")
    assert ann.written(key) == (0, 40)
    ann.teach(HAM.format(77).encode(), True)
    assert ann.written(key) == (1, 40)


def test_honest_mail_of_known_correspondents_starts_a_dictionary_that_nobody_taught(store):
    """Who only reports spam would never have any: no honest mail is called spam, so that none is reported."""
    given = services(store, dspam_settings(USERS))
    passed = SpfFinding(mailfrom=SpfResult(Result.PASS, "mailfrom", "example.org", "192.0.2.1", "a@example.org", "mx"))
    listed = SenderListFinding(sender="a@example.org", whitelisted="ann wrote to it")
    it = message(HAM.format(1), ("ann@example.com",), passed, listed)
    afterwards(collect(Connection("c"), it, None, given), it, given)
    site = given.dictionaries.make("site")
    assert site.totals() == (0, 1)
    assert site.learn(it.ref, it.memo["dspam"][0], True) is Taught.RETRAINED


def test_a_honeypot_starts_a_dictionary_where_nobody_can_report(store):
    given = services(store, dspam_settings("honeypot = trap@example.com"))
    after(given, SPAM.format(1), ("trap@example.com",))
    assert given.dictionaries.make("site").totals() == (1, 0)


def test_the_log_says_who_thinks_what():
    finding = Finding(opinions=(Opinion(dictionary="ann", users=("ann",), probability=0.99, is_spam=True),))
    told = decide(finding, Findings(), dspam_settings(), EMPTY)
    assert told.reason == "spam, probability 0.9900 (ann)"
    assert dataclasses.replace(finding, opinions=()).of_user("ann") is None


def test_signatures_of_a_message_can_be_written_in_one_go(store):
    given = services(store, dspam_settings(USERS))
    later = Later()
    given = dataclasses.replace(given, write_later=later)
    after(given, SPAM, ("ann@example.com", "bob@example.com"))
    with store.write() as connection:
        connection.execute(sa.insert(dspam_signature), [row for _, row in later])
