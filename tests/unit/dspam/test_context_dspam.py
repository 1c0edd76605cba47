"""The context: what it learns in each mode, from each source, and takes back; groups, whitelisting, signatures, errors."""

from __future__ import annotations

import errno
import pickle
from collections.abc import Iterable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import dspam
from dspam.algorithms import Hits, Totals
from dspam.memory import MemoryStore
from dspam.tokenizers import token_key

HAM = b"From: Mary <mary@example.org>\nSubject: lunch\n\nshall we have lunch at noon\n"
SPAM = b"From: Shop <shop@example.com>\nSubject: pills\n\nbuy cheap pills online now\n"


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


def context(
    store: MemoryStore, mode: int = dspam.DSM_PROCESS, flags: int = dspam.DSF_SIGNATURE, **names: str
) -> dspam.ctx:
    """A context for bob over the store."""
    made = dspam.ctx(names.pop("user", "bob"), mode, flags, **names)  # type: ignore[arg-type]
    made.attach(store)
    return made


def teach(
    store: MemoryStore,
    message: bytes | None,
    verdict: int,
    source: int = dspam.DSS_CORPUS,
    sig: bytes | None = None,
    **more: int,
) -> dspam.ctx:
    """Tell bob's dictionary what a message is."""
    ds = context(store, flags=dspam.DSF_SIGNATURE | more.get("flags", 0))
    ds.training_mode = more.get("training_mode", dspam.DST_TEFT)
    ds.classification, ds.source = verdict, source
    ds.process(message, sig=sig)
    return ds


def trained(store: MemoryStore, times: int = 12) -> MemoryStore:
    """Both kinds, so often that every token is known well."""
    for _ in range(times):
        teach(store, HAM, dspam.DSR_ISINNOCENT)
        teach(store, SPAM, dspam.DSR_ISSPAM)
    return store


def hits(store: MemoryStore, *words: str, user: str = "bob") -> list[Hits]:
    """The hits of words."""
    known = store.counts(user, [token_key(word) for word in words])
    return [known.get(token_key(word), Hits(0, 0)) for word in words]


def only(hits: Iterable[Hits]) -> set[Hits]:
    return set(hits)


# --- classifying ---


def test_an_empty_dictionary_finds_everything_innocent(store: MemoryStore) -> None:
    ds = context(store, dspam.DSM_CLASSIFY)
    ds.process(SPAM)
    assert (ds.result, ds.class_name) == (dspam.DSR_ISINNOCENT, "Innocent")


@pytest.mark.parametrize("tokenizer", [dspam.DSZ_WORD, dspam.DSZ_CHAIN, dspam.DSZ_SBPH, dspam.DSZ_OSB])
@pytest.mark.parametrize(
    "algorithms",
    [
        dspam.DSA_GRAHAM | dspam.DSP_GRAHAM,
        dspam.DSA_BURTON | dspam.DSP_GRAHAM,
        dspam.DSA_ROBINSON | dspam.DSP_ROBINSON,
        dspam.DSA_CHI_SQUARE | dspam.DSP_ROBINSON,
        dspam.DSA_NAIVE | dspam.DSP_MARKOV,
    ],
)
def test_each_tokenizer_with_each_algorithm_tells_them_apart(
    store: MemoryStore, tokenizer: int, algorithms: int
) -> None:
    for message, verdict in ((HAM, dspam.DSR_ISINNOCENT), (SPAM, dspam.DSR_ISSPAM)) * 12:
        ds = context(store)
        ds.tokenizer = tokenizer
        ds.classification, ds.source = verdict, dspam.DSS_CORPUS
        ds.process(message)
    for message, verdict in ((HAM, dspam.DSR_ISINNOCENT), (SPAM, dspam.DSR_ISSPAM)):
        ds = context(store, dspam.DSM_CLASSIFY)
        ds.tokenizer, ds.algorithms = tokenizer, algorithms
        ds.process(message)
        assert ds.result == verdict
        assert 0.5 < ds.confidence <= 1


def test_classifying_changes_nothing(store: MemoryStore) -> None:
    trained(store)
    before = store.totals("bob"), hits(store, "pills")
    ds = context(store, dspam.DSM_CLASSIFY)
    ds.process(SPAM)
    assert (store.totals("bob"), hits(store, "pills")) == before
    assert not ds.learned


