"""What a report teaches, what becomes of it, and what the user hears."""

from __future__ import annotations

import dataclasses
import email
import json

import pytest
import sqlalchemy as sa

from antispam.checks.feedback import Finding, collect, decide, perform
from antispam.journey.recorder import StoreRecorder
from antispam.mail.access_map import EMPTY
from antispam.mail.connection import Connection
from antispam.mail.decisions import Decision
from antispam.mail.findings import Findings
from antispam.mail.learned_evidence import TrainingFinding, Verb
from antispam.mail.verdicts import Action, quarantine
from antispam.store import StoreError
from antispam.store.history import HistoryWriter
from antispam.store.preferences import Preference, Scope, put
from antispam.store.quarantine import NewEntry
from antispam.store.schema import outbox, quarantine_entry
from dspam.features import extract
from dspam.store import pack_keys, put_signature
from support.learning import HAM, SPAM, dspam_settings, message, services

pytestmark = pytest.mark.every_database

CONFIG = """
dspam_users = ann, bob
ann = ann@example.com
bob = bob@example.com
spam = spam@example.com
ham = ham@example.com
"""
SPAM_REPORT = TrainingFinding(verb=Verb.SPAM, claimed="ann@example.com", user="ann")
HAM_REPORT = dataclasses.replace(SPAM_REPORT, verb=Verb.HAM)
REF = "abcdefgh2345"


def attached(*originals, top="From: ann@example.com\r\nMessage-ID: <1@example.com>\r\nSubject: Fwd\r\n"):
    parts = "".join(f"--b\r\nContent-Type: message/rfc822\r\n\r\n{one}\r\n" for one in originals)
    return f'{top}MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary="b"\r\n\r\n{parts}--b--\r\n'


def signed(text):
    return f"X-DSPAM-Signature: {REF}\r\n{text}"


def inline(text):
    return (
        "From: ann@example.com\r\nSubject: Fwd: WIN\r\n\r\nSpam!\r\n\r\n-------- Forwarded Message --------\r\n"
        f"Subject: WIN\r\nFrom: Pills <win@spam.example>\r\nTo: ann@example.com\r\n\r\n{text}\r\n"
    )


def remember(store, user="ann", text=SPAM):
    number = services(store).dictionaries.make(user).number
    put_signature(store, number, REF, pack_keys(extract(text.encode())), 1_700_000_000.0)


def taught(it, recipient, given):
    """As the runner does it for a row that is enforced."""
    finding = collect(Connection("c"), it, recipient, given)
    return finding if given.read_only else perform(finding, it, recipient, given)


def report(store, text, *, training=SPAM_REPORT, to=("spam@example.com",), others=(), config=CONFIG, **changes):
    it = message(text, [*to, *others])
    it.mail_from = "ann@example.com"
    for one in it.recipients[: len(to)]:
        one.findings.add(training)
    given = services(store, dspam_settings(config), **changes)
    return taught(it, it.recipients[0], given), given


def verdict(finding):
    return decide(finding, Findings(), dspam_settings(CONFIG), EMPTY)


def queued_messages(store):
    with store.read() as connection:
        return connection.execute(sa.select(outbox)).all()


def totals(given, user="ann"):
    return given.dictionaries.make(user).totals()


def test_an_attached_message_is_learned_and_the_report_dropped(store):
    finding, given = report(store, attached(SPAM))
    assert (finding.learned, totals(given)) == (1, (1, 0))
    assert verdict(finding).action is Action.DISCARD
    assert verdict(finding).reason == "ann reports spam: 1 learned"


def test_a_report_teaches_the_dictionary_that_lends_to_the_user_s_as_well(store):
    """So that it counts at once, while the user's own is young; taking it back takes both back."""
    remember(store)
    _, given = report(store, attached(signed(SPAM)))
    assert (totals(given), totals(given, "site")) == ((1, 0), (1, 0))
    _, given = report(store, attached(signed(SPAM)), training=HAM_REPORT)
    assert (totals(given), totals(given, "site")) == ((0, 1), (0, 1))


def test_without_a_screener_a_report_teaches_the_user_alone(store):
    _, given = report(store, attached(SPAM), config=CONFIG + "dspam_screener =\n")
    assert (totals(given), given.dictionaries.get("site")) == ((1, 0), None)


def test_several_at_once_are_learned_one_by_one(store):
    finding, given = report(store, attached(SPAM.format(1), SPAM.format(2), SPAM.format(3)))
    assert (finding.learned, totals(given)) == (3, (3, 0))


