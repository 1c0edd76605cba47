"""The default classifier's arithmetic, against examples worked by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dspam import learner, marks
from dspam.features import HEADER, PAIR, STRUCTURE, WORD, extract
from dspam.learner import MARKS, Opinions, Totals, with_marks
from dspam.lesson import Counts
from dspam.regression import Regression
from support.learned import Memory

EVIDENCE_UNSEEN = 0.005


def keys_of(*kinds: int) -> np.ndarray:
    """One key of each of these kinds, all different."""
    return np.array([(number + 1) * 4 + kind for number, kind in enumerate(kinds)], dtype=np.int64)


def rows(*values: tuple[int, int, int]) -> Counts:
    return np.array(values, dtype=np.int32).reshape(-1, 3)


def mail(word: str, number: int = 0) -> bytes:
    return f"From: {word}{number}@{word}.example\nSubject: {word} offer {number}\n\nbuy {word} pills today {number}\n".encode()


def test_a_message_is_as_likely_spam_as_not_where_nothing_was_learned() -> None:
    assert Memory().score(extract(mail("new"))) == 0.5


def test_a_message_without_any_feature_is_as_likely_spam_as_not() -> None:
    assert learner.score(keys_of(), rows(), Totals(10_000, 10_000)) == 0.5


def test_regression_is_the_sum_of_weights_over_the_root_of_their_number() -> None:
    assert Regression(1.0, 0.1, 1).output(np.array([3.0, 1.0, 1.0, 1.0])) == 3.0


def test_one_step_of_regression_by_hand() -> None:
    """Four new features, rate 20: 20 / sqrt(4) each, times the error 1 - 0.5; a hundred hits slow it by 101 ** 0.15."""
    regression = Regression(rate=20.0, margin=0.1, steps=1)
    assert regression.step(np.zeros(4), np.array([0, 0, 0, 100]), True) == pytest.approx([5, 5, 5, 5 / 101**0.15])
    assert regression.step(np.zeros(4), np.zeros(4, np.int64), False) == pytest.approx([-5, -5, -5, -5])


def test_regression_does_not_learn_what_it_knows_by_its_margin() -> None:
    regression = Regression(rate=20.0, margin=0.1, steps=5)
    assert not regression.step(np.array([2.5]), np.zeros(1, np.int64), True).any()  # 0.924 is within 0.1 of 1
    assert regression.step(np.array([2.0]), np.zeros(1, np.int64), True).all()  # 0.881 is not


def test_regression_repeats_until_the_message_is_beyond_the_margin() -> None:
    regression = Regression(rate=1.0, margin=0.2, steps=100)
    moved = regression.step(np.zeros(1), np.zeros(1, np.int64), True)
    assert 1 / (1 + math.exp(-moved[0])) >= 0.8


def test_regression_learns_little_from_what_all_opinions_together_know() -> None:
    regression = Regression(rate=20.0, margin=0.02, steps=1)
    unknown, clear = np.zeros(4), np.zeros(4, np.int64)
    assert regression.step(unknown, clear, True, heard=4.0).sum() < regression.step(unknown, clear, True).sum() / 10
    assert not regression.step(unknown, clear, True, heard=-4.0).sum() < regression.step(unknown, clear, True).sum()


def test_naive_bayes_by_hand() -> None:
    """A word in 30 of 99 spam and 10 of 99 ham: log odds of 0.3 to 0.1, times unevenness 0.2 / 0.4, times 40 / 40.3. Of all
    words the sum is divided by one and the squares of the unevenness, to the power 0.85."""
    found = learner.opinions(keys_of(WORD), rows((30, 10, 0)), Totals(99, 99))
    expected = math.log((30 + EVIDENCE_UNSEEN) / (10 + EVIDENCE_UNSEEN)) * 0.5 * 40 / 40.3
    assert found == pytest.approx(Opinions(0.0, 0.0, expected / 1.25**0.85, expected, 0.0), abs=1e-9)


def test_what_was_never_taught_dilutes_nothing() -> None:
    """A hundred words, pairs and facts of the structure that nobody knows stand beside one that is known."""
    known = (50, 0, 2048)
    alone = learner.opinions(keys_of(WORD), rows(known), Totals(99, 99))
    kinds = [WORD] + [WORD, PAIR, STRUCTURE] * 100
    assert learner.opinions(keys_of(*kinds), rows(known, *[(0, 0, 0)] * 300), Totals(99, 99)) == pytest.approx(alone)


def test_words_that_both_kinds_have_alike_do_not_dilute_what_is_counted() -> None:
    spammy, common = [(50, 0, 0)] * 10, [(30, 30, 0)] * 300
    few = learner.opinions(keys_of(*[WORD] * 10), rows(*spammy), Totals(99, 99))
    many = learner.opinions(keys_of(*[WORD] * 310), rows(*spammy, *common), Totals(99, 99))
    assert many.words == pytest.approx(few.words)
    assert many.strongest_words == pytest.approx(few.strongest_words)


def test_the_weight_of_a_header_fact_that_both_kinds_have_alike_has_no_say() -> None:
    """It only shows what was taught last. From an unevenness of 0.1 on it counts in full."""
    found = learner.opinions(
        keys_of(HEADER, HEADER, HEADER), rows((50, 50, 2048), (55, 45, 0), (90, 10, 0)), Totals(99, 99)
    )
    assert found.header == 0
    assert learner.opinions(keys_of(HEADER), rows((56, 44, 2048)), Totals(99, 99)).header == 2


def test_the_strongest_are_counted_on_each_side_once() -> None:
    """Twenty words that are seen in spam only: the strongest fifteen speak, and no other takes the part of ham."""
    evidence = np.arange(1.0, 21.0)
    assert learner._strongest(evidence.copy(), 15) == sum(range(6, 21))
    assert learner._strongest(np.concatenate((evidence, -evidence)), 15) == 0


def test_each_opinion_hears_its_own_kinds_of_features_only() -> None:
    spammy = (50, 0, 2048)  # a weight of 2
    by_kind = {kind: learner.opinions(keys_of(kind), rows(spammy), Totals(99, 99)) for kind in range(4)}
    heard = {kind: tuple(value > 0 for value in found) for kind, found in by_kind.items()}
    assert heard == {
        HEADER: (True, False, False, False, True),
        WORD: (False, True, True, True, False),
        PAIR: (False, True, True, False, False),
        STRUCTURE: (False, True, False, False, False),
    }


def test_the_margin_bends_each_opinion_and_weighs_them() -> None:
    """The header regression at twice its spread says 2 ** 1.3; with 2 ham, and the logarithm of 501 for 500 spam, it has so
    much of its say."""
    say = 1.5 * (2 + math.log(501)) / (6 + math.log(501))
    assert learner.margin(Opinions(9.6, 0, 0, 0, 0), Totals(500, 2)) == pytest.approx(2**1.3 * say)
    assert learner.margin(Opinions(-9.6, 0, 0, 0, 0), Totals(500, 2)) == pytest.approx(-(2**1.3) * say)


def test_what_is_taught_more_often_is_no_likelier_for_that() -> None:
    """The logit 1.5 for each logarithm of the ratio is taken back, up to ten to one, as far as the opinions have a say."""
    assert learner.habit(Totals(9990, 990)) == pytest.approx(1.5 * np.log(10), rel=0.01)
    assert learner.habit(Totals(990, 9990)) == pytest.approx(-1.5 * np.log(10), rel=0.01)
    assert learner.habit(Totals(5000, 5000)) == pytest.approx(0)
    assert learner.habit(Totals(100_000, 1000)) == pytest.approx(1.5 * np.log(10), rel=0.02)
    assert learner.habit(Totals(0, 5000)) == 0


def test_a_young_dictionary_is_given_what_it_cannot_know() -> None:
    """A logit of 1.8, half of it with 40 messages of the rarer kind, as far as the opinions have a say; none where nothing is
    known."""
    assert learner.habit(Totals(0, 0)) == 0
    for number, given_ in ((40, 0.9), (80, 0.45), (400, 0.0)):
        known = number + math.log1p(number)
        assert learner.habit(Totals(number, number)) == pytest.approx(-given_ * known / (known + 4), abs=0.002)


def test_ham_alone_gives_no_opinion() -> None:
    memory = Memory()
    for number in range(50):
        memory.learn(extract(mail("ham", number)), False)
    assert memory.score(extract(mail("ham", 7))) == memory.score(extract(mail("spam", 7))) == 0.5


def test_spam_alone_gives_an_opinion() -> None:
    """Who reports nothing but spam would wait for ever otherwise: no ham is wrongly called spam, so that none is reported."""
    memory = Memory()
    for number in range(30):
        memory.learn(extract(mail("spam", number)), True)
    assert (
        memory.score(extract(mail("spam", 77)))
        >= learner.SPAM_AT
        > 0.9
        > memory.score(extract(b"Date: today\n\nhello"))
    )


def test_reports_of_errors_alone_teach_both_kinds() -> None:
    """Each message is reported only where it was misjudged; the last fifty of hundred pairs are judged without an error."""
    memory, errors = Memory(), []
    for number in range(100):
        for word in ("viagra", "minutes"):
            keys, is_spam = extract(mail(word, number)), word == "viagra"
            if (memory.score(keys) >= learner.SPAM_AT) != is_spam:
                memory.learn(keys, is_spam)
                errors.append(number)
    assert errors
    assert max(errors) < 50


def test_what_was_taught_is_recognised() -> None:
    memory = Memory()
    for number in range(30):
        memory.learn(extract(mail("viagra", number)), True)
        memory.learn(extract(mail("minutes", number)), False)
    assert memory.score(extract(mail("viagra", 99))) >= learner.SPAM_AT
    assert memory.score(extract(mail("minutes", 99))) < 0.05


def test_deltas_count_the_message_once_for_each_feature() -> None:
    counts = rows((3, 1, 0), (0, 0, 0))
    totals = Totals(9, 9)
    assert learner.deltas(keys_of(HEADER, WORD), counts, True, totals)[:, :2].tolist() == [[1, 0], [1, 0]]
    assert learner.deltas(keys_of(HEADER, WORD), counts, False, totals)[:, :2].tolist() == [[0, 1], [0, 1]]
    assert counts.tolist() == [[3, 1, 0], [0, 0, 0]]


def test_a_weight_never_leaves_its_column() -> None:
    full = rows((1, 1, -(2**31)), (1, 1, 2**31 - 1))
    for is_spam in (True, False):
        added = learner.deltas(keys_of(WORD, WORD), full, is_spam, Totals(9, 9))
        after = full[:, 2].astype(np.int64) + added[:, 2]
        assert (np.abs(after) < 2**31).all()


def test_undo_restores_every_count_and_score_exactly() -> None:
    memory = Memory()
    kept = [(extract(mail(word, number)), word == "spam") for number in range(10) for word in ("spam", "ham")]
    for keys, is_spam in kept:
        memory.learn(keys, is_spam)
    before = {key: row.tolist() for key, row in memory.rows.items()}
    scores = [memory.score(keys) for keys, _ in kept]
    mistake = extract(mail("ham", 3) + b"and more words")
    added = memory.learn(mistake, True)
    assert [memory.score(keys) for keys, _ in kept] != scores
    memory.add(mistake, added, True, sign=-1)
    assert {key: row.tolist() for key, row in memory.rows.items() if row.any()} == before
    assert [memory.score(keys) for keys, _ in kept] == scores


def test_trainings_of_two_nodes_give_the_same_in_either_order() -> None:
    first, second = extract(mail("one")), extract(mail("two"))
    one, two = Memory(), Memory()
    deltas = [
        (keys, learner.deltas(with_marks(keys), Memory().counts(with_marks(keys)), spam, Totals(0, 0)), spam)
        for keys, spam in ((first, True), (second, False))
    ]
    for memory, order in ((one, deltas), (two, deltas[::-1])):
        for training in order:
            memory.add(*training)
    assert one.score(first) == two.score(first)
    assert one.totals == two.totals == Totals(1, 1)


def test_contributions_name_the_guilty_features() -> None:
    keys = keys_of(HEADER, WORD, PAIR, STRUCTURE)
    spoken = learner.contributions(keys, rows((0, 40, -2048), (40, 0, 2048), (0, 0, 0), (9, 9, 1024)), Totals(99, 99))
    assert spoken[0] < 0 < spoken[3] < spoken[1]
    assert spoken[2] == 0


@given(
    st.lists(st.tuples(st.integers(0, 300), st.integers(0, 300), st.integers(-9000, 9000)), max_size=120),
    st.tuples(*[st.tuples(st.integers(0, 500), st.integers(0, 500), st.integers(-90_000, 90_000))] * 6),
    st.integers(0, 1000),
    st.integers(0, 1000),
)
def test_contributions_habit_and_excess_add_up_to_the_logit(
    values: list[tuple[int, int, int]], told: tuple[tuple[int, int, int], ...], spam: int, ham: int
) -> None:
    keys = with_marks(keys_of(*(number % 4 for number in range(len(values)))))
    counts, totals = rows(*told, *values), Totals(spam, ham)
    logit = learner.contributions(keys, counts, totals).sum() - learner.habit(totals) - learner.excess(counts, totals)
    assert 1 / (1 + math.exp(-min(max(logit, -700), 700))) == pytest.approx(
        learner.score(keys, counts, totals), abs=1e-9
    )


@given(
    st.lists(st.tuples(*[st.integers(-(2**31), 2**31 - 1)] * 3), max_size=20),
    st.integers(-(2**31), 2**31),
    st.integers(-(2**31), 2**31),
    st.booleans(),
)
def test_any_state_gives_a_probability_and_deltas_that_fit(
    values: list[tuple[int, int, int]], spam: int, ham: int, is_spam: bool
) -> None:
    """With and without marks, whatever they hold."""
    counts, totals = rows(*values), Totals(spam, ham)
    for before in (MARKS, MARKS[:0]) if len(values) >= len(MARKS) else (MARKS[:0],):
        keys = np.concatenate((before, keys_of(*(number % 4 for number in range(len(values) - len(before))))))
        assert 0.0 <= learner.score(keys, counts, totals) <= 1.0
        assert learner.deltas(keys, counts, is_spam, totals).dtype == np.int32
        assert np.isfinite(learner.contributions(keys, counts, totals)).all()


def taught(*, rounds: int = 40) -> Memory:
    """Who knows two kinds of mail well."""
    memory = Memory()
    for number in range(rounds):
        memory.learn(extract(mail("viagra", number)), True)
        memory.learn(extract(mail("minutes", number)), False)
    return memory


def test_an_opinion_is_divided_by_its_spread_on_this_mail() -> None:
    """950 lessons with a mean square of 4 beside 50 with 1: the spread is the root of 3.85, and the opinions say less."""
    keys, totals = keys_of(STRUCTURE), Totals(5000, 5000)
    told = rows(*[(0, 0, 0)] * 2, (475, 475, 4 * 950 * learner.SQUARE_UNIT), *[(0, 0, 0)] * 3, (0, 0, 3277))
    plain = learner.score(keys, told[len(MARKS) :], totals)
    logit = {p: math.log(p / (1 - p)) for p in (plain, learner.score(with_marks(keys), told, totals))}
    wide, narrow = sorted(logit.values())
    assert wide == pytest.approx(narrow / math.sqrt(3.85) ** 1.3, rel=1e-6)


def test_marks_are_taken_back_with_their_lesson() -> None:
    memory = taught(rounds=60)
    before = memory.counts(MARKS).tolist()
    assert all(row[2] for row in before)
    for is_spam in (True, False):
        keys = extract(mail("viagra"))
        added = memory.learn(keys, is_spam)
        assert memory.counts(MARKS).tolist() != before
        memory.add(keys, added, is_spam, sign=-1)
        assert memory.counts(MARKS).tolist() == before


def test_spreads_are_measured_on_what_was_judged_rightly_only() -> None:
    """Who reports errors alone would have all opinions divided by the small spread of those that were wrong."""
    memory = taught()
    measured = memory.counts(MARKS)[1:].tolist()
    for word, is_spam in (("minutes", True), ("viagra", False)):
        memory.learn(extract(mail(word, 99)), is_spam)
        assert memory.counts(MARKS)[1:].tolist() == measured
    memory.learn(extract(mail("viagra", 98)), True)
    assert [row[0] for row in memory.counts(MARKS)[1:].tolist()] == [row[0] + 1 for row in measured]


def marked(excess: float) -> Counts:
    """The marks of a dictionary that has this excess, in the order of MARKS."""
    return rows((0, 0, round(excess * learner.EXCESS_UNIT)), *[(0, 0, 0)] * (len(MARKS) - 1))


@pytest.mark.parametrize(("excess", "taken"), [(0.5, 0.5), (-0.5, -0.5), (9.0, 2.0), (-9.0, -1.0)])
def test_what_honest_mail_showed_to_be_too_much_is_taken_from_all_mail(excess: float, taken: float) -> None:
    """Within bounds: little can be given, and four times as much as the odds of a wrong label be taken."""
    keys, totals = keys_of(WORD), Totals(4000, 4000)
    counts = np.concatenate((marked(excess), rows((20, 30, 0))))
    plain = np.concatenate((marked(0), rows((20, 30, 0))))
    logit = [math.log(p / (1 - p)) for p in (learner.score(with_marks(keys), one, totals) for one in (plain, counts))]
    assert logit[0] - logit[1] == pytest.approx(taken, abs=0.01)
    assert learner.excess(counts, totals) == pytest.approx(taken, abs=0.01)


def test_two_honest_messages_in_a_hundred_may_score_high() -> None:
    """Then nothing moves; where more do, the excess grows, and where fewer do, it shrinks."""
    totals, keys = Totals(4000, 4000), with_marks(keys_of(*[HEADER] * 9, *[WORD] * 9))

    def moved(feature: tuple[int, int, int]) -> int:
        counts = np.concatenate((marked(0), rows(*[feature] * 18)))
        return int(learner.deltas(keys, counts, False, totals)[0, 2])

    low, high = moved((0, 3000, -4000)), moved((0, 0, 0))
    assert low < 0 < high
    assert high * 2 + low * 98 == pytest.approx(0, abs=high * 0.1)


def test_spam_and_a_young_dictionary_say_nothing_of_where_honest_mail_lies() -> None:
    keys, counts = with_marks(keys_of(WORD)), np.concatenate((marked(0), rows((0, 0, 0))))
    assert learner.deltas(keys, counts, True, Totals(4000, 4000))[0, 2] == 0
    assert learner.deltas(keys, counts, False, Totals(0, 4000))[0, 2] == 0


def test_a_lesson_that_is_hardly_believed_moves_no_bound() -> None:
    """Spam that somebody calls honest would otherwise take from all mail as much as a newsletter does."""
    totals, keys = Totals(4000, 4000), with_marks(keys_of(WORD))
    sure = learner.deltas(keys, np.concatenate((marked(0), rows((900, 0, 90_000)))), False, totals)[0, 2]
    unsure = learner.deltas(keys, np.concatenate((marked(0), rows((0, 0, 0)))), False, totals)[0, 2]
    assert 0 <= sure < unsure / 50


def test_one_wrong_label_hardly_moves_what_is_well_known() -> None:
    memory = taught()
    probe = extract(mail("minutes", 99))
    before = memory.score(probe)
    memory.learn(extract(mail("minutes", 41)), True)
    after = memory.score(probe)
    assert after < 0.5
    assert math.log(after / (1 - after)) - math.log(before / (1 - before)) < 3


def test_a_wrong_label_is_not_counted_for_what_the_other_kind_is_known_by() -> None:
    memory = taught()
    keys = extract(mail("minutes", 41) + b"quite another thing")
    known, added = memory.counts(keys), memory.learn(keys, True)[len(MARKS) :]
    header, well_known = keys & 3 == HEADER, known[:, 1] > 1
    assert set(added[well_known & ~header, 0].tolist()) == {0}
    assert set(added[~well_known, 0].tolist()) == {1}
    assert set(added[header, 0].tolist()) == {1}  # that an author sent spam is known from the first report on


def test_a_new_kind_of_honest_mail_that_looks_like_spam_is_known_after_two_reports() -> None:
    """Its words are those of spam; its sender is new."""

    def invoice(number: int) -> bytes:
        return (
            b"From: billing@shop.example\nList-Id: <bills.shop.example>\n" + mail("viagra", number).partition(b"\n")[2]
        )

    memory = taught()
    assert memory.score(extract(invoice(1))) >= learner.SPAM_AT
    for number in (1, 2):
        memory.learn(extract(invoice(number)), False)
    assert memory.score(extract(invoice(3))) < 0.5
    assert memory.score(extract(mail("viagra", 99))) > 0.9


def noticed(contradicted: int, sure: int) -> Counts:
    """The marks of a dictionary that so many lessons contradicted, of those of which it was sure."""
    return rows((contradicted, sure, 0), *[(0, 0, 0)] * (len(MARKS) - 1))


@pytest.mark.parametrize(
    ("contradicted", "sure", "wrong"),
    [
        (0, 0, 0.01),
        (9, 900, 0.01),
        (50, 900, 0.05),
        (150, 900, 0.15),
        (250, 900, 0.05),
        (900, 900, 0.01),
        (-5, -5, 0.01),
    ],
)
def test_the_share_of_wrong_labels_is_noticed(contradicted: int, sure: int, wrong: float) -> None:
    """One in a hundred is taken to be wrong anyway, and 100 sure lessons that agreed stand beside those that were taught. Where
    most contradict, only errors are reported."""
    assert marks.read(noticed(contradicted, sure)).wrong == pytest.approx(wrong)


def test_a_lesson_says_whether_it_contradicts_a_sure_dictionary() -> None:
    memory = taught()
    for word, is_spam, told in (("viagra", True, (0, 1)), ("viagra", False, (1, 1)), ("minutes", True, (1, 1))):
        marked_keys = with_marks(extract(mail(word, 99)))
        assert tuple(learner.deltas(marked_keys, memory.counts(marked_keys), is_spam, memory.totals)[0, :2]) == told
    unsure = with_marks(extract(b"Date: today\n\nhello"))
    assert not learner.deltas(unsure, memory.counts(unsure), True, memory.totals)[0, :2].any()


def test_where_labels_were_wrong_one_that_contradicts_moves_less() -> None:
    """A feature in one message of the other kind moves by at least 0.3 of a step; where 5 % of labels are wrong it may be as
    wrong as all others."""
    totals, keys = Totals(4000, 4000), with_marks(keys_of(*[HEADER] * 30))
    known = rows(*[(900, 0, 9000)] * 29, (0, 1, 0))
    trusted, doubted = (
        learner.deltas(keys, np.concatenate((noticed(*one), known)), False, totals)[-1, 2]
        for one in ((0, 1900), (100, 1900))
    )
    assert trusted < 0
    assert abs(doubted) < abs(trusted) / 100


def test_where_labels_were_wrong_what_one_kind_never_had_says_less() -> None:
    totals, keys = Totals(4000, 4000), with_marks(keys_of(*[WORD] * 20))
    trusted, doubted = (
        learner.score(keys, np.concatenate((noticed(*one), rows(*[(5, 0, 0)] * 20))), totals)
        for one in ((0, 1900), (100, 1900))
    )
    assert 0.5 < doubted < trusted


@pytest.mark.parametrize(
    ("spam", "ham", "rightly", "taken"),
    [
        (990, 20, 1010, 1.0),
        (990, 40, 1030, 0.5),
        (990, 20, 505, 0.5),  # half of it was reported as an error
        (990, 20, 0, 0),  # all of it was
        (990, 0, 990, 0),  # who teaches nothing but spam would wait for ever
        (20, 20, 40, 0),
        (20, 990, 1010, 0),
    ],
)
def test_while_little_honest_mail_is_known_beside_much_spam_a_logit_is_taken(
    spam: int, ham: int, rightly: int, taken: float
) -> None:
    """2, half of it with 20 honest messages, as far as all mail is taught and the opinions have a say."""
    told = rows((0, 0, 0), *[(rightly, 0, 0)] * (len(MARKS) - 1))
    totals = Totals(spam, ham)
    known = min(spam, ham) + math.log1p(spam)
    assert learner.excess(told, totals) == pytest.approx(taken * known / (known + 4), rel=0.01)


def test_plausibility_by_hand() -> None:
    assert learner.plausibility(0.0) == pytest.approx(0.49 / 0.50)
    assert learner.plausibility(-math.log(99)) == pytest.approx(0.0098 / 0.0198)
    assert learner.plausibility(-1e9) == pytest.approx(0)
    assert learner.plausibility(0.0, 0.05) == pytest.approx(0.45 / 0.50)