def test_factors_name_the_tokens_that_decided(store: MemoryStore) -> None:
    """ "pills" was in 12 of 12 spams and in nothing else: above ten hits, 0.9999."""
    ds = context(trained(store), dspam.DSM_CLASSIFY)
    ds.process(b"\n\npills")
    assert ds.factors == [("pills", 0.9999)]


def test_bias_protects_honest_mail(store: MemoryStore) -> None:
    """8 spams and 3 innocent of 10 each: 0.8 / 1.1 = 0.727; with bias 0.8 / (0.8 + 0.6) = 0.571."""
    store.train("bob", {token_key("offer"): Hits(8, 3)}, Totals(spam_learned=10, innocent_learned=10))
    values = []
    for flags in (0, dspam.DSF_BIAS):
        ds = context(store, dspam.DSM_CLASSIFY, flags)
        ds.process(b"\n\noffer")
        values.append(ds.factors[0][1])
    assert values == [pytest.approx(0.8 / 1.1), pytest.approx(0.8 / 1.4)]


def test_a_signature_can_be_classified_again(store: MemoryStore) -> None:
    first = context(store, dspam.DSM_CLASSIFY)
    first.process(SPAM)
    trained(store)
    again = context(store, dspam.DSM_CLASSIFY)
    again.process(None, sig=first.signature)
    assert again.result == dspam.DSR_ISSPAM


@pytest.mark.parametrize("message", [None, b"", "", HAM])
def test_classifying_a_signature_does_not_read_the_message(store: MemoryStore, message: bytes | str | None) -> None:
    """pydspam's programs write process(b"", sig=signature)."""
    first = context(store, dspam.DSM_CLASSIFY)
    first.process(SPAM)
    trained(store)
    again = context(store, dspam.DSM_CLASSIFY)
    again.process(message, sig=first.signature)
    assert (again.result, again.probability) == (dspam.DSR_ISSPAM, pytest.approx(1.0))


def test_an_empty_message_with_a_signature_is_the_signature(store: MemoryStore) -> None:
    first = context(store, dspam.DSM_CLASSIFY)
    first.process(SPAM)
    trained(store)
    again = context(store)
    again.process(b"", sig=first.signature)
    assert again.result == dspam.DSR_ISSPAM


def test_a_second_opinion_stands_and_is_what_is_learned(store: MemoryStore) -> None:
    ds = context(store)
    ds.second_opinion = lambda asked: dspam.DSR_ISSPAM if asked.result == dspam.DSR_ISINNOCENT else dspam.DSR_NONE
    ds.process(SPAM)
    assert (ds.result, ds.class_name) == (dspam.DSR_ISSPAM, "Spam")
    assert store.totals("bob") == Totals(spam_learned=1)


# --- training modes ---


def test_teft_learns_everything_as_it_finds_it(store: MemoryStore) -> None:
    context(store).process(HAM)
    assert store.totals("bob") == Totals(innocent_learned=1)
    assert only(hits(store, "lunch", "noon", "Subject*lunch")) == {Hits(0, 1)}


def test_a_message_counts_a_token_once_however_often_it_repeats_it(store: MemoryStore) -> None:
    context(store).process(b"\n\nlunch lunch lunch")
    assert hits(store, "lunch") == [Hits(0, 1)]


def toe(store: MemoryStore) -> dspam.ctx:
    ds = context(store)
    ds.training_mode = dspam.DST_TOE
    ds.process(HAM)
    return ds


@pytest.mark.parametrize(("spam", "innocent"), [(500, 100), (100, 500)])
def test_toe_learns_everything_up_to_a_hundred_messages_of_each_kind(
    store: MemoryStore, spam: int, innocent: int
) -> None:
    store.train("bob", {}, Totals(spam, innocent))
    assert toe(store).learned
    assert store.totals("bob") == Totals(spam, innocent + 1)


def test_toe_only_counts_messages_from_then_on(store: MemoryStore) -> None:
    store.train("bob", {}, Totals(101, 101))
    assert not toe(store).learned
    assert store.totals("bob") == Totals(101, 101, innocent_classified=1)
    assert hits(store, "lunch") == [Hits(0, 0)]


