"""The score: hits become points, points a total."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from antispam.checks import score
from antispam.learning.settings import DspamSettings
from antispam.mail import score as sums  # not its Test by name, which pytest would take for one of its own
from antispam.mail.access_map import EMPTY
from antispam.mail.connection import Connection
from antispam.mail.evidence import ClientClass, ConnectionFinding
from antispam.mail.learned_evidence import Opinion, OpinionFinding
from antispam.mail.score import Counted, Hit, counted, total
from antispam.mail.score_table import TABLE
from antispam.settings import SettingsError, load_text
from antispam.settings.program import ProgramSettings
from dspam.learner import SPAM_AT
from support.checking import message, services
from support.learning import SPAM
from support.learning import message as letter
from support.learning import services as taught

TESTS = {name: sums.Test(name, points, "x", "why") for name, points in (("A", 2.0), ("B", -1.5), ("V", 8.0))}


def found(*hits: Hit, config: str = "", login: str = ""):
    it = message(login=login)
    it.findings.note("x", hits)
    return score.collect(Connection("c"), it, it.recipients[0], services(score, config, tests=TESTS))


def test_each_test_counts_what_the_table_says():
    finding = found(Hit("A", "seen"), Hit("B", "known"))
    assert finding.total == 0.5
    assert finding.tests == (Counted("A", 2.0, "seen"), Counted("B", -1.5, "known"))


def test_a_test_that_is_met_twice_counts_once_with_its_strongest_evidence():
    tests = counted([Hit("V", "a little", 1.0), Hit("V", "much", 4.0), Hit("V", "some", 2.0)], TESTS, {})
    assert tests == (Counted("V", 4.0, "much"),)


def test_evidence_is_kept_in_a_sentence_and_no_more():
    (one,) = counted([Hit("A", "x" * 1000)], TESTS, {})
    assert len(one.evidence) == 300


def test_the_administrator_gives_a_test_other_points():
    assert found(Hit("A", ""), config="[score]\na = 0.7\n").total == 0.7


def test_a_test_whose_points_vary_is_scaled_to_what_the_administrator_gives_it():
    assert found(Hit("V", "", 4.0), config="[score]\nV = 4\n").total == 2.0


def test_where_only_the_learner_counts_other_tests_are_left_out():
    assert found(Hit("A", "seen"), config="[score]\ncounts = learner\n").tests == ()


def test_a_test_that_is_switched_off_counts_nothing():
    assert found(Hit("V", "", 4.0), config="[score]\nV = 0\n").total == 0.0


@pytest.mark.parametrize("value", ["", "nan", "inf", "101", "-1e9", "much"])
def test_points_that_make_no_sense_are_an_error(value):
    with pytest.raises(SettingsError, match="expected"):
        load_text(f"[score]\nA = {value}\n", [score.Settings])


def test_the_total_has_one_decimal_place():
    assert total([Counted("A", 0.1), Counted("B", 0.2), Counted("C", 0.04)]) == 0.3


def test_a_message_that_meets_nothing_has_nothing_to_say():
    finding = found()
    assert finding.total == 0.0
    assert score.decide(finding, None, None, EMPTY).reason == ""


def test_the_log_tells_the_total_and_every_test():
    finding = found(Hit("A", "seen"), Hit("B", "known"))
    assert score.decide(finding, None, None, EMPTY).reason == "0.5 (A=2, B=-1.5)"


def test_mail_of_our_own_users_has_no_score():
    assert found(Hit("A", ""), login="ann") is None


def test_a_finding_can_be_stored_and_read_back():
    finding = found(Hit("A", "seen"))
    assert score.Finding.from_json(finding.to_json()) == finding


def test_a_recipient_s_own_tests_count_for_them_alone():
    it = message(to=("a@example.com", "b@example.com"), found=[ConnectionFinding(client=ClientClass.EXTERNAL)])
    it.findings.note("x", (Hit("A", ""),))
    it.recipients[0].findings.note("y", (Hit("V", "", 3.0),))
    given = services(score, tests=TESTS)
    totals = [score.collect(Connection("c"), it, one, given).total for one in it.recipients]
    assert totals == [5.0, 2.0]


def learned(probability, spam=100, ham=100, config=""):
    opinion = Opinion(dictionary="site", users=("",), probability=probability, spam=spam, ham=ham)
    it = letter(SPAM, ["b@example.com"], OpinionFinding(opinions=(opinion,)))
    settings = load_text(f"[dspam]\n{config}\n", [ProgramSettings, DspamSettings, score.Settings])
    given = dataclasses.replace(taught(None, settings[DspamSettings]), settings=settings)
    return score.collect(Connection("c"), it, it.recipients[0], given)


def test_what_the_dictionary_just_calls_spam_gets_the_points_of_mark():
    assert score.points_of(SPAM_AT) == score.CALLED_SPAM
    assert score.points_of(0.5) == 0


@pytest.mark.parametrize(("probability", "most"), [(1.0, "BAYES_SPAM"), (0.0, "BAYES_HAM")])
def test_its_opinion_is_bounded(probability, most):
    (one,) = learned(probability).tests
    assert (one.test, one.points) == (most, TABLE[most].points)


@pytest.mark.parametrize(("spam", "ham"), [(99, 100), (100, 99), (0, 0)])
def test_a_dictionary_that_has_learned_too_little_has_no_opinion(spam, ham):
    assert learned(0.9999, spam, ham).tests == ()


def test_a_user_may_ask_for_less():
    assert learned(0.9999, 20, 20, "least = 20").total == 9.0


def test_even_odds_say_nothing():
    assert learned(0.5).tests == ()


def test_an_opinion_that_is_only_logged_counts_nothing():
    assert learned(0.9999, config="mode = log").tests == ()


HITS = st.builds(
    Hit, st.sampled_from(["A", "B", "V", "UNKNOWN"]), st.text(max_size=400), st.none() | st.floats(-99, 99)
)
CHANGES = st.dictionaries(st.sampled_from(["A", "B", "V"]), st.floats(-100, 100))


@given(st.lists(HITS, max_size=20), CHANGES)
def test_whatever_is_met_counts_once_and_adds_up(hits, changes):
    tests = counted(hits, TESTS, changes)
    names = [one.test for one in tests]
    assert sorted(names) == sorted({hit.test for hit in hits})
    assert [abs(one.points) for one in tests] == sorted((abs(one.points) for one in tests), reverse=True)
    assert total(tests) == pytest.approx(sum(one.points for one in tests), abs=0.06)


@given(st.floats(0, 1), st.floats(0, 1))
def test_the_surer_the_dictionary_is_the_more_it_counts(one, other):
    low, high = sorted((one, other))
    assert TABLE["BAYES_HAM"].points <= score.points_of(low) <= score.points_of(high) <= TABLE["BAYES_SPAM"].points
