"""The learning filter in the journey: silent until taught, then an opinion for mail programs, and perhaps more."""

from __future__ import annotations

import dataclasses

import pytest

from antispam.accessmap import EMPTY
from antispam.checks import learned
from antispam.checks.learned import Finding, Remedy, Settings, act, collect, decide, tidy
from antispam.connection import Connection
from antispam.deadline import Deadline
from antispam.draft import AppendHeader, ChangeHeader, Draft
from antispam.evidence import AuthFinding, ClientClass, ConnectionFinding
from antispam.findings import Findings
from antispam.learning.teacher import Dictionaries, Score, Teacher
from antispam.message import Body, Header, Message, Recipient
from antispam.program import ProgramSettings
from antispam.services import Services
from antispam.settings import default_settings
from antispam.store import Store, StoreError, migrate
from antispam.verdicts import Action
from support.dns import ScriptedResolver

SPAM = "Subject: WIN {0}\r\n\r\nBuy cheap pills now, offer {0}, click here!\r\n"
HAM = "Subject: lunch {0}\r\n\r\nShall we meet for lunch on day {0}?\r\n"


@pytest.fixture(autouse=True)
def _spam_at(monkeypatch):
    """The arithmetic of these tests shall not change with the learner's threshold."""
    monkeypatch.setattr(learned, "SPAM_AT", 0.9)


@pytest.fixture
def store(tmp_path):
    url = f"sqlite:///{tmp_path / 'test.db'}"
    migrate(url)
    store = Store(url)
    yield store
    store.close()


@pytest.fixture
def taught(store):
    teacher = Teacher(store)
    for number in range(60):
        teacher.teach(SPAM.format(number).encode(), True)
        teacher.teach(HAM.format(number).encode(), False)
    return store


def services(store, dictionaries=None, **changes):
    settings = default_settings([ProgramSettings, Settings])
    settings = settings.replaced(dataclasses.replace(settings[Settings], **changes))
    return Services(
        settings=settings,
        resolver=ScriptedResolver({}),
        store=store,
        access=EMPTY,
        clock=lambda: 0.0,
        deadline=Deadline.after(5),
        dictionaries=dictionaries or Dictionaries(store),
    )


def message(text, *found):
    head, _, body = text.encode().partition(b"\r\n\r\n")
    it = Message("ref", "a@example.org", 0.0, Body(1 << 20), findings=Findings(None, found))
    for line in head.split(b"\r\n"):
        name, _, value = line.partition(b":")
        it.headers.append(Header(name, value))
    it.body.write(body)
    return it


def find(text, services, *found):
    return collect(Connection("c"), message(text, *found), Recipient("b@example.com"), services)


def verdict(finding, **changes):
    return decide(finding, Findings(), dataclasses.replace(Settings(), **changes), EMPTY)


def test_before_anybody_taught_anything_it_has_no_opinion(store):
    assert find(SPAM.format(0), services(store)) is None


def test_what_looks_like_taught_spam_is_spam_and_the_rest_is_not(taught):
    assert find(SPAM.format(99), services(taught)).is_spam
    assert not find(HAM.format(99), services(taught)).is_spam


@pytest.mark.parametrize("own", [ConnectionFinding(client=ClientClass.INTERNAL), AuthFinding(login="bob")])
def test_mail_of_our_own_users_is_not_classified_unless_asked_for(taught, own):
    assert find(SPAM.format(99), services(taught), own) is None
    assert find(SPAM.format(99), services(taught, dspam_internal=True), own) is not None


def test_a_dictionary_that_comes_into_being_is_noticed(store):
    now = [0.0]
    dictionaries = Dictionaries(store, clock=lambda: now[0])
    assert find(SPAM.format(0), services(store, dictionaries)) is None
    Teacher(store).teach(SPAM.format(0).encode(), True)
    now[0] = 6.0
    assert find(SPAM.format(0), services(store, dictionaries)) is not None


@pytest.mark.parametrize(
    ("remedy", "action"),
    [
        (Remedy.TAG, Action.CONTINUE),
        (Remedy.REJECT, Action.REJECT),
        (Remedy.QUARANTINE, Action.QUARANTINE),
        (Remedy.HOLD, Action.HOLD),
    ],
)
def test_what_happens_to_spam_is_the_administrator_s_choice(remedy, action):
    assert verdict(Finding(probability=0.99, spam=60, ham=60), spam=remedy).action is action


def test_honest_mail_passes_whatever_the_remedy():
    assert verdict(Finding(probability=0.8, spam=60, ham=60), spam=Remedy.REJECT).action is Action.CONTINUE


def test_nobody_is_refused_on_the_word_of_a_beginner():
    assert verdict(Finding(probability=0.99, spam=60, ham=49), spam=Remedy.REJECT).action is Action.CONTINUE


def edits(text, finding):
    draft = Draft(message(text))
    act(finding, verdict(finding), draft, services(None, dictionaries=object()))
    return draft.edits()


def test_the_fields_have_the_form_that_webmails_parse():
    found = {edit.name: edit.value for edit in edits(SPAM, Finding(probability=0.99, spam=9, ham=9))}
    assert found == {
        "X-DSPAM-Result": "Spam",
        "X-DSPAM-Confidence": "0.9800",
        "X-DSPAM-Probability": "0.9900",
        "X-Spam-Status": "Yes, score=10.5 required=5.0 tests=DSPAM",
        "X-Spam-Flag": "YES",
        "X-Spam-Level": "**********",
    }


def test_honest_mail_carries_no_flag():
    names = [edit.name for edit in edits(HAM, Finding(probability=0.01, spam=9, ham=9))]
    assert "X-Spam-Flag" not in names
    assert "X-Spam-Level" not in names


def test_the_same_fields_from_outside_are_removed():
    forged = "X-Spam-Status: No, score=-99\r\nX-DSPAM-Result: Innocent\r\n" + SPAM
    changes = [edit for edit in edits(forged, Finding(probability=0.99)) if not isinstance(edit, AppendHeader)]
    assert changes == [ChangeHeader("X-DSPAM-Result", 1, None), ChangeHeader("X-Spam-Status", 1, None)]


def test_the_score_is_required_where_spam_begins():
    assert Finding(probability=learned.SPAM_AT).score == pytest.approx(learned.REQUIRED)
    assert Finding(probability=0.5).score == 0
    assert (Finding(probability=0.0).score, Finding(probability=1.0).score) == pytest.approx((-47.2, 47.2), abs=0.1)


def test_the_dictionary_sees_where_the_message_comes_from_as_in_a_mailbox(taught):
    seen = []

    class Listening:
        def get(self, user):
            return self

        def classify(self, raw, deadline):
            seen.append(raw)
            return Score(0.5, False)

    connection = Connection("c", ip="192.0.2.1", name="mx.example.org", helo="a\r\nb\udcff", receiver="mx.example.com")
    collect(connection, message(SPAM), Recipient("b@example.com"), services(taught, Listening()))
    assert seen[0].startswith(
        b"Received: from a b\xff (mx.example.org [192.0.2.1])\r\n\tby mx.example.com\r\nSubject: "
    )


def test_a_database_that_is_gone_is_evidence_not_an_exception(taught):
    class Gone:
        def get(self, user):
            raise StoreError("database is locked")

    assert "database is locked" in find(SPAM, services(taught, Gone())).error


def test_housekeeping_folds_what_was_taught_and_the_scores_stay(taught):
    before = find(SPAM.format(99), services(taught)).probability
    passes = 0
    while tidy(services(taught)):
        passes += 1
    assert find(SPAM.format(99), services(taught)).probability == before
    assert passes < 100