def test_toe_with_markov_values_learns_nothing_but_errors_from_the_beginning(store: MemoryStore) -> None:
    ds = context(store)
    ds.training_mode, ds.algorithms = dspam.DST_TOE, dspam.DSA_GRAHAM | dspam.DSP_MARKOV
    ds.process(HAM)
    assert store.totals("bob") == Totals(innocent_classified=1)


def test_an_error_by_text_is_taken_back_while_toe_learns_everything(store: MemoryStore) -> None:
    """As libdspam: it trains on everything until both kinds are known, and so takes the error back as well."""
    toe(store)
    teach(store, HAM, dspam.DSR_ISSPAM, dspam.DSS_ERROR, training_mode=dspam.DST_TOE)
    assert store.totals("bob") == Totals(spam_learned=1, spam_misclassified=1)
    assert hits(store, "lunch") == [Hits(1, 0)]


def test_an_error_by_text_takes_nothing_back_once_toe_is_mature(store: MemoryStore) -> None:
    store.train("bob", {token_key("lunch"): Hits(0, 7)}, Totals(101, 101))
    teach(store, HAM, dspam.DSR_ISSPAM, dspam.DSS_ERROR, training_mode=dspam.DST_TOE)
    assert store.totals("bob") == Totals(102, 101, spam_misclassified=1)
    assert hits(store, "lunch") == [Hits(1, 7)]


def test_toe_learns_an_error_and_takes_nothing_back_that_it_did_not_learn(store: MemoryStore) -> None:
    store.train("bob", {token_key("lunch"): Hits(0, 7)}, Totals(101, 101))
    ds = toe(store)
    teach(store, None, dspam.DSR_ISSPAM, dspam.DSS_ERROR, ds.signature, training_mode=dspam.DST_TOE)
    assert store.totals("bob") == Totals(spam_learned=102, innocent_learned=101, spam_misclassified=1)
    assert hits(store, "lunch") == [Hits(1, 7)]


def test_tum_learns_only_tokens_that_are_not_mature(store: MemoryStore) -> None:
    store.train("bob", {token_key("lunch"): Hits(20, 30), token_key("noon"): Hits(20, 29)}, Totals(20, 60))
    ds = context(store)
    ds.training_mode = dspam.DST_TUM
    ds.process(HAM)
    assert hits(store, "lunch", "noon") == [Hits(20, 30), Hits(20, 30)]
    assert store.totals("bob") == Totals(20, 61)
    # An error trains them all, and takes back only what was learned.
    teach(store, None, dspam.DSR_ISSPAM, dspam.DSS_ERROR, ds.signature, training_mode=dspam.DST_TUM)
    assert hits(store, "lunch", "noon") == [Hits(21, 30), Hits(21, 29)]


def test_notrain_changes_nothing_not_even_the_totals(store: MemoryStore) -> None:
    ds = context(store)
    ds.training_mode = dspam.DST_NOTRAIN
    ds.process(HAM)
    assert store.totals("bob") == Totals()
    assert hits(store, "lunch") == [Hits(0, 0)]


# --- sources ---


def test_an_error_takes_back_what_was_learned_and_learns_the_opposite(store: MemoryStore) -> None:
    """README of DSPAM, 1.2 TESTING: every token then has S: 1 and I: 0."""
    ds = context(store)
    ds.process(SPAM)
    teach(store, None, dspam.DSR_ISSPAM, dspam.DSS_ERROR, ds.signature)
    assert store.totals("bob") == Totals(spam_learned=1, spam_misclassified=1)
    assert only(hits(store, "pills", "Subject*pills", "now")) == {Hits(1, 0)}


def test_the_same_error_reported_twice_teaches_once(store: MemoryStore) -> None:
    ds = context(store)
    ds.process(SPAM)
    told = teach(store, None, dspam.DSR_ISSPAM, dspam.DSS_ERROR, ds.signature)
    before = store.totals("bob")
    again = teach(store, None, dspam.DSR_ISSPAM, dspam.DSS_ERROR, told.signature)
    assert store.totals("bob") == before
    assert (again.learned, again.result) == (False, dspam.DSR_ISSPAM)


def test_the_same_signature_reported_again_teaches_once(store: MemoryStore) -> None:
    """Who keeps the signature of before, as the example of docs/dspam.md does."""
    ds = context(store)
    ds.process(SPAM)
    for _ in range(3):
        told = teach(store, None, dspam.DSR_ISSPAM, dspam.DSS_ERROR, ds.signature)
        assert store.totals("bob") == Totals(spam_learned=1, spam_misclassified=1)
    assert not told.learned
    assert only(hits(store, "pills", "Subject*pills")) == {Hits(1, 0)}