def test_what_the_signature_stands_for_is_learned_not_what_the_client_made_of_it(store):
    remember(store)
    finding, given = report(store, inline(f"Bu=\r\ny cheap [...]\r\n> <!DSPAM:{REF[:5]}=\r\n{REF[5:]}>"))
    assert finding.learned == 1
    ann = given.dictionaries.make("ann")
    assert [ann.written(key)[0] for key in extract(SPAM.encode()).tolist()] == [1] * len(extract(SPAM.encode()))


def test_a_signature_that_the_store_does_not_know_leaves_the_attached_message(store):
    finding, given = report(store, attached(signed(SPAM)))
    assert (finding.learned, totals(given)) == (1, (1, 0))


def test_of_a_message_that_another_user_got_what_was_sent_along_counts_and_else_his_copy(store):
    remember(store, "bob")
    finding, given = report(store, f"From: ann@example.com\r\nSubject: x\r\n\r\n<!DSPAM:{REF}>\r\n")
    assert (finding.learned, totals(given), totals(given, "bob")) == (1, (1, 0), (0, 0))


def test_a_replay_teaches_once(store):
    remember(store)
    for _ in range(3):
        finding, given = report(store, attached(signed(SPAM)))
    assert (finding.known, totals(given)) == (1, (1, 0))


def test_the_opposite_corrects(store):
    remember(store)
    report(store, attached(signed(SPAM)))
    finding, given = report(store, attached(signed(SPAM)), training=HAM_REPORT)
    assert (finding.corrected, totals(given)) == (1, (0, 1))


def test_the_answer_says_what_was_learned_and_how_much_is_needed(store):
    report(store, attached(SPAM.format(1), SPAM.format(2)))
    (queued,) = queued_messages(store)
    answer = email.message_from_bytes(queued.content)
    assert (queued.mail_from, json.loads(queued.recipients)) == ("", ["ann@example.com"])
    assert answer["Subject"] == "learned as spam; 2 of 200 messages seen"
    assert (answer["From"], answer["In-Reply-To"]) == ("spam@example.com", "<1@example.com>")


def test_the_answer_is_in_the_language_that_the_user_chose(store):
    put(store, Preference(Scope.USER, "ann", "language", "de"))
    report(store, attached(SPAM.format(1)))
    (queued,) = queued_messages(store)
    assert email.message_from_bytes(queued.content)["Subject"] == "als Spam gelernt; 1 von 200 Nachrichten gesehen"


def test_a_report_that_comes_twice_is_answered_once(store):
    report(store, attached(SPAM))
    report(store, attached(SPAM))
    assert len(queued_messages(store)) == 1


def test_answers_can_be_turned_off(store):
    report(store, attached(SPAM), config=CONFIG + "answers = no\n")
    assert queued_messages(store) == []


def test_programs_are_not_answered(store):
    report(store, attached(SPAM, top="From: ann@example.com\r\nAuto-Submitted: auto-generated\r\n"))
    assert queued_messages(store) == []


def test_a_login_that_uses_another_sender_is_answered_at_an_address_of_the_user(store):
    it = message(attached(SPAM), ["spam@example.com"])
    it.mail_from = "stranger@example.org"
    it.recipients[0].findings.add(SPAM_REPORT)
    taught(it, it.recipients[0], services(store, dspam_settings(CONFIG)))
    (queued,) = queued_messages(store)
    assert json.loads(queued.recipients) == ["ann@example.com"]


def test_where_nothing_is_found_the_sender_is_told_how_to_forward(store):
    finding, given = report(store, "From: ann@example.com\r\nSubject: hello\r\n\r\nThis was spam!\r\n")
    refused = verdict(finding)
    assert (refused.action, refused.code) == (Action.REJECT, 550)
    assert "as an attachment" in refused.text
    assert totals(given) == (0, 0)
    assert queued_messages(store) == []


def test_where_others_get_the_message_too_he_is_told_by_mail(store):
    finding, _ = report(store, "From: ann@example.com\r\nSubject: hello\r\n\r\nSpam!\r\n", others=["boss@example.com"])
    assert verdict(finding).action is Action.DISCARD
    (queued,) = queued_messages(store)
    assert b"Subject: not found" in queued.content


