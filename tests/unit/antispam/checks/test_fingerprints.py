"""Near copies of reported spam: what is found, what it counts, and whose word makes it count less."""

from __future__ import annotations

import dataclasses
import random

import pytest

from antispam.checks import fingerprints
from antispam.learning.fingerprinting import ADMINISTRATOR, Fingerprinter, FingerprintSettings, date_of
from antispam.learning.settings import DspamSettings
from antispam.mail.connection import Connection
from antispam.mail.evidence import SpfFinding
from antispam.mail.learned_evidence import OpinionFinding
from antispam.mail.verdicts import Action
from antispam.protocols.fingerprints import Kind
from antispam.protocols.spf import Result, SpfResult
from antispam.settings import load_text
from antispam.settings.program import ProgramSettings
from antispam.store import StoreError
from support.checking import NOW, message, services

_VOCABULARY = ["".join(random.Random(number).choices("abcdefghijklmnop", k=7)) for number in range(500)]


def words(seed, count=120):
    return " ".join(random.Random(seed).choices(_VOCABULARY, k=count))


SPAM = words(1)
LINK = "\r\nhttp://evil.example/pay?id=1\r\n"


def raw(text, subject="Offer"):
    return f"From: win@spam.example\r\nSubject: {subject}\r\n\r\n{text}\r\n".encode()


def letter(text, author="ann@example.org", **more):
    return message(f"From: {author}", "Subject: hello", body=text.encode(), **more)


def given(store, config="", now=NOW):
    classes = [ProgramSettings, DspamSettings, FingerprintSettings]
    usual = services(fingerprints, store=store, clock=lambda: now)
    return dataclasses.replace(usual, settings=load_text(config, classes))


def said(store, reporter="bob", now=NOW):
    return Fingerprinter(store, FingerprintSettings(), reporter, now)


def looked(store, it, **more):
    finding = fingerprints.collect(Connection("c"), it, None, given(store, **more))
    if finding is not None:
        assert fingerprints.Finding.from_json(finding.to_json()) == finding
    return finding


def points(finding):
    if finding is None:
        return {}
    return {hit.test: hit.points for hit in fingerprints.points(finding, {}, FingerprintSettings())}


def passed(domain):
    result = SpfResult(
        Result.PASS, identity="mailfrom", domain=domain, ip="192.0.2.1", mailfrom=f"a@{domain}", helo="h"
    )
    return SpfFinding(mailfrom=result)


def test_a_copy_of_what_one_user_reported_gets_a_few_points_with_the_facts(store):
    said(store).spam(raw(SPAM + LINK))
    finding = looked(store, letter(f"Dear Ann, {SPAM} 4711\r\nhttp://www.evil.example/pay?id=2\r\n"))
    assert points(finding) == {"FINGERPRINT_TEXT": 1.12, "FINGERPRINT_LINK": 0.62}
    verdict = fingerprints.decide(finding, {}, FingerprintSettings(), None)
    assert verdict.action is Action.CONTINUE
    assert "of a text that one person reported" in verdict.reason


def test_three_reporters_make_it_count_in_full(store):
    for reporter in ("bob", "carl", "dora"):
        said(store, reporter).spam(raw(SPAM))
    assert points(looked(store, letter(SPAM))) == {"FINGERPRINT_TEXT": 4.5}


def test_the_word_of_the_administrator_counts_as_three(store):
    said(store, ADMINISTRATOR).spam(raw(SPAM))
    assert points(looked(store, letter(SPAM))) == {"FINGERPRINT_TEXT": 4.5}


def test_all_that_one_reporter_can_do_stays_far_below_a_mark(store):
    """Mail is marked as spam from 6 points on: one user's newsletter is another's spam."""
    pdf = "\r\n--b\r\nContent-Type: application/pdf; name=a.pdf\r\n\r\n" + "x" * 500 + "\r\n--b--\r\n"
    head = ("From: a@news.example", "Content-Type: multipart/mixed; boundary=b")
    text = f"--b\r\n\r\n{SPAM}{LINK}{pdf}"
    for number in range(20):
        spam = "\r\n".join((*head, f"X-Number: {number}")) + f"\r\n\r\n{text}"
        said(store).spam(spam.encode())
    found = points(looked(store, message(*head, body=text.encode())))
    assert set(found) == {"FINGERPRINT_TEXT", "FINGERPRINT_LINK", "FINGERPRINT_FILE"}
    assert sum(found.values()) < 3.0


def test_whoever_reports_it_as_honest_takes_their_report_of_the_copy_back(store):
    said(store).spam(raw(SPAM))
    said(store).ham(raw(f"Dear Ann, {SPAM}", subject="other"))
    assert looked(store, letter(SPAM)) is None


def test_honest_mail_makes_its_boilerplate_common_for_all_reports(store):
    footer = words(2)
    said(store, "dora").ham(raw(f"{words(3)} {footer}{LINK}"))
    said(store).spam(raw(f"{SPAM} {footer}{LINK}"))
    assert points(looked(store, letter(f"{words(4, 30)} {footer}{LINK}"))) == {}
    assert points(looked(store, letter(SPAM)))["FINGERPRINT_TEXT"] > 0