def test_two_messages_that_are_the_same_are_two_messages(store: MemoryStore) -> None:
    signatures = []
    for _ in range(2):
        ds = context(store)
        ds.process(SPAM)
        signatures.append(ds.signature)
    for signature in signatures:
        teach(store, None, dspam.DSR_ISSPAM, dspam.DSS_ERROR, signature)
    assert store.totals("bob") == Totals(spam_learned=2, spam_misclassified=2)
    assert hits(store, "pills") == [Hits(2, 0)]


def test_signatures_of_the_first_version_are_read(store: MemoryStore) -> None:
    """They have no serial number; so whoever reports one of them twice, with the bytes of before, teaches twice."""
    context(store).process(b"\n\npills")
    old = b"D\x01\x02\x02" + token_key("pills").to_bytes(8, "little") + b"\x81"
    told = teach(store, None, dspam.DSR_ISSPAM, dspam.DSS_ERROR, old)
    assert hits(store, "pills") == [Hits(1, 0)]
    assert told.signature is not None
    assert told.signature[1] == 2


def test_nothing_is_owed_for_what_was_never_learned(store: MemoryStore) -> None:
    """libdspam stops at 0: an error by text takes back what nobody taught, and the next message counts in full."""
    for _ in range(3):
        teach(store, SPAM, dspam.DSR_ISSPAM, dspam.DSS_ERROR)
    assert store.totals("bob") == Totals(spam_learned=3, spam_misclassified=3)
    teach(store, SPAM, dspam.DSR_ISINNOCENT)
    assert hits(store, "pills") == [Hits(3, 1)]
    assert store.totals("bob") == Totals(3, 1, spam_misclassified=3, innocent_corpusfed=1)


def test_a_mistaken_report_is_taken_back_exactly(store: MemoryStore) -> None:
    trained(store, 3)
    ds = context(store)
    ds.process(HAM)
    before = hits(store, "lunch", "noon", "shall")
    told = teach(store, None, dspam.DSR_ISSPAM, dspam.DSS_ERROR, ds.signature)
    teach(store, None, dspam.DSR_ISINNOCENT, dspam.DSS_ERROR, told.signature)
    assert hits(store, "lunch", "noon", "shall") == before
    assert store.totals("bob")[:4] == (3, 4, 1, 1)


def test_an_error_without_a_signature_takes_back_by_the_full_text(store: MemoryStore) -> None:
    context(store).process(SPAM)
    teach(store, SPAM, dspam.DSR_ISSPAM, dspam.DSS_ERROR)
    assert store.totals("bob") == Totals(spam_learned=1, spam_misclassified=1)
    assert hits(store, "pills") == [Hits(1, 0)]


def test_corpus_learns_without_taking_anything_back(store: MemoryStore) -> None:
    teach(store, SPAM, dspam.DSR_ISSPAM)
    assert store.totals("bob") == Totals(spam_learned=1, spam_corpusfed=1)
    assert hits(store, "pills") == [Hits(1, 0)]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (Hits(0, 0), Hits(5, 0)),
        (Hits(4, 1), Hits(9, 1)),  # fewer than five of this kind and fewer than two of the other: hardly known
        (Hits(5, 0), Hits(7, 0)),
        (Hits(0, 2), Hits(2, 2)),
    ],
)
def test_an_inoculation_hits_unknown_tokens_five_times_and_known_ones_twice(
    store: MemoryStore, before: Hits, after: Hits
) -> None:
    """libdspam's figures."""
    store.train("bob", {token_key("pills"): before}, Totals())
    teach(store, SPAM, dspam.DSR_ISSPAM, dspam.DSS_INOCULATION)
    assert hits(store, "pills") == [after]


def test_an_inoculation_of_honest_mail_asks_the_other_way_round(store: MemoryStore) -> None:
    store.train("bob", {token_key("lunch"): Hits(1, 4), token_key("noon"): Hits(4, 1)}, Totals())
    teach(store, HAM, dspam.DSR_ISINNOCENT, dspam.DSS_INOCULATION)
    assert hits(store, "lunch", "noon") == [Hits(1, 9), Hits(4, 3)]


