"""Marks of messages: what copies have in common, whatever is changed in them, and what honest mail must not be taken for."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from antispam.protocols import fingerprints
from antispam.protocols.fingerprints import ASKED, LINKS, REPORTED, Kind, Marks, Near, Stored, normal_link
from support.effort import in_proportion

KEY = b"k" * 32
_RANDOM = random.Random(7)
_VOCABULARY = ["".join(_RANDOM.choices("abcdefghijklmnop", k=7)) for _ in range(900)]


def words(count, seed=0):
    return " ".join(random.Random(seed).choices(_VOCABULARY, k=count))


SPAM = words(150, 1)


def marks(text, own=None, links=(), digests=()):
    return fingerprints.marks(text, text if own is None else own, links, digests, KEY)


def stored(reported, *, number=1, reporter=1, trusted=False):
    """What the store keeps of a reported text."""
    kept = reported.sample(REPORTED)
    rows = [(Kind.TEXT, kept.texts), (Kind.LINK, kept.links), (Kind.FILE, kept.files)]
    return [
        Stored(mark, kind, number, reporter, trusted, len(kept.texts), kept.ceiling)
        for kind, ones in rows
        for mark in ones
    ]


def compared(message, *reports):
    """By kind, what a message has in common with reports."""
    found = [
        row
        for number, one in enumerate(reports)
        for row in stored(one, number=number, reporter=number)
        if row.mark in message.all
    ]
    return {one.kind: one for one in fingerprints.near(message, found)}


def test_a_copy_is_known():
    near = compared(marks(SPAM), marks(SPAM))[Kind.TEXT]
    assert (near.similarity, near.share, near.quoted, near.voices) == (1.0, 1.0, False, 1)


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text.replace(" ", "  ").upper(),
        lambda text: f"Dear Ann, {text} Order 123456",
        lambda text: " ".join(word if n % 20 else f"name{n}" for n, word in enumerate(text.split())),
        lambda text: " ".join(word if n % 25 else "someoneelse" for n, word in enumerate(text.split())),
        lambda text: text.replace(" ", ", ", 5).replace(" ", "! ", 9),
        lambda text: text[: len(text) * 3 // 4],
    ],
)
def test_a_copy_with_other_names_numbers_and_signs_is_known(change):
    near = compared(marks(change(SPAM)), marks(SPAM))[Kind.TEXT]
    assert near.similarity >= 0.6


def test_another_text_of_the_same_words_is_no_copy():
    assert compared(marks(words(150, 2)), marks(SPAM)) == {}


@pytest.mark.parametrize("times", [1, 3, 10, 20])  # of a message 40,000 octets of text are read
@pytest.mark.parametrize("before", [True, False])
def test_honest_text_around_it_does_not_hide_spam(times, before):
    """Containment, not resemblance: the padding may be many times as long."""
    padding = words(150 * times, 3)
    near = compared(marks(f"{padding} {SPAM}" if before else f"{SPAM} {padding}"), marks(SPAM))[Kind.TEXT]
    assert near.similarity >= 0.5
    assert near.weight > 0


def test_padded_spam_that_three_people_reported_still_gets_more_than_half_of_the_points():
    near = compared(marks(f"{words(1500, 3)} {SPAM}"), marks(SPAM), marks(SPAM), marks(SPAM))[Kind.TEXT]
    assert near.voices == 3
    assert 0.5 <= near.weight < 1.0


def test_a_long_text_is_no_copy_of_a_short_one_for_a_sentence_in_common():
    common = words(14, 5)
    assert compared(marks(f"{words(100, 6)} {common}"), marks(f"{SPAM} {common}")) == {}


def test_honest_mail_that_quotes_spam_in_an_answer_gets_less_than_half():
    own = words(60, 8)
    asked = marks(f"{own} {SPAM}", own)
    near = compared(asked, marks(SPAM), marks(SPAM), marks(SPAM))[Kind.TEXT]
    assert near.quoted
    assert near.weight <= 0.4


def test_spam_all_in_quoted_lines_is_no_honest_quote_only():
    near = compared(marks(SPAM, ""), marks(SPAM), marks(SPAM), marks(SPAM))[Kind.TEXT]
    assert near.quoted
    assert near.weight == pytest.approx(0.4)


@pytest.mark.parametrize(("reporters", "weight"), [(1, 0.25), (2, 0.6), (3, 1.0), (9, 1.0)])
def test_weight_grows_with_the_number_of_people(reporters, weight):
    near = compared(marks(SPAM), *[marks(SPAM)] * reporters)[Kind.TEXT]
    assert near.weight == weight


def test_who_reports_often_has_one_voice():
    message = marks(SPAM)
    rows = [row for number in range(9) for row in stored(message, number=number, reporter=5)]
    assert fingerprints.near(message, rows)[0].voices == 1


def test_the_administrator_has_three():
    message = marks(SPAM)
    assert fingerprints.near(message, stored(message, trusted=True))[0].voices == 3


def test_a_few_words_have_no_mark():
    assert marks("please call me back today").texts == ()


def test_without_the_key_no_mark_can_be_guessed():
    other = fingerprints.marks(SPAM, SPAM, ["http://a.example/x"], [b"d" * 32], b"another key 1234")
    assert not set(marks(SPAM, links=["http://a.example/x"], digests=[b"d" * 32]).all) & set(other.all)


@pytest.mark.parametrize(
    ("link", "normal"),
    [
        ("https://www.Evil.example/Pay/", "evil.example/pay"),
        ("http://evil.example/pay?id=77#top", "evil.example/pay"),
        ("http://user:pw@evil.example:8080/pay", "evil.example/pay"),
        ("http://srv17.evil.example/a9/b", "srv0.evil.example/a0/b"),
        ("http://evil.example/u/aGVsbG8gd29ybGQ/x", "evil.example/u/*/x"),
        ("http:\\\\evil.example\\pay", ""),
        ("https:/evil.example/pay", "evil.example/pay"),
        ("www.evil.example", "evil.example/"),
        ("http://192.0.2.7/x", "192.0.2.7/x"),
        ("mailto:Bob@Evil.example?subject=hi", "mailto:bob@evil.example"),
        ("http://localhost/x", ""),
        ("javascript:alert(1)", ""),
        ("#top", ""),
        ("cid:part1@x", ""),
    ],
)
def test_a_link_is_compared_by_what_its_copies_share(link, normal):
    assert normal_link(link) == normal


def test_links_and_files_are_known_by_themselves():
    reported = marks("", links=["http://evil.example/pay?id=1"], digests=[b"1" * 32])
    near = compared(marks(words(80, 9), links=["http://evil.example/pay?id=2"], digests=[b"1" * 32]), reported)
    assert {kind: one.similarity for kind, one in near.items()} == {Kind.LINK: 1.0, Kind.FILE: 1.0}


def test_one_decoy_among_many_links_counts_half():
    links = [f"http://shop.example/{'abcdefghijk'[n]}" for n in range(10)]
    near = compared(marks("", links=[*links, "http://bank.example/"]), *[marks("", links=["http://bank.example/"])] * 3)
    assert near[Kind.LINK].weight == 0.5


@given(
    st.text(max_size=3000), st.lists(st.text(max_size=100), max_size=50), st.lists(st.binary(max_size=40), max_size=9)
)
@settings(max_examples=60)
def test_whatever_is_sent_the_marks_are_few_and_fit_into_the_store(text, links, digests):
    found = fingerprints.marks(text, text[::2], links, digests, KEY)
    assert len(found.texts) <= ASKED
    assert len(found.links) <= LINKS
    assert all(0 <= mark < 1 << 63 for mark in found.all)
    assert list(found.texts) == sorted(set(found.texts))
    fingerprints.near(found, [row for row in stored(found) if row.mark])


@given(st.integers(13, 400), st.integers(0, 4000), st.integers(0, 10_000))
@settings(max_examples=60)
def test_no_amount_of_padding_hides_a_whole_copy(size, padding, seed):
    reported = marks(words(size, seed))
    message = marks(f"{words(padding // 2, seed + 1)} {words(size, seed)} {words(padding // 2, seed + 2)}")
    rows = [row for row in stored(reported) if row.mark in message.all]
    expected = len(reported.sample(REPORTED).texts) * min(1.0, message.ceiling / reported.sample(REPORTED).ceiling)
    if expected >= 16:  # of fewer chance decides
        assert fingerprints.contained(message, rows) >= 0.5


@pytest.mark.parametrize("unit", ["a ", "x", "http://", "1a"])
def test_hostile_text_takes_linear_time(unit):
    assert in_proportion(marks, lambda count: unit * count, 1_000_000 // len(unit))


def test_many_words_and_long_links_take_linear_time():
    def make(count):
        return words(10 * count), ["http://" + "a." * count, "h" * (20 * count)] * 50

    assert in_proportion(lambda given: marks(given[0], links=given[1]), make, 5000)


@given(
    st.builds(
        Near,
        kind=st.sampled_from(Kind),
        similarity=st.floats(0.5, 1),
        share=st.floats(0, 1),
        quoted=st.booleans(),
        voices=st.integers(1, 50),
    )
)
def test_no_weight_is_beyond_one_and_one_voice_is_never_above_a_quarter(near):
    assert 0 < near.weight <= (0.25 if near.voices == 1 else 1.0)


def test_nothing_in_common_is_nothing():
    assert fingerprints.near(Marks(), ()) == ()