def test_who_says_both_is_asked_which(store):
    it = message(attached(SPAM), ["spam@example.com", "ham@example.com"])
    it.recipients[0].findings.add(SPAM_REPORT)
    it.recipients[1].findings.add(HAM_REPORT)
    given = services(store, dspam_settings(CONFIG))
    findings = [taught(it, one, given) for one in it.recipients]
    assert {verdict(one).action for one in findings} == {Action.REJECT}
    assert totals(given) == (0, 0)


def test_a_mail_too_large_to_be_read_is_refused(store):
    it = message("From: ann@example.com\r\n\r\n", ["spam@example.com"])
    it.body.limit = 10
    it.body.write(b"x" * 100)
    it.recipients[0].findings.add(SPAM_REPORT)
    finding = taught(it, it.recipients[0], services(store, dspam_settings(CONFIG)))
    assert verdict(finding).code == 552


def test_a_database_that_is_locked_has_the_report_come_again(store, monkeypatch):
    def locked(*arguments, **named):
        raise StoreError("database is locked")

    monkeypatch.setattr("antispam.learning.teacher.Teacher.learn", locked)
    finding, _ = report(store, attached(SPAM))
    assert (verdict(finding).action, verdict(finding).code) == (Action.TEMPFAIL, 451)


def test_after_an_error_half_way_the_next_try_goes_on(store, monkeypatch):
    from antispam.learning.teacher import Teacher

    learn, calls = Teacher.learn, []

    def once(self, *arguments, **named):
        calls.append(1)
        if len(calls) == 2:
            raise StoreError("disk full")
        return learn(self, *arguments, **named)

    monkeypatch.setattr(Teacher, "learn", once)
    mail = attached(SPAM.format(1), SPAM.format(2))
    assert verdict(report(store, mail)[0]).action is Action.TEMPFAIL
    finding, given = report(store, mail)
    assert (finding.learned, finding.known, totals(given)) == (1, 1, (2, 0))


def test_to_look_what_would_happen_teaches_nothing(store):
    _, given = report(store, attached(SPAM), read_only=True)
    assert totals(given) == (0, 0)
    assert queued_messages(store) == []


def kept(store, check="spam_action"):
    history = HistoryWriter(store)
    it = dataclasses.replace(message(HAM, ["ann@example.com"]), ref=REF)
    decision = Decision(check, quarantine("probability 0.99"))
    assert StoreRecorder(store, history, lambda: 1.0).store(it, [NewEntry("ann", ("ann@example.com",), decision, 0.99)])
    history.close()


def test_a_false_positive_is_released_to_its_recipients_and_teaches(store):
    kept(store)
    remember(store, text=HAM)
    finding, given = report(store, attached(signed(HAM)), training=HAM_REPORT, to=("ham@example.com",))
    assert (finding.released, totals(given)) == (1, (0, 1))
    queued = next(one for one in queued_messages(store) if one.kind == "release")
    assert (queued.mail_from, json.loads(queued.recipients)) == ("a@example.org", ["ann@example.com"])
    assert queued.content == HAM.encode()
    answer = next(one for one in queued_messages(store) if one.kind == "answer")
    assert b"Released to ann@example.com" in answer.content


def test_what_is_kept_is_found_by_its_reference_without_a_signature(store):
    kept(store)
    bare = f"From: ann@example.com\r\nSubject: please\r\n\r\n<!DSPAM:{REF}>\r\n"
    finding, given = report(store, bare, training=HAM_REPORT, to=("ham@example.com",))
    assert (finding.released, finding.learned, totals(given)) == (1, 1, (0, 1))


def test_a_report_that_comes_twice_releases_once(store):
    kept(store)
    remember(store, text=HAM)
    for _ in range(2):
        report(store, attached(signed(HAM)), training=HAM_REPORT, to=("ham@example.com",))
    assert [one.kind for one in queued_messages(store)].count("release") == 1


def test_what_another_check_kept_is_for_an_administrator_to_release(store):
    kept(store, "attachments")
    remember(store, text=HAM)
    finding, _ = report(store, attached(signed(HAM)), training=HAM_REPORT, to=("ham@example.com",))
    assert (finding.released, finding.learned) == (0, 1)


def test_spam_that_is_reported_stays_where_it_is(store):
    kept(store)
    remember(store, text=HAM)
    finding, _ = report(store, attached(signed(HAM)))
    assert finding.released == 0
    with store.read() as connection:
        assert connection.scalar(sa.select(quarantine_entry.c.outbox_id)) is None


def test_the_finding_can_be_stored_and_read_again(store):
    finding, _ = report(store, attached(SPAM))
    assert Finding.from_json(finding.to_json()) == finding