def test_an_inoculation_is_counted_as_from_a_corpus(store: MemoryStore) -> None:
    """Nobody classified it, so it is no true positive (spam learned - misclassified - from a corpus)."""
    teach(store, SPAM, dspam.DSR_ISSPAM, dspam.DSS_INOCULATION)
    assert store.totals("bob") == Totals(spam_learned=1, spam_corpusfed=1)


def test_unlearning_takes_a_training_back(store: MemoryStore) -> None:
    told = teach(store, SPAM, dspam.DSR_ISSPAM)
    teach(store, None, dspam.DSR_ISSPAM, sig=told.signature, flags=dspam.DSF_UNLEARN)
    assert store.totals("bob") == Totals()
    assert hits(store, "pills") == [Hits(0, 0)]


def test_unlearning_what_was_not_learned_does_nothing(store: MemoryStore) -> None:
    told = teach(store, SPAM, dspam.DSR_ISSPAM)
    teach(store, None, dspam.DSR_ISINNOCENT, sig=told.signature, flags=dspam.DSF_UNLEARN)
    assert store.totals("bob") == Totals(spam_learned=1, spam_corpusfed=1)


def test_a_user_who_reports_spam_ends_its_delivery(store: MemoryStore) -> None:
    """pydspam's own test: receive and report until it is quarantined."""
    for _ in range(12):
        context(store).process(HAM)
    for _ in range(30):
        ds = context(store)
        ds.process(SPAM)
        if ds.result == dspam.DSR_ISSPAM:
            break
        teach(store, None, dspam.DSR_ISSPAM, dspam.DSS_ERROR, ds.signature)
    assert ds.result == dspam.DSR_ISSPAM
    assert ds.probability > 0.9


# --- whitelisting ---


def whitelisted(store: MemoryStore, message: bytes = HAM) -> dspam.ctx:
    ds = context(store, dspam.DSM_CLASSIFY, dspam.DSF_WHITELIST)
    ds.process(message)
    return ds


def test_more_than_ten_innocent_messages_whitelist_a_from_line(store: MemoryStore) -> None:
    for count in range(11):
        assert whitelisted(store).class_name == "Innocent", count
        context(store, flags=dspam.DSF_WHITELIST).process(HAM)
    assert whitelisted(store).class_name == "Whitelisted"
    assert whitelisted(store, HAM.replace(b"Mary", b"Mallory")).class_name == "Innocent"


def test_a_whitelisted_sender_may_write_what_spammers_write(store: MemoryStore) -> None:
    trained(store)
    ds = whitelisted(store, SPAM.replace(b"Shop <shop@example.com>", b"Mary <mary@example.org>"))
    assert (ds.result, ds.class_name, ds.probability) == (dspam.DSR_ISINNOCENT, "Whitelisted", 0.0)


def test_one_spam_ends_whitelisting(store: MemoryStore) -> None:
    trained(store)
    teach(store, HAM, dspam.DSR_ISSPAM)
    assert whitelisted(store).class_name == "Innocent"


def test_train_on_error_counts_from_lines_all_the_same(store: MemoryStore) -> None:
    store.train("bob", {}, Totals(101, 101))
    for _ in range(11):
        ds = context(store, flags=dspam.DSF_WHITELIST)
        ds.training_mode = dspam.DST_TOE
        ds.process(HAM)
    assert whitelisted(store).class_name == "Whitelisted"
    assert hits(store, "lunch") == [Hits(0, 0)]


# --- noise reduction ---


def test_noise_patterns_are_learned_like_tokens(store: MemoryStore) -> None:
    """Nothing is known: every value is 0.4."""
    context(store, flags=dspam.DSF_NOISE).process(b"\n\nbuy cheap pills")
    assert hits(store, "bnr.s|0.40_0.40_0.40") == [Hits(0, 1)]


