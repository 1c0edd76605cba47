"""The tests of the score are facts for the learner: what each is worth here, a dictionary learns, and only if that is fair."""

from __future__ import annotations

import numpy as np
import pytest

from antispam.checks import dspam as dspam_check
from antispam.learning.teacher import TESTED_LEAST, Teacher
from antispam.mail.connection import Connection
from antispam.mail.score import Hit
from dspam.features import TESTED, extract, facts_of_tests
from support.learning import HAM, SPAM, message, services

LETTER = b"From: someone <x@nowhere.example>\r\nSubject: a new thing\r\n\r\nNothing of this was ever seen before.\r\n"


def keys(*tests):
    return np.sort(np.array(list(facts_of_tests(tests)), dtype=np.int64))


def taught(store, *, spam=(), ham=(), ham_tested=True, number=TESTED_LEAST):
    """A teacher who has learned so many messages of both kinds, that meet these tests."""
    teacher = Teacher(store, "site")
    for each in range(number):
        for is_spam, text, tests, tested in ((True, SPAM, spam, True), (False, HAM, ham, ham_tested)):
            facts = np.union1d(extract(text.format(each).encode()), keys(*tests) if tested else keys()[:0])
            teacher.learn(f"{is_spam} {each}", facts, is_spam)
    return teacher


def test_what_a_test_is_worth_here_is_learned(sqlite_store):
    teacher = taught(sqlite_store, spam=["RDNS_NONE"], ham=["DKIM_NONE"])
    unknown = extract(LETTER)
    worse, better = (teacher.judge(unknown, tests=keys(test)).probability for test in ("RDNS_NONE", "DKIM_NONE"))
    assert worse > teacher.judge(unknown).probability > better


def test_where_only_spam_was_reported_with_its_tests_they_say_nothing(sqlite_store):
    """Else each test that honest mail meets every day would be a sign of spam."""
    teacher = taught(sqlite_store, spam=["DKIM_NONE"], ham_tested=False)
    unknown = extract(LETTER)
    assert not teacher.knows_tests()
    assert teacher.judge(unknown, tests=keys("DKIM_NONE")) == teacher.judge(unknown)


@pytest.mark.parametrize(("number", "knows"), [(TESTED_LEAST, True), (TESTED_LEAST - 1, False)])
def test_a_few_messages_are_not_enough(sqlite_store, number, knows):
    assert taught(sqlite_store, number=number).knows_tests() is knows


def test_the_reasons_name_the_tests(sqlite_store):
    teacher = taught(sqlite_store, spam=["RDNS_NONE"])
    reasons = teacher.reasons(LETTER, tests=facts_of_tests(["RDNS_NONE"]))
    assert "it meets the test RDNS_NONE" in [feature for feature, _ in reasons.spam]


def test_the_check_tells_the_learner_what_the_rows_above_found_and_not_its_own_opinion(sqlite_store):
    taught(sqlite_store)
    it = message(SPAM)
    it.findings.note("connection", (Hit("RDNS_NONE", "seen"),))
    it.recipients[0].findings.note("score", (Hit("BAYES_SPAM", "seen", 9.0),))
    dspam_check.collect(Connection("c"), it, None, services(sqlite_store))
    learned, _ = it.memo["dspam"]
    told = set(learned.tolist())
    assert told >= {TESTED, *facts_of_tests(["RDNS_NONE"])}
    assert not told & (set(facts_of_tests(["BAYES_SPAM"])) - {TESTED})