def test_what_several_proved_senders_write_in_delivered_mail_becomes_common(store):
    footer = words(2, 40)
    said(store).spam(raw(f"{SPAM} {footer}{LINK}"))
    for number in range(5):
        domain = f"shop{number}.example"
        it = letter(
            f"{words(10 + number, 200)} {footer}{LINK}", f"a@{domain}", mail_from=f"a@{domain}", found=[passed(domain)]
        )
        finding = looked(store, it)
        assert points(finding) == {"FINGERPRINT_LINK": 0.62}
        fingerprints.afterwards(finding, it, given(store))
    assert looked(store, letter(f"{words(20, 200)} {footer}{LINK}")) is None


def test_the_footer_of_a_list_that_let_spam_through_is_no_mark_of_spam(store):
    footer = "\r\nhttp://lists.example/mailman/listinfo/fans\r\n"
    spam = f"List-Unsubscribe: <http://www.lists.example/mailman/listinfo/fans>, <mailto:x@lists.example>\r\n{SPAM}"
    said(store).spam(spam.replace(SPAM, f"\r\n{SPAM}{footer}{LINK}").encode())
    assert points(looked(store, letter(f"{words(4)}{footer}"))) == {}
    assert points(looked(store, letter(f"{words(4)}{LINK}"))) == {"FINGERPRINT_LINK": 0.62}


def test_copies_of_spam_make_nothing_common_however_often_they_are_delivered(store):
    said(store).spam(raw(SPAM))
    for number in range(6):
        domain = f"evil{number}.example"
        it = letter(SPAM, f"a@{domain}", mail_from=f"a@{domain}", found=[passed(domain)])
        fingerprints.afterwards(looked(store, it), it, given(store))
    assert points(looked(store, letter(SPAM)))


def test_nobody_who_is_not_proved_makes_anything_common(store):
    said(store).spam(raw(f"{SPAM}{LINK}"))
    for number in range(6):
        it = letter(f"{words(9)}{LINK}", f"a@bank{number}.example")
        fingerprints.afterwards(looked(store, it), it, given(store))
    assert points(looked(store, letter(f"{words(9)}{LINK}")))


def test_what_a_honeypot_gets_is_a_report(store):
    it = letter(SPAM, found=[OpinionFinding(honeypot=True)])
    fingerprints.afterwards(looked(store, it), it, given(store))
    assert points(looked(store, letter(SPAM))) == {"FINGERPRINT_TEXT": 1.12}


def test_a_honeypot_teaches_no_more_than_a_user_may(store):
    config = "[dspam]\nreport_rate = 2\n"
    for number in range(4):
        it = letter(words(number), found=[OpinionFinding(honeypot=True)])
        fingerprints.afterwards(looked(store, it), it, given(store, config))
    assert [bool(points(looked(store, letter(words(number))))) for number in range(4)] == [True, True, False, False]


def test_a_report_is_forgotten_when_its_time_is_over(store):
    said(store).spam(raw(SPAM))
    assert looked(store, letter(SPAM), now=NOW + 31 * 86400) is None


def test_tidying_ends(store):
    said(store).spam(raw(SPAM))
    late = given(store, now=NOW + 31 * 86400)
    turns = 0
    while fingerprints.tidy(late):
        turns += 1
    assert 0 < turns < 20


def test_mail_of_our_own_users_and_other_mail_is_left_alone(store):
    said(store).spam(raw(SPAM))
    assert looked(store, letter(SPAM, login="bob")) is None
    assert looked(store, letter(words(2))) is None


def test_all_nodes_share_one_key(store, database_url):
    from antispam.store import Store

    said(store).spam(raw(SPAM))
    other = Store(database_url)
    assert points(looked(other, letter(SPAM)))
    other.close()


def test_a_dead_database_is_an_error_of_the_check(store, monkeypatch):
    def fail(*_, **__):
        raise StoreError("gone")

    monkeypatch.setattr("antispam.store.fingerprints.matching", fail)
    assert looked(store, letter(SPAM)).error == "fingerprints: gone"


@pytest.mark.parametrize(
    ("field", "date"),
    [(b"Date: Tue, 14 Nov 2023 22:13:20 +0000\n", 1_700_000_000.0), (b"Date: nonsense\n", NOW + 5), (b"", NOW + 5)],
)
def test_when_a_message_was_written(field, date):
    assert date_of(field + b"\n\nhi", NOW + 5) == date


def test_broken_mail_raises_nothing(store):
    for body in ("\0" * 5000, "=" * 5000, "<a href='http://" * 999, ">" * 9999):
        for kind in ("text/html; charset=utf-7", "multipart/mixed; boundary=x", "application/pdf"):
            it = message(f"Content-Type: {kind}", "Content-Transfer-Encoding: base64", body=body.encode())
            looked(store, it)
            said(store).spam(it.raw())
            said(store).ham(it.raw())


def test_text_hides_behind_no_encoding_and_no_disguise(store):
    said(store).spam(raw(SPAM))
    html = "<p>" + "".join(f"{w[:3]}<b></b>{w[3:]} " for w in SPAM.split()).replace("a", "\u0430") + "</p>"
    it = message("Content-Type: text/html; charset=utf-8", body=html.encode())
    finding = looked(store, it)
    assert [one.kind for one in finding.near] == [Kind.TEXT]