@pytest.mark.parametrize(("innocent", "names"), [(2500, {"buy", "pills"}), (2499, {"buy", "shakespeare", "pills"})])
def test_noise_is_left_out_once_a_user_has_2500_innocent_messages(
    store: MemoryStore, innocent: int, names: set[str]
) -> None:
    """buy and pills: 0.9999, banded 1.00; shakespeare: 0.0001, banded 0.00. The pattern was in 50 spams only."""
    words = {"buy": Hits(50, 0), "pills": Hits(50, 0), "shakespeare": Hits(0, 50), "bnr.s|1.00_0.00_1.00": Hits(50, 0)}
    deltas = {token_key(word): count for word, count in words.items()}
    store.train("bob", deltas, Totals(spam_learned=2500, innocent_learned=innocent))
    ds = context(store, dspam.DSM_CLASSIFY, dspam.DSF_NOISE)
    ds.process(b"\n\nbuy shakespeare pills")
    assert {name for name, _ in ds.factors} == names


def noise_in_a_toe_dictionary(store: MemoryStore) -> dspam.ctx:
    ds = context(store, flags=dspam.DSF_NOISE)
    ds.training_mode = dspam.DST_TOE
    ds.process(b"\n\nbuy shakespeare pills")
    return ds


def test_a_mature_toe_dictionary_learns_patterns_and_reduces_noise(store: MemoryStore) -> None:
    """It learned 200 innocent messages of 3,000, for the others were only counted: their patterns it knows all the same."""
    words = {"buy": Hits(150, 0), "pills": Hits(150, 0), "shakespeare": Hits(0, 150)}
    deltas = {token_key(word): count for word, count in words.items()}
    store.train("bob", deltas, Totals(200, 200, spam_classified=2800, innocent_classified=2800))
    assert len(noise_in_a_toe_dictionary(store).factors) == 3  # the pattern is not known yet
    for _ in range(10):
        noise_in_a_toe_dictionary(store)
    assert hits(store, "buy", "shakespeare") == [Hits(150, 0), Hits(0, 150)]
    assert {name for name, _ in noise_in_a_toe_dictionary(store).factors} == {"buy", "pills"}


def test_a_pattern_is_compared_with_the_messages_whose_patterns_were_learned(store: MemoryStore) -> None:
    """In 30 of 1,000 spams and 30 of 1,000 innocent messages: 0.5, and no noise, though only 40 spams were learned."""
    words = {"buy": Hits(40, 0), "pills": Hits(40, 0), "shakespeare": Hits(0, 150)}
    words |= {"bnr.s|1.00_0.00_1.00": Hits(30, 30), "bnr.t|": Hits(1000, 1000)}
    store.train("bob", {token_key(word): count for word, count in words.items()}, Totals(40, 3000))
    ds = context(store, dspam.DSM_CLASSIFY, dspam.DSF_NOISE)
    ds.process(b"\n\nbuy shakespeare pills")
    assert len(ds.factors) == 3


# --- groups ---


def test_a_merged_group_is_read_and_never_written(store: MemoryStore) -> None:
    """README of DSPAM, 2.1: group 10 spam, 0 innocent; user 5 and 15; merged 15 and 15, which is 0.5."""
    viagra = token_key("Viagra")
    store.train("site", {viagra: Hits(10, 0)}, Totals(spam_learned=20, innocent_learned=20))
    store.train("bob", {viagra: Hits(5, 15)}, Totals(spam_learned=20, innocent_learned=20))
    ds = context(store, flags=dspam.DSF_MERGED, group="site")
    ds.process(b"\n\nViagra")
    assert ds.factors == [("Viagra", 0.5)]
    assert hits(store, "Viagra", user="site") == [Hits(10, 0)]
    assert hits(store, "Viagra") == [Hits(5, 16)]


def test_a_shared_group_has_one_dictionary_and_signatures_of_each(store: MemoryStore) -> None:
    ds = context(store, group="sales")
    ds.process(HAM)
    assert ds.signature is not None
    ds.set_signature("id1", ds.signature)
    assert store.totals("sales") == Totals(innocent_learned=1)
    assert store.totals("bob") == Totals()
    assert not context(store, user="eve", group="sales").verify_signature("id1")


# --- signatures ---


def test_signatures_are_kept_found_and_forgotten(store: MemoryStore) -> None:
    ds = context(store, dspam.DSM_TOOLS)
    assert not ds.verify_signature("id1")
    ds.set_signature("id1", b"content")
    assert ds.verify_signature("id1")
    assert ds.get_signature("id1") == b"content"
    ds.delete_signature("id1")
    for call in (ds.get_signature, ds.delete_signature):
        with pytest.raises(dspam.error, match="no signature 'id1'"):
            call("id1")


def test_no_signature_without_the_flag(store: MemoryStore) -> None:
    ds = context(store, flags=0)
    ds.process(HAM)
    assert ds.signature is None


@given(st.binary(max_size=40))
def test_a_broken_signature_is_an_error_and_nothing_else(content: bytes) -> None:
    store = MemoryStore()
    ds = context(store)
    ds.classification, ds.source = dspam.DSR_ISSPAM, dspam.DSS_ERROR
    with pytest.raises(dspam.error):
        ds.process(None, sig=b"X" + content)
    with pytest.raises(dspam.error):
        ds.process(None, sig=b"D\x01\x01\x09" + content[:9])
    assert store.totals("bob") == Totals()


# --- attributes ---


def test_ignored_headers_are_not_read_until_attributes_are_cleared(store: MemoryStore) -> None:
    ds = context(store)
    ds.addattribute("IgnoreHeader", "Subject")
    ds.addattribute("IgnoreHeader", "Resent-To")
    assert ds.tokenize("Subject: free\nResent-To: bob", None) == {}
    ds.clearattributes()
    assert len(ds.tokenize("Subject: free\nResent-To: bob", None)) == 2


def test_tokenize_gives_names_and_frequencies_by_key() -> None:
    ds = dspam.ctx("bob", dspam.DSM_TOOLS)
    assert ds.tokenize(b"Subject: free\n\n", b"free pills free") == {
        token_key("Subject*free"): ("Subject*free", 1),
        token_key("free"): ("free", 2),
        token_key("pills"): ("pills", 1),
    }


# --- storage ---


def test_a_context_needs_storage_and_gives_it_back(store: MemoryStore) -> None:
    ds = dspam.ctx("bob", dspam.DSM_PROCESS)
    with pytest.raises(dspam.error, match="attach"):
        ds.process(HAM)
    ds.attach(store)
    with pytest.raises(dspam.error, match="already"):
        ds.attach(store)
    ds.process(HAM)
    ds.detach()
    assert ds.result == dspam.DSR_ISINNOCENT
    with pytest.raises(dspam.error, match="attach"):
        ds.process(HAM)
    ds.destroy()
    ds.destroy()
    with pytest.raises(dspam.error, match="destroyed"):
        ds.attach(store)


def test_libdspam_init_names_the_store_of_every_context(store: MemoryStore) -> None:
    dspam.libdspam_init(store)
    try:
        with dspam.ctx("bob", dspam.DSM_PROCESS) as ds:
            ds.process(HAM)
        assert store.totals("bob") == Totals(innocent_learned=1)
    finally:
        dspam.libdspam_shutdown()
    with pytest.raises(dspam.error, match="no storage"):
        dspam.ctx("bob", dspam.DSM_PROCESS).attach()


def test_a_home_directory_is_a_store_of_its_own(tmp_path: Path) -> None:
    """As pydspam's programs do it: name a driver, then a home."""
    dspam.libdspam_init("/usr/lib/dspam/libsqlite3_drv.so")
    try:
        for _ in range(2):
            with dspam.ctx("bob", dspam.DSM_PROCESS, dspam.DSF_SIGNATURE, home=str(tmp_path / "home")) as ds:
                ds.process(HAM)
                ds.set_signature("id1", ds.signature or b"")
            dspam.libdspam_shutdown()
        with dspam.ctx("bob", dspam.DSM_PROCESS, home=str(tmp_path / "home")) as ds:
            assert ds.totals == Totals(innocent_learned=2)
            ds.classification, ds.source = dspam.DSR_ISSPAM, dspam.DSS_ERROR
            ds.process(None, sig=ds.get_signature("id1"))
            assert ds.totals == Totals(spam_learned=1, innocent_learned=1, spam_misclassified=1)
    finally:
        dspam.libdspam_shutdown()


@pytest.mark.parametrize(
    ("mode", "classification", "source", "message"),
    [
        (dspam.DSM_TOOLS, dspam.DSR_NONE, dspam.DSS_NONE, HAM),
        (dspam.DSM_PROCESS, dspam.DSR_ISSPAM, dspam.DSS_NONE, HAM),
        (dspam.DSM_PROCESS, dspam.DSR_NONE, dspam.DSS_ERROR, HAM),
        (dspam.DSM_PROCESS, 7, dspam.DSS_ERROR, HAM),
        (dspam.DSM_PROCESS, dspam.DSR_ISSPAM, 7, HAM),
        (dspam.DSM_CLASSIFY, dspam.DSR_ISSPAM, dspam.DSS_CORPUS, HAM),
        (dspam.DSM_PROCESS, dspam.DSR_NONE, dspam.DSS_NONE, None),
    ],
)
def test_requests_that_make_no_sense_are_errors(
    store: MemoryStore, mode: int, classification: int, source: int, message: bytes | None
) -> None:
    ds = context(store, mode)
    ds.classification, ds.source = classification, source
    with pytest.raises(dspam.error):
        ds.process(message)


def test_an_unknown_tokenizer_and_no_user_are_errors(store: MemoryStore) -> None:
    ds = context(store)
    ds.tokenizer = 9
    with pytest.raises(dspam.error, match="tokenizer"):
        ds.process(HAM)
    with pytest.raises(dspam.error, match="user"):
        dspam.ctx("", dspam.DSM_PROCESS)


def test_a_context_without_a_user_tokenizes_and_nothing_else(store: MemoryStore) -> None:
    ds = dspam.ctx(None, dspam.DSM_PROCESS)
    assert len(ds.tokenize(None, b"free pills")) == 2
    ds.attach(store)
    with pytest.raises(dspam.error, match="no user"):
        ds.process(HAM)
    with pytest.raises(dspam.error, match="no user"):
        ds.verify_signature("id1")


# --- pydspam's names ---


def test_contexts_have_pydspams_names_and_keywords(store: MemoryStore, tmp_path: Path) -> None:
    assert dspam.dspam is dspam.ctx
    ds = dspam.dspam(name="bob", mode=dspam.DSM_PROCESS, flags=dspam.DSF_SIGNATURE, group=None, home=str(tmp_path))
    ds.attach(store)
    ds.process(msg=HAM)
    ds.classification, ds.source = dspam.DSR_ISSPAM, dspam.DSS_ERROR
    ds.process(msg=b"", sig=ds.signature)
    assert ds.totals == (1, 0, 1, 0, 0, 0, 0, 0)


def test_an_error_is_an_oserror_that_says_what_is_wrong() -> None:
    with pytest.raises(OSError, match=r"^a user name is empty$") as raised:
        dspam.ctx("", dspam.DSM_PROCESS)
    assert isinstance(raised.value, dspam.error)
    assert (raised.value.errno, raised.value.strerror) == (errno.EINVAL, "a user name is empty")
    copied = pickle.loads(pickle.dumps(raised.value))
    assert (copied.errno, copied.strerror) == (errno.EINVAL, "a user name is empty")


def test_what_libdspam_is_asked_once_is_taken() -> None:
    dspam.set_debug(2)
    dspam.set_verified_user(1)
    with pytest.raises(dspam.error, match="out of range"):
        dspam.set_debug(3)


@settings(max_examples=50)
@given(st.binary(max_size=300) | st.text(max_size=100), st.integers(0, 0xFF), st.integers(0, 0x1F))
def test_no_content_makes_process_raise(message: bytes | str, algorithms: int, flags: int) -> None:
    ds = context(MemoryStore(), flags=flags)
    ds.algorithms, ds.tokenizer = algorithms, dspam.DSZ_SBPH
    ds.process(message)
    assert 0 <= ds.probability <= 1


@given(
    st.lists(st.tuples(st.sampled_from([HAM, SPAM, HAM + SPAM]), st.booleans(), st.sampled_from([0, 1, 2])), max_size=8)
)
def test_reporting_and_taking_back_any_history_restores_every_count(history: list[tuple[bytes, bool, int]]) -> None:
    """Whatever a message was taught as last, in whatever mode: unlearning leaves what was there before it came."""
    store = trained(MemoryStore(), 2)
    words = ["lunch", "pills", "now", "Subject*pills"]
    before = hits(store, *words)
    for message, is_spam, training_mode in history:
        ds = context(store)
        ds.training_mode = training_mode
        ds.process(message)
        verdict = dspam.DSR_ISSPAM if is_spam else dspam.DSR_ISINNOCENT
        told = teach(store, None, verdict, dspam.DSS_ERROR, ds.signature)
        teach(store, None, verdict, dspam.DSS_CORPUS, told.signature, flags=dspam.DSF_UNLEARN)
        assert hits(store, *words) == before
